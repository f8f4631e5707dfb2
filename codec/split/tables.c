/* SPDX-License-Identifier: MIT */
/* The tables of the split codec: reading them, and the cost of a symbol. */
#include <config.h>

#include "codec/split/tables.h"

#include "codec/split/split.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

unsigned tp_split_log2(uint32_t x)
{
    unsigned top = 31 - (unsigned)__builtin_clz(x);
    uint64_t m = (uint64_t)x << (31 - top); /* 1 to 2, the point after bit 31 */
    unsigned r = top;

    for (unsigned i = 0; i < 8; i++) {
        m = m * m >> 31;
        r = r << 1 | (unsigned)(m >> 32);
        m >>= m >> 32;
    }
    return r;
}

uint64_t tp_split_entropy(const uint32_t hist[256], uint32_t n)
{
    unsigned whole = n ? tp_split_log2(n) : 0;
    uint64_t bits = 0;

    for (unsigned s = 0; s < 256; s++)
        if (hist[s])
            bits += (uint64_t)hist[s] * (whole - tp_split_log2(hist[s]));
    return bits >> 8;
}

void tp_split_costs(const uint16_t freq[256], uint16_t cost[256])
{
    for (unsigned s = 0; s < 256; s++)
        cost[s] =
            (uint16_t)(freq[s] ? (TP_RANS_BITS << 8) - tp_split_log2(freq[s]) : SPLIT_PATCH_COST);
}

void tp_split_count(const uint8_t *plane, size_t n, uint32_t hist[256])
{
    uint32_t part[3][256] = {
        {0}}; /* two counters, so that equal neighbours do not wait for each other */
    size_t i = 0;

    memset(hist, 0, 256 * sizeof *hist);
    for (; i + 4 <= n; i += 4) {
        hist[plane[i]]++;
        part[0][plane[i + 1]]++;
        part[1][plane[i + 2]]++;
        part[2][plane[i + 3]]++;
    }
    for (; i < n; i++)
        hist[plane[i]]++;
    for (unsigned s = 0; s < 256; s++)
        hist[s] += part[0][s] + part[1][s] + part[2][s];
}

/* One plane: its kind, and the table of SPLIT_RANS. */
static bool read_plane(struct split_plane *plane, const uint8_t **p, const uint8_t *end)
{
    int used;

    if (*p == end || **p > SPLIT_RANS)
        return false;
    plane->kind = (enum split_kind) * (*p)++;
    if (plane->kind != SPLIT_RANS)
        return true;
    used = tp_rans_freq_read(*p, (size_t)(end - *p), TP_RANS_NO_ESCAPE, plane->freq);
    if (used < 0)
        return false;
    *p += used;
    tp_rans_enc_init(&plane->enc, plane->freq);
    tp_rans_dec_init(&plane->dec, plane->freq);
    tp_split_costs(plane->freq, plane->cost);
    for (unsigned s = 0; s < 256; s++)
        if (plane->freq[s] > plane->freq[plane->filler])
            plane->filler = (uint8_t)s;
    return true;
}

int tp_split_tables_create(enum tp_dtype dtype, const uint8_t *blob, size_t len,
                           struct tp_tables **out, struct tp_error *err)
{
    struct split_shape shape = tp_split_shape(dtype);
    const uint8_t *p = blob, *end = blob + len;
    struct tp_tables *tables = calloc(1, sizeof *tables + shape.width * sizeof tables->plane[0]);
    bool good = true;

    if (!tables)
        return tp_oom(err);
    tables->shape = shape;
    for (unsigned k = 0; k < shape.width && good; k++)
        good = read_plane(&tables->plane[k], &p, end);
    if (!good || p != end) {
        free(tables);
        return tp_fail(err, EBADMSG, "the tables of a split tensor are damaged");
    }
    *out = tables;
    return 0;
}

void tp_split_tables_destroy(struct tp_tables *tables)
{
    free(tables);
}
