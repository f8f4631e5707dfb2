/* SPDX-License-Identifier: MIT */
/* The model of the delta codec: serial form, and tables expanded for coding. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec/delta/tables.h"

static const struct tp_delta_kind kinds[TP_DTYPE_COUNT] = {
    [TP_DTYPE_U8] = {8, 0, 4, 0x0f, 7},          [TP_DTYPE_I8] = {8, 0, 4, 0x0f, 7},
    [TP_DTYPE_U16] = {16, 0, 12, 0x0f, 7},       [TP_DTYPE_I16] = {16, 0, 12, 0x0f, 7},
    [TP_DTYPE_F16] = {16, 1, 10, 0x1f, 7},       [TP_DTYPE_BF16] = {16, 1, 7, 0xff, 7},
    [TP_DTYPE_U32] = {32, 0, 28, 0x0f, 31},      [TP_DTYPE_I32] = {32, 0, 28, 0x0f, 31},
    [TP_DTYPE_F32] = {32, 1, 23, 0xff, 31},      [TP_DTYPE_F8_E4M3] = {8, 1, 3, 0x0f, 7},
    [TP_DTYPE_F8_E5M2] = {8, 1, 2, 0x1f, 7},     [TP_DTYPE_F8_E8M0] = {8, 0, 0, 0xff, 7},
    [TP_DTYPE_F8_E4M3FNUZ] = {8, 1, 3, 0x0f, 7}, [TP_DTYPE_F8_E5M2FNUZ] = {8, 1, 2, 0x1f, 7},
};

const struct tp_delta_kind *tp_delta_kind_of(enum tp_dtype dtype)
{
    if ((unsigned)dtype >= TP_DTYPE_COUNT || kinds[dtype].width == 0)
        return NULL;
    return &kinds[dtype];
}

/*
 * Two bytes, then one for each context: table, direct << 4, shift << 5; where shifts may exceed 7,
 * four bytes more with their upper two bits; then the tables.
 */
int tp_delta_model_write(struct tp_buffer *out, const struct tp_delta_kind *kind,
                         const struct tp_delta_model *model)
{
    uint8_t head[2 + TP_DELTA_CONTEXTS + 4] = {model->first, model->table_count};
    size_t len = kind->shift_max > 7 ? sizeof head : sizeof head - 4;
    int rc;

    for (int c = 0; c < TP_DELTA_CONTEXTS; c++) {
        const struct tp_delta_context *ctx = &model->ctx[c];

        head[2 + c] = (uint8_t)(ctx->table | ctx->direct << 4 | ctx->shift << 5);
        head[2 + TP_DELTA_CONTEXTS + c / 4] |= (uint8_t)((ctx->shift >> 3) << 2 * (c % 4));
    }
    rc = tp_buffer_append(out, head, len);
    for (int t = 0; t < model->table_count && rc == 0; t++)
        rc = tp_rans_freq_write(out, model->freq[t], TP_DELTA_ESCAPE);
    return rc;
}

int tp_delta_model_read(const uint8_t *src, size_t len, const struct tp_delta_kind *kind,
                        struct tp_delta_model *model)
{
    size_t head = 2 + TP_DELTA_CONTEXTS + (kind->shift_max > 7 ? 4 : 0);

    if (len < head)
        return -EBADMSG;
    memset(model, 0, sizeof *model);
    model->first = src[0];
    model->table_count = src[1];
    if (model->table_count < 1 || model->table_count > TP_DELTA_CONTEXTS)
        return -EBADMSG;
    for (int c = 0; c < TP_DELTA_CONTEXTS; c++) {
        struct tp_delta_context *ctx = &model->ctx[c];
        uint8_t b = src[2 + c];

        ctx->table = b & 15;
        ctx->direct = b >> 4 & 1;
        ctx->shift = b >> 5;
        if (kind->shift_max > 7)
            ctx->shift |= (uint8_t)((src[2 + TP_DELTA_CONTEXTS + c / 4] >> 2 * (c % 4) & 3) << 3);
        if (ctx->table >= model->table_count)
            return -EBADMSG;
    }
    for (int t = 0; t < model->table_count; t++) {
        int used = tp_rans_freq_read(src + head, len - head, TP_DELTA_ESCAPE, model->freq[t]);

        if (used < 0)
            return used;
        head += (size_t)used;
    }
    return head == len ? 0 : -EBADMSG;
}

/*
 * The number of symbols from 0 on that all have a code. If no element can escape, no difference is
 * larger.
 */
static unsigned coded_symbols(const uint16_t freq[256])
{
    unsigned n = 0;

    while (n < TP_DELTA_ESCAPE && freq[n] > 0)
        n++;
    return n;
}

/* The cost of a symbol of this frequency in 1024ths of a bit, roughly. */
static uint16_t symbol_cost(uint32_t freq)
{
    unsigned log;

    if (freq == 0)
        return UINT16_MAX;
    log = 31 - (unsigned)__builtin_clz(freq);
    return (uint16_t)((TP_RANS_BITS - log) * 1024 - (((freq << 10) >> log) - 1024));
}

/*
 * Whether lanes can carry bits: no raw bits may make a difference overflow to 0, and 0 may not
 * escape, since an escape has raw bits.
 */
static bool can_carry(const struct tp_delta_tables *t, const struct tp_delta_model *model)
{
    bool can = t->has_raw;

    for (int c = 0; c < TP_DELTA_CONTEXTS; c++)
        can &= t->shift[c] == 0 ||
               (t->shift[c] <= t->kind->width - 8 && model->freq[t->table[c]][0] > 0);
    return can;
}

static void expand_tables(struct tp_delta_tables *t, const struct tp_delta_model *model)
{
    t->first = model->first;
    t->table_count = model->table_count;
    for (int c = 0; c < TP_DELTA_CONTEXTS; c++) {
        const struct tp_delta_context *ctx = &model->ctx[c];

        t->table[c] = ctx->table;
        t->shift[c] = ctx->shift;
        t->keep[c] = ctx->direct ? 0 : 0xff;
        t->symbols[c] = (uint8_t)coded_symbols(model->freq[ctx->table]);
        t->has_raw |= ctx->shift != 0;
        t->has_direct |= ctx->direct;
    }
    t->carries = can_carry(t, model);
    for (int i = 0; i < model->table_count; i++) {
        for (int s = 0; s < 256; s++)
            t->cost[i][s] = symbol_cost(model->freq[i][s]);
        t->no_escape |= (uint16_t)((model->freq[i][TP_DELTA_ESCAPE] == 0) << i);
        tp_rans_dec_init(&t->dec[i], model->freq[i]);
        tp_rans_enc_init(&t->enc[i], model->freq[i]);
    }
}

int tp_delta_tables_create(enum tp_dtype dtype, const uint8_t *blob, size_t len,
                           struct tp_tables **out, struct tp_error *err)
{
    const struct tp_delta_kind *kind = tp_delta_kind_of(dtype);
    struct tp_delta_model model;
    struct tp_delta_tables *t = NULL;

    *out = NULL;
    if (!kind || tp_delta_model_read(blob, len, kind, &model))
        return tp_fail(err, EBADMSG, "delta tables are damaged");
    t = calloc(1, sizeof *t);
    if (!t)
        return tp_oom(err);
    t->kind = kind;
    t->dec = aligned_alloc(64, model.table_count * sizeof *t->dec);
    t->enc = aligned_alloc(64, model.table_count * sizeof *t->enc);
    if (!t->dec || !t->enc) {
        tp_delta_tables_destroy((struct tp_tables *)t);
        return tp_oom(err);
    }
    expand_tables(t, &model);
    *out = (struct tp_tables *)t;
    return 0;
}

void tp_delta_tables_destroy(struct tp_tables *tables)
{
    struct tp_delta_tables *t = (struct tp_delta_tables *)tables;

    if (!t)
        return;
    free(t->dec);
    free(t->enc);
    free(t);
}
