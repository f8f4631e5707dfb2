/* SPDX-License-Identifier: MIT */
/* What the parts of a pack take on disk, and how they are coded. */
#ifndef TP_STORE_PACK_USAGE_H
#define TP_STORE_PACK_USAGE_H

#include "codec/codec.h"
#include "store/pack/index.h"

struct tp_usage {
    uint64_t logical, stored;         /* bytes; stored ones with the tables of tensors */
    uint64_t chunks[TP_CODEC_COUNT];  /* how many are coded by each */
    uint64_t decoded[TP_CODEC_COUNT]; /* bytes of them, decoded */
    uint64_t coded[TP_CODEC_COUNT];   /* and as they are stored */
};

void tp_usage_add_segment(const struct tp_index *index, const struct tp_segment *segment,
                          struct tp_usage *usage);
void tp_usage_add_file(const struct tp_index *index, const struct tp_pack_file *file,
                       struct tp_usage *usage);
/* All of a pack; of its tensors alone to TENSORS, unless it is NULL. */
void tp_usage_add_index(const struct tp_index *index, struct tp_usage *usage,
                        struct tp_usage *tensors);
uint64_t tp_usage_count_tensors(const struct tp_index *index);

#endif
