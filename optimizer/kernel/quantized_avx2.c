/* SPDX-License-Identifier: MIT */
/*
 * Products with quantized matrices, AVX2: codes become numbers in registers, with the bits that
 * tp_quant_read gives, and each goes into the products of up to 3 vectors.
 */
#include <config.h>

#include <math.h>

#include "optimizer/kernel/impl.h"

#if TP_HAVE_X86

#include "optimizer/kernel/quantized.h"
#include "optimizer/kernel/vector_avx2.h"

enum {
    VECTORS = 3,
    ROWS = 4,
    GROUPS = TP_QUANTIZED_GROUPS,
    WIDE = 32,    /* columns of 4-bit codes that are expanded together */
    AHEAD = 1024, /* bytes that are fetched before they are needed, but at least 8 rows */
};

/*
 * The order of eight columns in the lanes of a register. Codes of 4 bits for few vectors are
 * expanded with the even columns before the odd ones, and the vectors are brought into this order
 * first: each partial sum adds the same products, and only its lane is another.
 */
enum order { NATURAL, EVEN_FIRST };

TP_INLINE TP_TARGET_AVX2 __m256i even_first(void)
{
    return _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
}

/* Factors of a group in all lanes. */
struct factors {
    __m256 a, b;
};

TP_INLINE TP_TARGET_AVX2 struct factors all_lanes(float a, float b)
{
    return (struct factors){_mm256_set1_ps(a), _mm256_set1_ps(b)};
}

/* Eight codes from P on, in the low bits of each lane. */
TP_INLINE TP_TARGET_AVX2 __m256i load_codes(const uint8_t *p, const enum tp_quantized kind,
                                            const enum order order)
{
    int32_t four;
    __m256i shifts;

    if (kind == TP_QUANTIZED_SIGNED8)
        return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
    if (!tp_quantized_narrow(kind))
        return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
    memcpy(&four, p, sizeof four);
    if (kind == TP_QUANTIZED_NF4)
        shifts = order == NATURAL ? _mm256_setr_epi32(4, 0, 12, 8, 20, 16, 28, 24)
                                  : _mm256_setr_epi32(4, 12, 20, 28, 0, 8, 16, 24);
    else
        shifts = order == NATURAL ? _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28)
                                  : _mm256_setr_epi32(0, 8, 16, 24, 4, 12, 20, 28);
    return _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32(four), shifts),
                            _mm256_set1_epi32(15));
}

/* The factors of GROUPS groups from K on, with half-precision scales; K is a multiple of GROUPS. */
TP_INLINE TP_TARGET_AVX2 void read_scales(const struct tp_quantized_row *r, size_t k, float *a,
                                          float *b, const enum tp_quantized kind)
{
    const struct tp_quant_view *v = r->view;
    const uint8_t *zeros = v->section[TP_QUANT_ZEROS];
    const bool narrow = tp_quantized_narrow(kind);
    __m256 scale = tp_load8(
        v->section[TP_QUANT_SCALES] + r->row * v->stride[TP_QUANT_SCALES] + 2 * k, TP_DTYPE_F16);
    __m256i zero = _mm256_set1_epi32(narrow ? 8 : 128);

    if (zeros)
        zeros += r->row * v->stride[TP_QUANT_ZEROS];
    if (kind == TP_QUANTIZED_AFFINE4 || kind == TP_QUANTIZED_AFFINE8) {
        _mm256_storeu_ps(a, scale);
        _mm256_storeu_ps(b, tp_load8(zeros + 2 * k, TP_DTYPE_F16));
        return;
    }
    if (zeros)
        zero = load_codes(zeros + (narrow ? k / 2 : k), kind, NATURAL);
    _mm256_storeu_ps(a, narrow ? _mm256_mul_ps(scale, _mm256_set1_ps(0x1p-24f)) : scale);
    _mm256_storeu_ps(b, narrow ? _mm256_castsi256_ps(_mm256_slli_epi32(zero, 24))
                               : _mm256_cvtepi32_ps(zero));
}

/* Whether the matrix has GROUPS factors from group K on, which may be those of other rows. */
TP_INLINE bool has_groups(const struct tp_quantized_row *r, size_t k)
{
    const struct tp_quant_view *v = r->view;
    const uint8_t *zeros = v->section[TP_QUANT_ZEROS];
    const size_t at = sizeof(uint16_t) * k, most = sizeof(uint16_t) * GROUPS;

    return v->section[TP_QUANT_SCALES] + r->row * v->stride[TP_QUANT_SCALES] + at + most <=
               r->end &&
           (!zeros || zeros + r->row * v->stride[TP_QUANT_ZEROS] + at + most <= r->end);
}

/* The factors of N groups from K on, at most GROUPS, of a row that has ALL. */
TP_INLINE TP_TARGET_AVX2 void read_factors(const struct tp_quantized_row *r, size_t k, size_t n,
                                           size_t all, float *a, float *b,
                                           const enum tp_quantized kind)
{
    if (kind != TP_QUANTIZED_SIGNED8 && kind != TP_QUANTIZED_NF4 &&
        (n == GROUPS || has_groups(r, k))) {
        read_scales(r, k, a, b, kind);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        struct tp_factors f = tp_quantized_factors(r, k + i, all, kind);

        a[i] = f.a;
        b[i] = f.b;
    }
}

TP_TARGET_AVX2 void tp_quantized_read_factors(const struct tp_quantized_row *r, size_t k, size_t n,
                                              size_t all, float *a, float *b,
                                              enum tp_quantized kind)
{
    read_factors(r, k, n, all, a, b, kind);
}

/* The values of eight codes of SCALED4, each in the highest byte of its lane. */
TP_INLINE TP_TARGET_AVX2 __m256 scaled(__m256i q, const struct factors *f)
{
    q = _mm256_sub_epi32(q, _mm256_castps_si256(f->b));
    return _mm256_mul_ps(_mm256_cvtepi32_ps(q), f->a);
}

/* The values of eight codes. */
TP_INLINE TP_TARGET_AVX2 __m256 values_of(__m256i q, const struct factors *f,
                                          const enum tp_quantized kind)
{
    __m256 low, high;

    switch (kind) {
    case TP_QUANTIZED_NF4: /* a permutation looks at three bits; the fourth chooses the half */
        low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(tp_quant_nf4), q);
        high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(tp_quant_nf4 + 8), q);
        return _mm256_mul_ps(
            _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(q, 28))), f->a);
    case TP_QUANTIZED_SCALED4:
        return scaled(_mm256_slli_epi32(q, 24), f);
    case TP_QUANTIZED_SCALED8:
        return _mm256_mul_ps(_mm256_sub_ps(_mm256_cvtepi32_ps(q), f->b), f->a);
    case TP_QUANTIZED_SIGNED8:
        return _mm256_mul_ps(_mm256_cvtepi32_ps(q), f->a);
    default:
        return _mm256_fmadd_ps(_mm256_cvtepi32_ps(q), f->a, f->b);
    }
}

/* Byte K of each of NF4's sixteen values, twice. */
TP_INLINE TP_TARGET_AVX2 __m256i nf4_bytes(unsigned k)
{
    uint8_t bytes[16];

    for (unsigned i = 0; i < 16; i++)
        memcpy(&bytes[i], (const uint8_t *)&tp_quant_nf4[i] + k, 1);
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)bytes));
}

/* The tables that values of WIDE codes are looked up in; NF4 only. */
struct tables {
    __m256i bytes[4];
};

/* WIDE codes of a row; of NF4, the halves of their values. */
struct wide {
    __m256i q, low[2], high[2];
};

TP_INLINE TP_TARGET_AVX2 struct wide load_wide(const uint8_t *p, const struct tables *t,
                                               const enum tp_quantized kind)
{
    const __m256i shifts =
        kind == TP_QUANTIZED_NF4 ? _mm256_setr_epi64x(4, 4, 0, 0) : _mm256_setr_epi64x(0, 0, 4, 4);
    struct wide w;

    /* even codes in the lower half, odd ones in the upper half: a byte for each */
    w.q = _mm256_and_si256(
        _mm256_srlv_epi64(
            _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)p)), shifts),
        _mm256_set1_epi8(15));
    if (kind == TP_QUANTIZED_NF4)
        TP_UNROLL for (unsigned k = 0; k < 2; k++)
        {
            __m256i even = _mm256_shuffle_epi8(t->bytes[2 * k], w.q);
            __m256i odd = _mm256_shuffle_epi8(t->bytes[2 * k + 1], w.q);

            w.low[k] = _mm256_unpacklo_epi8(even, odd);
            w.high[k] = _mm256_unpackhi_epi8(even, odd);
        }
    return w;
}

/* The values of the columns 8 * K to 8 * K + 7 of W, in the order EVEN_FIRST. */
TP_INLINE TP_TARGET_AVX2 __m256 wide_values(const struct wide *w, const struct factors *f,
                                            const enum tp_quantized kind, const unsigned k)
{
    const __m256i *halves = k < 2 ? w->low : w->high;
    const bool highest = kind == TP_QUANTIZED_SCALED4;
    const int32_t zeros = (int32_t)(highest ? 0x00808080 : 0x80808000); /* 0x80: a byte of zeros */
    const int32_t unit = highest ? 1 << 24 : 1, at = zeros + 4 * (int32_t)k * unit;
    __m256i q;

    if (kind == TP_QUANTIZED_NF4)
        return _mm256_mul_ps(_mm256_castsi256_ps(k % 2
                                                     ? _mm256_unpackhi_epi16(halves[0], halves[1])
                                                     : _mm256_unpacklo_epi16(halves[0], halves[1])),
                             f->a);
    q = _mm256_shuffle_epi8(w->q, _mm256_setr_epi32(at, at + unit, at + 2 * unit, at + 3 * unit, at,
                                                    at + unit, at + 2 * unit, at + 3 * unit));
    return highest ? scaled(q, f) : values_of(q, f, kind);
}

/* Products that are under way: of M vectors with N rows. */
struct few {
    const float *x;
    size_t x_stride;
    size_t ahead; /* where to fetch; 0: do not */
    const struct tables *tables;
    const uint8_t *codes[ROWS];
    const float (*a)[GROUPS], (*b)[GROUPS]; /* factors of the rows */
    __m256 sums[VECTORS][ROWS];
};

/* Fetch what follows in memory, as much as the BYTES at AT of N rows, which begin a line. */
TP_INLINE TP_TARGET_AVX2 void fetch(const struct few *p, size_t at, size_t bytes, const unsigned n)
{
    if (p->ahead && n * at % TP_CACHE_LINE < n * bytes) /* beyond the matrix nothing happens */
        _mm_prefetch((const char *)((uintptr_t)p->codes[0] + n * at + p->ahead), _MM_HINT_T0);
}

/* Eight columns of all rows, from C on, in group L. */
TP_INLINE TP_TARGET_AVX2 void add_eight(struct few *p, size_t c, size_t l,
                                        const enum tp_quantized kind, const unsigned m,
                                        const unsigned n)
{
    const size_t bytes = tp_quantized_narrow(kind) ? 4 : 8, at = c / 8 * bytes;

    fetch(p, at, bytes, n);
    TP_UNROLL for (unsigned j = 0; j < n; j++)
    {
        const struct factors f = all_lanes(p->a[j][l], p->b[j][l]);
        __m256 v = values_of(load_codes(p->codes[j] + at, kind, EVEN_FIRST), &f, kind);

        TP_UNROLL for (unsigned i = 0; i < m; i++) p->sums[i][j] =
            _mm256_fmadd_ps(_mm256_loadu_ps(p->x + i * p->x_stride + c), v, p->sums[i][j]);
    }
}

/* WIDE columns, which PER groups from L on have. */
TP_INLINE TP_TARGET_AVX2 void add_wide(struct few *p, size_t c, size_t l,
                                       const enum tp_quantized kind, const unsigned m,
                                       const unsigned n, const unsigned per)
{
    const float(*a)[GROUPS] = p->a, (*b)[GROUPS] = p->b;

    fetch(p, c / 2, WIDE / 2, n);
    /* Read factors for each use: compilers would rather keep them in registers, and the sums not.
     */
    __asm__("" : "+r"(a), "+r"(b));
    TP_UNROLL for (unsigned j = 0; j < n; j++)
    {
        const struct factors first = all_lanes(a[j][l], b[j][l]);
        const struct wide w = load_wide(p->codes[j] + c / 2, p->tables, kind);

        TP_UNROLL for (unsigned k = 0; k < WIDE / 8; k++)
        {
            const size_t g = l + k * per / (WIDE / 8);
            const struct factors f = per == 1 ? first : all_lanes(a[j][g], b[j][g]);
            __m256 v = wide_values(&w, &f, kind, k);

            TP_UNROLL for (unsigned i = 0; i < m; i++) p->sums[i][j] = _mm256_fmadd_ps(
                _mm256_loadu_ps(p->x + i * p->x_stride + c + 8 * k), v, p->sums[i][j]);
        }
    }
}

/* The groups of GROUP columns from column C on, whose factors are there: COUNT of them. */
TP_INLINE TP_TARGET_AVX2 void add_groups(struct few *p, size_t c, size_t count, size_t group,
                                         const enum tp_quantized kind, const unsigned m,
                                         const unsigned n)
{
    const bool narrow = tp_quantized_narrow(kind);
    size_t l = 0;

    for (; narrow && group == 8 && l + 4 <= count; l += 4, c += WIDE)
        add_wide(p, c, l, kind, m, n, 4);
    for (; narrow && group == 16 && l + 2 <= count; l += 2, c += WIDE)
        add_wide(p, c, l, kind, m, n, 2);
    for (; l < count; l++) {
        const size_t end = c + group;

        for (; narrow && c + WIDE <= end; c += WIDE)
            add_wide(p, c, l, kind, m, n, 1);
        for (; c < end; c += 8)
            add_eight(p, c, l, kind, m, n);
    }
}

/*
 * If the scales of COUNT groups of N rows are finite and above 0, the values of SCALED4 are those
 * of AFFINE4 with b = -(zero * scale), which take one operation less: make factors of AFFINE4.
 */
TP_INLINE TP_TARGET_AVX2 bool make_affine(float (*a)[GROUPS], float (*b)[GROUPS], size_t count,
                                          const unsigned n)
{
    const __m256 none = _mm256_setzero_ps(), most = _mm256_set1_ps(INFINITY);
    int ordinary = 0xff;

    TP_UNROLL for (unsigned j = 0; j < n; j++)
    {
        const __m256 scale = _mm256_loadu_ps(a[j]);

        ordinary &= _mm256_movemask_ps(_mm256_and_ps(_mm256_cmp_ps(scale, none, _CMP_GT_OQ),
                                                     _mm256_cmp_ps(scale, most, _CMP_LT_OQ)));
    }
    if (~ordinary & ((1 << count) - 1))
        return false;
    TP_UNROLL for (unsigned j = 0; j < n; j++)
    {
        const __m256 scale = _mm256_mul_ps(_mm256_loadu_ps(a[j]), _mm256_set1_ps(0x1p24f));
        const __m256i bits = _mm256_castps_si256(_mm256_loadu_ps(b[j]));
        const __m256 zero = _mm256_cvtepi32_ps(_mm256_srli_epi32(bits, 24));

        _mm256_storeu_ps(a[j], scale);
        _mm256_storeu_ps(b[j], _mm256_sub_ps(none, _mm256_mul_ps(zero, scale)));
    }
    return true;
}

/* The products of M vectors with N rows from R on. */
TP_INLINE TP_TARGET_AVX2 void few(const struct tp_quant_matrix *w, size_t r, const float *x,
                                  size_t x_stride, float *y, size_t y_stride,
                                  const struct tables *tables, const enum tp_quantized kind,
                                  const unsigned m, const unsigned n)
{
    const size_t group = tp_quantized_group(w), groups = w->spec.cols / group;
    const size_t stride = w->spec.cols / 8 * (tp_quantized_narrow(kind) ? 4 : 8);
    struct tp_quantized_row rows[ROWS];
    float a[ROWS][GROUPS], b[ROWS][GROUPS];
    struct few p = {.x = x, .x_stride = x_stride, .tables = tables, .a = a, .b = b};

    p.ahead = m > 1 ? 0 : 8 * stride > AHEAD ? 8 * stride : AHEAD;
    TP_UNROLL for (unsigned j = 0; j < n; j++)
    {
        rows[j] = tp_quantized_row(w, r + j, kind);
        p.codes[j] = rows[j].codes;
        TP_UNROLL for (unsigned i = 0; i < m; i++) p.sums[i][j] = _mm256_setzero_ps();
    }
    for (size_t k = 0; k < groups; k += GROUPS) {
        const size_t count = groups - k < GROUPS ? groups - k : GROUPS;

        TP_UNROLL for (unsigned j = 0; j < n; j++)
            read_factors(&rows[j], k, count, groups, a[j], b[j], kind);
        if (kind == TP_QUANTIZED_SCALED4 && make_affine(a, b, count, n))
            add_groups(&p, k * group, count, group, TP_QUANTIZED_AFFINE4, m, n);
        else
            add_groups(&p, k * group, count, group, kind, m, n);
    }
    TP_UNROLL for (unsigned i = 0; i < m; i++) TP_UNROLL for (unsigned j = 0; j < n; j++)
    {
        if (tp_quantized_narrow(kind))
            p.sums[i][j] =
                _mm256_permutevar8x32_ps(p.sums[i][j], _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    }
    TP_UNROLL for (unsigned i = 0; i < m; i++)
    {
        if (n == 4)
            _mm_storeu_ps(y + i * y_stride + r,
                          tp_sum_four(p.sums[i][0], p.sums[i][1], p.sums[i][2], p.sums[i][3]));
        else
            TP_UNROLL for (unsigned j = 0; j < n; j++) y[i * y_stride + r + j] =
                tp_sum_one(p.sums[i][j]);
    }
}

/* Few vectors leave registers for more rows. */
TP_INLINE TP_TARGET_AVX2 void few_rows(const struct tp_quant_matrix *w, size_t first, size_t end,
                                       const float *x, size_t x_stride, float *y, size_t y_stride,
                                       const struct tables *tables, const enum tp_quantized kind,
                                       const unsigned m)
{
    const unsigned n = m == 1 ? 4 : 2;
    size_t r = first;

    for (; r + n <= end; r += n)
        few(w, r, x, x_stride, y, y_stride, tables, kind, m, n);
    for (; r < end; r++)
        few(w, r, x, x_stride, y, y_stride, tables, kind, m, 1);
}

/* Four rows at a time, so that they stay in the cache for all vectors. */
TP_INLINE TP_TARGET_AVX2 void few_vectors(const struct tp_quant_matrix *w, size_t first, size_t end,
                                          const float *x, size_t x_stride, size_t m, float *y,
                                          size_t y_stride, const enum tp_quantized kind)
{
    struct tables t = {{{0}}};

    TP_UNROLL for (unsigned k = 0; kind == TP_QUANTIZED_NF4 && k < 4; k++) t.bytes[k] =
        nf4_bytes(k);
    for (size_t r = first, next; r < end; r = next) {
        size_t i = 0;

        next = m == 1 || r + 4 > end ? end : r + 4;
        for (; i + 3 <= m; i += 3)
            few_rows(w, r, next, x + i * x_stride, x_stride, y + i * y_stride, y_stride, &t, kind,
                     3);
        for (; i < m; i++)
            few_rows(w, r, next, x + i * x_stride, x_stride, y + i * y_stride, y_stride, &t, kind,
                     1);
    }
}

TP_INLINE TP_TARGET_AVX2 void expand(const struct tp_quant_matrix *w, size_t row, size_t col,
                                     size_t count, float *dst, size_t step,
                                     const enum tp_quantized kind)
{
    const size_t bytes = tp_quantized_narrow(kind) ? 4 : 8;
    const size_t group = tp_quantized_group(w), groups = w->spec.cols / group;
    const struct tp_quantized_row r = tp_quantized_row(w, row, kind);

    for (size_t c = col; c < col + count;) {
        const struct tp_factors factors = tp_quantized_factors(&r, c / group, groups, kind);
        const struct factors f = all_lanes(factors.a, factors.b);
        size_t end = (c / group + 1) * group;

        for (end = end < col + count ? end : col + count; c < end; c += 8, dst += step)
            _mm256_storeu_ps(
                dst, values_of(load_codes(r.codes + c / 8 * bytes, kind, NATURAL), &f, kind));
    }
}

/* M vectors in the order EVEN_FIRST. */
TP_INLINE TP_TARGET_AVX2 void reorder(const float *x, size_t x_stride, size_t m, size_t cols,
                                      float *dst)
{
    for (size_t i = 0; i < m; i++, x += x_stride, dst += cols)
        for (size_t c = 0; c < cols; c += 8)
            _mm256_store_ps(dst + c,
                            _mm256_permutevar8x32_ps(_mm256_loadu_ps(x + c), even_first()));
}

static TP_TARGET_AVX2 void few_of_kind(const struct tp_quant_matrix *w, size_t first, size_t end,
                                       const float *x, size_t x_stride, size_t m, float *y,
                                       size_t y_stride, enum tp_quantized kind)
{
#define FEW(KIND) few_vectors(w, first, end, x, x_stride, m, y, y_stride, KIND)
    TP_BY_QUANTIZED(kind, FEW);
}

TP_TARGET_AVX2 void tp_few_quantized_avx2(const struct tp_matrix *w, size_t first, size_t end,
                                          const float *x, size_t x_stride, size_t m, float *y,
                                          size_t y_stride, void *scratch)
{
    const enum tp_quantized kind = tp_quantized_kind(w->data);
    const bool narrow = tp_quantized_narrow(kind);
    const size_t most = narrow ? TP_KERNEL_SCRATCH / (w->cols * sizeof *x) : m;

    for (size_t i = 0, n; i < m; i += n, x += n * x_stride, y += n * y_stride) {
        const float *from = narrow ? scratch : x;
        const size_t stride = narrow ? w->cols : x_stride;

        n = m - i < most ? m - i : most;
        if (narrow)
            reorder(x, x_stride, n, w->cols, scratch);
        few_of_kind(w->data, first, end, from, stride, n, y, y_stride, kind);
    }
}

TP_TARGET_AVX2 void tp_expand_quantized_avx2(const struct tp_matrix *w, size_t row, size_t col,
                                             size_t count, float *dst, size_t step)
{
#define EXPAND(KIND) expand(w->data, row, col, count, dst, step, KIND)
    TP_BY_QUANTIZED(tp_quantized_kind(w->data), EXPAND);
}

#endif
