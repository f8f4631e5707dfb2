/* SPDX-License-Identifier: MIT */
/*
 * The plan of a chunk: what its decoding needs according to the indexes, namely its codec and the
 * bytes of other blocks that predict it. The caller makes a plan. It gets each block that
 * tp_range_next names, adds it with tp_range_add, and then calls tp_chunk_plan_decode. The decode
 * engine gets blocks from its cache; tp_pack_decode_chunk decodes them itself.
 */
#ifndef TP_STORE_CHUNK_PLAN_H
#define TP_STORE_CHUNK_PLAN_H

#include "store/pack/pack.h"
#include "store/pack/window.h"
#include "store/pack/work.h"

/* What is checked, and from where coded bytes and tables are read. */
enum tp_check {
    TP_CHECK_FILE, /* the coded bytes and the content, of the pack's own file only: for callers that
                      check this file */
    TP_CHECK_CONTENT, /* the content; after a mismatch the coded bytes, also of copies of the pack
                       */
    TP_CHECK_STORED   /* the coded bytes, also of copies: for a block that only predicts another
                         chunk, whose content is checked */
};

struct tp_chunk_plan {
    /*
     * Set by the caller: a chunk after tp_chunk_resolve, and a buffer for it and TP_SLACK more
     * bytes.
     */
    struct tp_pack *pack;
    uint32_t chunk;
    uint8_t *dst;
    enum tp_check check;
    struct tp_work *work;
    unsigned
        level; /* depth of the recursion: one more than that of the chunk that needs this one */

    /* Set by tp_chunk_plan_make. */
    const struct tp_codec *codec; /* NULL: the chunk is RAW, or equals the bytes of RANGE */
    struct tp_pack *from; /* the pack that RANGE belongs to; NULL: no other block is needed */
    struct tp_range range;
    bool once; /* no other chunk needs these chunks of FROM */
};

/*
 * -EBADMSG: the plan is invalid; ERR names pack, file, chunk and offset. -ENOLINK: the base is
 * absent. -ECANCELED.
 */
int tp_chunk_plan_make(struct tp_chunk_plan *plan, struct tp_error *err);
/* Decode, when RANGE is complete. The blocks of RANGE are not needed afterwards. */
int tp_chunk_plan_decode(struct tp_chunk_plan *plan, struct tp_error *err);

#endif
