/* SPDX-License-Identifier: MIT */
/*
 * What decoding one chunk takes, worked out from the indexes: its codec, and the bytes of other
 * blocks that predict it. The caller makes a plan, brings the blocks that tp_range_next names one
 * after the other, from wherever it has them, adds each with tp_range_add, and then has the chunk
 * decoded. The decode engine takes them from its cache; tp_pack_decode_chunk decodes them itself.
 */
#ifndef TP_STORE_CHUNK_PLAN_H
#define TP_STORE_CHUNK_PLAN_H

#include "store/pack/pack.h"
#include "store/pack/window.h"
#include "store/pack/work.h"

/* What is checked, and where coded bytes and tables are read. */
enum tp_check {
    TP_CHECK_FILE,    /* the coded bytes and the content, of the pack's own file alone: for a caller
                         that asks about this very file */
    TP_CHECK_CONTENT, /* the content; where it is wrong also the coded bytes, for which copies of
                         the pack serve, too */
    TP_CHECK_STORED   /* the coded bytes; copies serve. Of what only predicts another chunk, whose
                         own content is checked */
};

struct tp_chunk_plan {
    /* The caller's: a chunk that tp_chunk_resolve gave, and a buffer of TP_SLACK bytes more. */
    struct tp_pack *pack;
    uint32_t chunk;
    uint8_t *dst;
    enum tp_check check;
    struct tp_work *work;
    unsigned level; /* number of the step: one more than that of the chunk which needs this one */

    /* What tp_chunk_plan_make finds. */
    const struct tp_codec *codec; /* NULL: the chunk is RAW, or what RANGE has */
    struct tp_pack *from;         /* the pack that RANGE is of; NULL: no other block is needed */
    struct tp_range range;
    bool once; /* each chunk of FROM is needed for one chunk only */
};

/* -EBADMSG names pack, file, chunk and offset; -ENOLINK: the base is absent; -ECANCELED. */
int tp_chunk_plan_make(struct tp_chunk_plan *plan, struct tp_error *err);
/* Once RANGE is complete. Its blocks are no longer needed afterwards. */
int tp_chunk_plan_decode(struct tp_chunk_plan *plan, struct tp_error *err);

#endif
