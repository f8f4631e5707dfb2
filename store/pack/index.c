/* SPDX-License-Identifier: MIT */
/* Looking things up in an index, and freeing it. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "store/pack/layout.h"

void tp_index_clear(struct tp_index *index)
{
    free(index->files);
    free(index->segments);
    free(index->chunks);
    free(index->tables);
    free(index->dims);
    free(index->strings);
    memset(index, 0, sizeof *index);
}

uint32_t tp_index_chunk_len(const struct tp_index *index, uint32_t chunk)
{
    const struct tp_segment *s = &index->segments[index->chunks[chunk].segment];
    uint64_t rest = s->len - (uint64_t)(chunk - s->chunk_first) * index->chunk_size;

    return rest < index->chunk_size ? (uint32_t)rest : index->chunk_size;
}

int tp_path_compare(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    if (*a == *b)
        return 0;
    if (!*a || !*b)
        return *a ? 1 : -1;
    if (*a == '/' || *b == '/')
        return *a == '/' ? -1 : 1;
    return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
}

const struct tp_pack_file *tp_index_find(const struct tp_index *index, const char *path)
{
    uint32_t lo = 0, hi = index->file_n;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = tp_path_compare(index->files[mid].path, path);

        if (c == 0)
            return &index->files[mid];
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}
