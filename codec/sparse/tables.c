/* SPDX-License-Identifier: MIT */
/*
 * Reading the tables of the sparse codec: frequencies as a list of numbers, checked, and expanded
 * for both directions.
 */
#include <config.h>

#include "codec/sparse/tables.h"

#include "codec/sparse/sparse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct sparse_shape tp_sparse_shape(enum tp_dtype dtype)
{
    switch (dtype) {
    case TP_DTYPE_F8_E4M3:
    case TP_DTYPE_F8_E5M2:
    case TP_DTYPE_F8_E4M3FNUZ:
    case TP_DTYPE_F8_E5M2FNUZ:
        return (struct sparse_shape){1, true};
    case TP_DTYPE_U16:
    case TP_DTYPE_I16:
        return (struct sparse_shape){2, false};
    case TP_DTYPE_F16:
    case TP_DTYPE_BF16:
        return (struct sparse_shape){2, true};
    case TP_DTYPE_U32:
    case TP_DTYPE_I32:
        return (struct sparse_shape){4, false};
    case TP_DTYPE_F32:
    case TP_DTYPE_C64: /* two of them */
        return (struct sparse_shape){4, true};
    case TP_DTYPE_U64:
    case TP_DTYPE_I64:
        return (struct sparse_shape){8, false};
    case TP_DTYPE_F64:
        return (struct sparse_shape){8, true};
    default: /* bytes, and elements packed into bytes */
        return (struct sparse_shape){1, false};
    }
}

/* A number of at most 14 bits, seven a byte; the last byte has no top bit. */
static bool get_number(const uint8_t **p, const uint8_t *end, unsigned *out)
{
    unsigned v;

    if (*p == end)
        return false;
    v = *(*p)++;
    if (v & 0x80) {
        if (*p == end || **p & 0x80)
            return false;
        v = (v & 0x7f) | (unsigned)*(*p)++ << 7;
    }
    *out = v;
    return true;
}

/*
 * Frequencies from the first symbol on; 0 and N mean N symbols of frequency 0. They end when they
 * sum to the scale.
 */
static bool read_alphabet(struct sparse_alphabet *a, unsigned symbols, const uint8_t **p,
                          const uint8_t *end)
{
    unsigned sum = 0, symbol = 0, v;

    while (sum < SPARSE_SCALE) {
        if (!get_number(p, end, &v))
            return false;
        if (v == 0) {
            if (!get_number(p, end, &v) || v == 0 || v > symbols - symbol)
                return false;
            symbol += v;
            continue;
        }
        if (symbol >= symbols || v > SPARSE_SCALE - sum)
            return false;
        a->freq[symbol] = (uint16_t)v;
        a->start[symbol] = (uint16_t)sum;
        for (unsigned i = 0; i < v; i++)
            a->slot[sum + i] = (v - 1) << 20 | i << 9 | symbol;
        sum += v;
        symbol++;
    }
    return a->freq[symbols - 1] != 0; /* the escape: every number can be coded */
}

int tp_sparse_tables_create(enum tp_dtype dtype, const uint8_t *blob, size_t len,
                            struct tp_tables **out, struct tp_error *err)
{
    const uint8_t *p = blob, *end = blob + len;
    struct tp_tables *tables = calloc(1, sizeof *tables);

    (void)dtype;
    if (!tables)
        return tp_oom(err);
    if (!read_alphabet(&tables->gap, GAP_TOKENS + 1, &p, end) ||
        !read_alphabet(&tables->value, VALUE_TOKENS + 1, &p, end) || p != end) {
        free(tables);
        return tp_fail(err, EBADMSG, "the tables of a sparse tensor are damaged");
    }
    *out = tables;
    return 0;
}

void tp_sparse_tables_destroy(struct tp_tables *tables)
{
    free(tables);
}
