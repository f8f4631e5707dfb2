/* SPDX-License-Identifier: MIT */
/* Products of integers: packing vectors, the parts of a matrix, and the scalar reference. */
#include <config.h>

#include "optimizer/kernel/int8.h"

#include <math.h>
#include <string.h>

#include "base/le.h"
#include "codec/half.h"
#include "optimizer/kernel/impl.h"
#include "optimizer/kernel/math.h"

/* --- Packing --- */

static void pack_block(const float *x, size_t n, int8_t *natural, float *scales, float *sums)
{
    uint32_t most = 0;
    float d, inverse;

    for (size_t c = 0; c < n; c++) {
        uint32_t bits = tp_bits_of(x[c]) & 0x7fffffff;

        most = bits > most ? bits : most;
    }
    d = tp_float_of(most) / 127;
    inverse = 127 / tp_float_of(most);
    if (most >= 0x7f800000)
        d = NAN;
    else if (tp_float_of(most) < TP_INT8_LEAST)
        d = 0;
    for (size_t c = 0; c < TP_INT8_BLOCK; c++)
        natural[c] = (int8_t)(c < n && d > 0 ? rintf(x[c] * inverse) : 0);
    for (size_t k = 0; k < TP_INT8_BLOCK / 8; k++) {
        int sum = 0;

        for (size_t c = 8 * k; c < 8 * k + 8; c++)
            sum += natural[c];
        scales[k] = d;
        sums[k] = d * (float)sum;
    }
}

static void pack_scalar(const float *x, size_t cols, const struct tp_int8_vector *to)
{
    for (size_t c = 0; c < cols; c += TP_INT8_BLOCK)
        pack_block(x + c, cols - c < TP_INT8_BLOCK ? cols - c : TP_INT8_BLOCK, to->natural + c,
                   to->scales + c / 8, to->sums + c / 8);
    for (size_t c = 0; c < cols; c++)
        to->split[c / 64 * 64 + c % 2 * 32 + c % 64 / 2] = to->natural[c];
}

static tp_int8_pack_fn *const pack_by_isa[TP_ISA_COUNT] =
    TP_ISA_ROWS(pack_scalar, tp_int8_pack_avx2, tp_int8_pack_avx2);

size_t tp_int8_bytes(size_t m, size_t cols)
{
    return m * tp_int8_size(tp_int8_width(cols));
}

void tp_int8_pack(const float *x, size_t x_stride, size_t cols, size_t first, size_t end,
                  void *packed)
{
    const size_t width = tp_int8_width(cols), size = tp_int8_size(width);

    for (size_t i = first; i < end; i++) {
        struct tp_int8_vector to = tp_int8_vector(packed, width, i);

        if (cols < width)
            memset(to.natural, 0, size);
        pack_by_isa[tp_isa_get()](x + i * x_stride, cols, &to);
    }
}

/* --- The reference --- */

static void factors_of_row(const struct tp_quant_view *v, size_t row, size_t groups, float *a,
                           float *b)
{
    const struct tp_quant_part *p = &v->part;
    const uint8_t *scales = v->section[TP_QUANT_SCALES];
    const uint8_t *zeros = v->section[TP_QUANT_ZEROS];

    if (p->kind == TP_QUANT_INT8) {
        a[0] = tp_float_of(tp_get_le32(scales + 4 * row)) * TP_QUANT_INT8_UNIT;
        return;
    }
    scales += row * v->stride[TP_QUANT_SCALES];
    if (zeros)
        zeros += row * v->stride[TP_QUANT_ZEROS];
    memset(b + groups, 0, (TP_INT8_WINDOW - 1) * sizeof *b);
    for (size_t g = 0; g < groups; g++) {
        a[g] = tp_float_from_f16(tp_get_le16(scales + 2 * g));
        if (p->kind == TP_QUANT_AFFINE)
            b[g] = tp_float_from_f16(tp_get_le16(zeros + 2 * g));
        else if (p->kind == TP_QUANT_ASYM)
            b[g] = -(float)tp_quant_code(zeros, g, p->bits) * a[g];
        else
            b[g] = -(float)(1 << (p->bits - 1)) * a[g];
        if (p->bits == 8)
            b[g] = tp_fma(128, a[g], b[g]);
    }
}

static void factors_scalar(const struct tp_quant_matrix *m, const struct tp_quant_view *v,
                           size_t row, unsigned rows, size_t groups, float *a, float *b,
                           size_t stride)
{
    (void)m;
    for (unsigned j = 0; j < rows; j++, a += stride, b += stride)
        factors_of_row(v, row + j, groups, a, b);
}

static void widen_scalar(const uint8_t *codes, size_t cols, unsigned bits, uint8_t *to)
{
    for (size_t c = 0; c < cols; c += 2)
        to[c / 2] =
            (uint8_t)(tp_quant_code(codes, c, bits) | tp_quant_code(codes, c + 1, bits) << 4);
}

/* The sum of the products of a lane, whose codes are the 4 bytes from AT on. */
static int lane_sum(const struct tp_int8_tile *t, const uint8_t *codes, size_t at, const int8_t *x)
{
    int sum = 0;

    for (size_t k = at; k < at + 4 && k < t->bytes; k++)
        if (t->narrow)
            sum += (codes[k] & 15) * x[2 * k] + (codes[k] >> 4) * x[2 * k + 1];
        else
            sum += (int8_t)(codes[k] ^ t->flip) * x[k];
    return sum;
}

static float product_scalar(const struct tp_int8_tile *t, size_t j, size_t i)
{
    const struct tp_int8_vector x = tp_int8_vector(t->x, t->width, i);
    const size_t lanes = (t->bytes + TP_INT8_STEP - 1) / TP_INT8_STEP * TP_INT8_LANES;
    float s[2 * TP_INT8_LANES] = {0}, o[TP_INT8_WINDOW] = {0};

    for (size_t l = 0; l < lanes; l++) {
        float d = x.scales[t->narrow ? l : l / 2];
        float a = t->a[j][t->base[l / TP_INT8_LANES] + t->lane[l]];
        float sum = (float)lane_sum(t, t->codes[j], 4 * l, x.natural);

        s[l % 16] = tp_fma(a, d * sum, s[l % 16]);
    }
    for (size_t g = 0; g < t->windows * TP_INT8_WINDOW; g++)
        o[g % 8] = tp_fma(t->b[j][g], t->sums[i * t->sums_stride + g], o[g % 8]);
    for (size_t l = 0; l < 8; l++)
        s[l] = (s[l] + s[l + 8]) + o[l];
    return tp_sum_lanes(s);
}

static void tile_scalar(const struct tp_int8_tile *t)
{
    for (size_t i = 0; i < t->m; i++)
        for (size_t j = 0; j < t->rows; j++) {
            float *y = &t->y[i * t->y_stride + j], product = product_scalar(t, j, i);

            *y = t->add ? *y + product : product;
        }
}

static tp_int8_factors_fn *const factors_by_isa[TP_ISA_COUNT] =
    TP_ISA_ROWS(factors_scalar, tp_int8_factors_avx2, tp_int8_factors_avx2);
static tp_int8_widen_fn *const widen_by_isa[TP_ISA_COUNT] =
    TP_ISA_ROWS(widen_scalar, tp_int8_widen_avx2, tp_int8_widen_avx2);
static tp_int8_tile_fn *const tile_by_isa[TP_ISA_COUNT] =
    TP_ISA_ROWS(tile_scalar, tp_int8_tile_avx2, tp_int8_tile_avx512);

/* --- Parts of a matrix --- */

static bool has_codes(const struct tp_quant_part *p)
{
    return p->kind == TP_QUANT_INT8 ||
           ((p->kind == TP_QUANT_SYM || p->kind == TP_QUANT_ASYM || p->kind == TP_QUANT_AFFINE) &&
            p->group % 8 == 0);
}

bool tp_int8_has(const struct tp_quant_matrix *w)
{
    const struct tp_quant_part *p = w->spec.part;

    for (unsigned i = 1; i < w->spec.parts; i++)
        if (!has_codes(&p[i]) && p[i].kind != TP_QUANT_OUTLIERS && p[i].kind != TP_QUANT_COLUMNS)
            return false;
    return has_codes(&p[0]) && w->spec.cols <= TP_INT8_COLS;
}

/* The memory that is left of the caller's. */
struct space {
    uint8_t *at, *end;
};

static void *take(struct space *s, size_t bytes)
{
    uint8_t *p = s->at;

    s->at += (bytes + 63) / 64 * 64;
    return p;
}

/* A part with codes. */
struct part {
    const struct tp_quant_matrix *w;
    const struct tp_quant_view *v;
    enum tp_isa isa;
    size_t group, groups, stride; /* of A, B and the sums of groups */
    uint32_t *base;
    uint8_t *lane;
    float *a, *b;
    uint8_t *wide; /* codes that were widened; NULL: they need not be */
    size_t wide_stride;
    struct tp_int8_tile tile;
};

/* The groups of all lanes. */
static void find_groups(const struct part *p, size_t steps)
{
    const size_t columns = p->tile.narrow ? 8 : 4;
    size_t g = 0, in_group = 0;

    for (size_t l = 0; l < steps * TP_INT8_LANES; l++, in_group += columns) {
        if (in_group == p->group && g + 1 < p->groups) {
            g++;
            in_group = 0;
        }
        if (l % TP_INT8_LANES == 0)
            p->base[l / TP_INT8_LANES] = (uint32_t)g;
        p->lane[l] = (uint8_t)(g - p->base[l / TP_INT8_LANES]);
    }
}

static void open_part(struct part *p, unsigned number, struct space *space)
{
    const struct tp_quant_part *part = &p->v[number].part;
    const size_t cols = p->w->spec.cols;
    struct tp_int8_tile *t = &p->tile;
    size_t steps;

    p->v += number;
    p->group = part->kind == TP_QUANT_INT8 ? cols : part->group;
    p->groups = cols / p->group;
    p->stride = (p->groups + TP_INT8_WINDOW - 1) / TP_INT8_WINDOW * TP_INT8_WINDOW + TP_INT8_WINDOW;
    t->narrow = part->bits <= 4;
    t->flip = part->kind == TP_QUANT_INT8 ? 0 : 0x80;
    t->bytes = t->narrow ? (cols + 1) / 2 : cols;
    steps = (t->bytes + TP_INT8_STEP - 1) / TP_INT8_STEP;
    t->whole = p->groups == 1 || p->group % (t->narrow ? 64 : 32) == 0;
    t->windows =
        part->kind == TP_QUANT_INT8 ? 0 : (p->groups + TP_INT8_WINDOW - 1) / TP_INT8_WINDOW;
    t->base = p->base = take(space, steps * sizeof *p->base);
    t->lane = p->lane = take(space, steps * TP_INT8_LANES);
    p->a = take(space, TP_INT8_ROWS * p->stride * sizeof *p->a);
    p->b = take(space, TP_INT8_ROWS * p->stride * sizeof *p->b);
    p->wide_stride = steps * TP_INT8_STEP;
    p->wide = part->bits < 4 ? take(space, TP_INT8_ROWS * p->wide_stride) : NULL;
    memset(p->a, 0, TP_INT8_ROWS * p->stride * sizeof *p->a);
    find_groups(p, steps);
}

/* The sums of the groups of M vectors. */
static void add_groups(const struct part *p, const void *packed, size_t width, size_t m,
                       float *sums)
{
    for (size_t i = 0; i < m; i++, sums += p->stride) {
        const float *from = tp_int8_vector(packed, width, i).sums;

        for (size_t g = 0; g < p->groups; g++) {
            float sum = *from++;

            for (size_t k = 1; k < p->group / 8; k++)
                sum += *from++;
            sums[g] = sum;
        }
        memset(sums + p->groups, 0, (p->stride - p->groups) * sizeof *sums);
    }
}

/* Rows R to R + ROWS - 1 of a part: their factors and codes. */
static void set_rows(struct part *p, size_t r, unsigned rows)
{
    const struct tp_quant_view *v = p->v;
    struct tp_int8_tile *t = &p->tile;

    t->rows = rows;
    factors_by_isa[p->isa](p->w, v, r, rows, p->groups, p->a, p->b, p->stride);
    for (unsigned j = 0; j < rows; j++) {
        t->a[j] = p->a + j * p->stride;
        t->b[j] = p->b + j * p->stride;
        t->codes[j] = v->section[TP_QUANT_CODES] + (r + j) * v->stride[TP_QUANT_CODES];
        if (p->wide) {
            uint8_t *to = p->wide + j * p->wide_stride;

            widen_by_isa[p->isa](t->codes[j], p->w->spec.cols, v->part.bits, to);
            t->codes[j] = to;
        }
    }
}

/* The products with part NUMBER, which are added to Y unless it is the first. */
static void multiply_codes(const struct tp_quant_matrix *w, unsigned number, size_t first,
                           size_t end, const void *packed, size_t m, float *y, size_t y_stride,
                           struct space space)
{
    struct part p = {.w = w, .v = w->view, .isa = tp_isa_get()};
    struct tp_int8_tile *t = &p.tile;
    const size_t width = tp_int8_width(w->spec.cols);
    size_t most;

    open_part(&p, number, &space);
    most = (size_t)(space.end - space.at) / (p.stride * sizeof(float));
    t->add = number > 0;
    t->width = width;
    t->sums_stride = p.stride;
    t->sums = (const float *)(const void *)space.at;
    t->y_stride = y_stride;
    for (size_t i = 0; i < m; i += t->m) {
        t->m = t->windows && m - i > most ? most : m - i;
        t->x = (const uint8_t *)packed + i * tp_int8_size(width);
        if (t->windows)
            add_groups(&p, t->x, width, t->m, (float *)(void *)space.at);
        for (size_t r = first; r < end; r += TP_INT8_ROWS) {
            set_rows(&p, r, (unsigned)(end - r < TP_INT8_ROWS ? end - r : TP_INT8_ROWS));
            t->y = y + i * y_stride + r;
            tile_by_isa[p.isa](t);
        }
    }
}

/* Elements of fp16 with columns, as tp_quant_open has checked them. */
TP_INLINE float add_elements(float y, const uint8_t *columns, const bool wide,
                             const uint8_t *values, size_t n, const float *x)
{
    for (size_t k = 0; k < n; k++) {
        size_t c = wide ? tp_get_le32(columns + 4 * k) : tp_get_le16(columns + 2 * k);

        y = tp_fma(x[c], tp_float_from_f16(tp_get_le16(values + 2 * k)), y);
    }
    return y;
}

TP_INLINE void multiply_elements(const struct tp_quant_view *v, size_t row, const float *x,
                                 size_t x_stride, size_t m, float *y, size_t y_stride)
{
    const uint8_t *values = v->section[TP_QUANT_SCALES], *table = v->section[TP_QUANT_TABLE];
    const uint8_t *columns = v->section[TP_QUANT_CODES];
    const bool outliers = v->part.kind == TP_QUANT_OUTLIERS;
    size_t from = outliers ? tp_get_le32(table + 4 * row) : 0;
    size_t n = outliers ? tp_get_le32(table + 4 * row + 4) - from : v->part.count;

    values += outliers ? 2 * from : row * v->stride[TP_QUANT_SCALES];
    for (size_t i = 0; i < m; i++)
        y[i * y_stride] =
            outliers ? add_elements(y[i * y_stride], columns + 2 * from, false, values, n,
                                    x + i * x_stride)
                     : add_elements(y[i * y_stride], table, true, values, n, x + i * x_stride);
}
_Static_assert(TP_INT8_COLS <= 65536, "columns of OUTLIERS are u16");

#define DEFINE(SUFFIX, TARGET)                                                                     \
    TARGET static void multiply_elements_##SUFFIX(const struct tp_quant_view *v, size_t row,       \
                                                  const float *x, size_t x_stride, size_t m,       \
                                                  float *y, size_t y_stride)                       \
    {                                                                                              \
        multiply_elements(v, row, x, x_stride, m, y, y_stride);                                    \
    }
TP_FOR_EACH_ISA(DEFINE)
#undef DEFINE

static void multiply(const struct tp_quant_matrix *w, size_t first, size_t end, const float *x,
                     size_t x_stride, const void *packed, size_t m, float *y, size_t y_stride,
                     struct space space)
{
    static const __typeof__(&multiply_elements_scalar) elements[TP_ISA_COUNT] =
        TP_BY_ISA(multiply_elements);

    for (unsigned i = 0; i < w->spec.parts; i++)
        if (has_codes(&w->spec.part[i]))
            multiply_codes(w, i, first, end, packed, m, y, y_stride, space);
        else
            for (size_t r = first; r < end; r++)
                elements[tp_isa_get()](&w->view[i], r, x, x_stride, m, y + r, y_stride);
}

void tp_int8_multiply(const struct tp_quant_matrix *w, size_t first, size_t end, const float *x,
                      size_t x_stride, const void *packed, size_t m, float *y, size_t y_stride,
                      void *scratch)
{
    const size_t cols = w->spec.cols;
    struct space space = {scratch, (uint8_t *)scratch + TP_KERNEL_SCRATCH};
    void *own;

    if (packed) {
        multiply(w, first, end, x, x_stride, packed, m, y, y_stride, space);
        return;
    }
    own = take(&space, tp_int8_bytes(1, cols));
    for (; m > 0; m--, x += x_stride, y += y_stride) {
        tp_int8_pack(x, x_stride, cols, 0, 1, own);
        multiply(w, first, end, x, x_stride, own, 1, y, y_stride, space);
    }
}
