/* SPDX-License-Identifier: MIT */
/* Adding up what the parts of a pack take on disk. */
#include <config.h>

#include "store/pack/usage.h"

void tp_usage_add_segment(const struct tp_index *index, const struct tp_segment *segment,
                          struct tp_usage *usage)
{
    usage->logical += segment->len;
    for (uint32_t i = 0; i < segment->tables_n; i++)
        usage->stored += index->tables[segment->tables_first + i].stored_len;
    for (uint32_t i = segment->chunk_first; i < segment->chunk_first + segment->chunk_n; i++) {
        const struct tp_chunk *chunk = &index->chunks[i];

        usage->stored += chunk->stored_len;
        usage->chunks[chunk->codec]++;
        usage->decoded[chunk->codec] += tp_index_chunk_len(index, i);
        usage->coded[chunk->codec] += chunk->stored_len;
    }
}

void tp_usage_add_file(const struct tp_index *index, const struct tp_pack_file *file,
                       struct tp_usage *usage)
{
    for (uint32_t i = 0; i < file->segment_n; i++)
        tp_usage_add_segment(index, &index->segments[file->segment_first + i], usage);
}

void tp_usage_add_index(const struct tp_index *index, struct tp_usage *usage,
                        struct tp_usage *tensors)
{
    for (uint32_t i = 0; i < index->segment_n; i++) {
        tp_usage_add_segment(index, &index->segments[i], usage);
        if (tensors && index->segments[i].dtype != TP_DTYPE_BYTES)
            tp_usage_add_segment(index, &index->segments[i], tensors);
    }
}

uint64_t tp_usage_count_tensors(const struct tp_index *index)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < index->segment_n; i++)
        n += index->segments[i].dtype != TP_DTYPE_BYTES && index->segments[i].elem_first == 0;
    return n;
}
