/* SPDX-License-Identifier: MIT */
/* The kernels of parts of quantized matrices for products of few vectors, AVX2. */
#include <config.h>

#include "optimizer/kernel/impl.h"

#if TP_HAVE_X86

#include "base/le.h"
#include "optimizer/kernel/parts_avx2.h"
#include "optimizer/kernel/quantized.h"
#include "optimizer/kernel/vector_avx2.h"
#include "optimizer/kernel/wide_avx2.h"

enum {
    AHEAD_ROWS = 8,  /* that are fetched before they are needed, */
    AHEAD = 1024,    /* but at least so many bytes */
    TABLE_ROWS = 32, /* from here on, a codebook in fp32 pays */
};

/* What an element is, of a code q and two factors of its group. */
enum coding {
    SCALED, /* (q - b) * a */
    MIDDLE, /* the same where b is the middle of the codes, as q' * a', q' = (q - b) * 2^28 */
    AFFINE, /* q * a + b */
    SIGNED, /* q * a; a byte with a sign */
    BOOK,   /* halves of a table, times a */
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* --- Factors --- */

/* N halves at P, before END, which may be followed by others, times UNIT. TO has 8 more. */
TP_INLINE TP_TARGET_AVX2 void read_halves(const uint8_t *p, const uint8_t *end, size_t n,
                                          const float unit, float *to)
{
    size_t i = 0;

    for (; i < n && (size_t)(end - p) >= 2 * i + 16; i += 8)
        _mm256_storeu_ps(to + i,
                         _mm256_mul_ps(tp_load8(p + 2 * i, TP_DTYPE_F16), _mm256_set1_ps(unit)));
    for (; i < n; i++)
        to[i] = tp_f16_at(p, i) * unit;
}

/* Halves of the groups K to K + N - 1 of a row. */
TP_INLINE TP_TARGET_AVX2 void row_halves(const struct tp_part_tile *t,
                                         const struct tp_quant_view *v, enum tp_quant_section_id id,
                                         size_t row, size_t k, size_t n, const float unit,
                                         float *to)
{
    const size_t stride = v->stride[id];
    const uint8_t *p = v->section[id] + row * stride + 2 * k;

    _mm_prefetch((const char *)((uintptr_t)p + AHEAD_ROWS * stride), _MM_HINT_T0);
    read_halves(p, v->section[id] + t->w->spec.rows * stride, n, unit, to);
}

/* The factors of N groups of a row from group K on. */
TP_INLINE TP_TARGET_AVX2 void read_factors(const struct tp_part_tile *t,
                                           const struct tp_quant_view *v, size_t row, size_t k,
                                           size_t n, float *a, float *b, const enum coding coding,
                                           const unsigned bits)
{
    const uint8_t *zeros = v->section[TP_QUANT_ZEROS];

    if (coding == SIGNED) {
        *a = tp_f32_at(v->section[TP_QUANT_SCALES], row) * TP_QUANT_INT8_UNIT;
        return;
    }
    if (coding == BOOK) {
        *a = tp_f16_at(v->section[TP_QUANT_SCALES], row);
        return;
    }
    row_halves(t, v, TP_QUANT_SCALES, row, k, n, coding == MIDDLE ? 0x1p-28f : 1, a);
    if (coding == MIDDLE)
        return;
    if (coding == AFFINE)
        row_halves(t, v, TP_QUANT_ZEROS, row, k, n, 1, b);
    else if (zeros)
        for (size_t i = 0; i < n; i++)
            b[i] = (float)tp_quant_code(zeros + row * v->stride[TP_QUANT_ZEROS], k + i, bits);
    else
        for (size_t i = 0; i < n; i += 8)
            _mm256_storeu_ps(b + i, _mm256_set1_ps((float)(1u << (bits - 1))));
}

/* Repeat the factors of groups of GROUP columns, which begin SKIP columns before, N columns. */
static TP_TARGET_AVX2 void spread(const float *factors, size_t group, size_t skip, size_t n,
                                  float *to)
{
    for (size_t c = 0, end = group - skip; c < n; end += group) {
        const __m256 factor = _mm256_set1_ps(*factors++);

        end = least(end, n);
        for (size_t i = c; i < end; i += 8)
            _mm256_storeu_ps(to + i, factor);
        c = end;
    }
}

/* Those of the tile's rows: of each group, or of each column. */
TP_INLINE TP_TARGET_AVX2 void tile_factors(const struct tp_part_tile *t,
                                           const struct tp_quant_view *v, size_t group, float *to_a,
                                           float *to_b, const enum coding coding,
                                           const unsigned bits, const bool columns)
{
    const size_t k = t->col / group, n = (t->col + t->cols - 1) / group + 1 - k;
    float a[TP_PART_FACTORS], b[TP_PART_FACTORS];

    for (size_t j = 0; j < TP_PART_ROWS; j++, to_a += TP_PART_FACTORS, to_b += TP_PART_FACTORS) {
        if (columns) {
            read_factors(t, v, t->row[j], k, n, a, b, coding, bits);
            spread(a, group, t->col - k * group, t->cols, to_a);
            spread(b, group, t->col - k * group, t->cols, to_b);
        } else {
            read_factors(t, v, t->row[j], k, n, to_a, to_b, coding, bits);
        }
    }
}

/* --- Values --- */

TP_INLINE bool multiplies(const enum tp_part_mode mode)
{
    return mode == TP_PART_MULTIPLY || mode == TP_PART_ADD_MULTIPLY;
}

/* Eight values of row J. */
TP_INLINE TP_TARGET_AVX2 void put_eight(const struct tp_part_tile *t, unsigned j, size_t c,
                                        __m256 v, __m256 x, __m256 *sum,
                                        const enum tp_part_mode mode)
{
    float *at = t->values + j * TP_PART_STRIDE + c;

    if (mode == TP_PART_ADD || mode == TP_PART_ADD_MULTIPLY)
        v = _mm256_add_ps(_mm256_load_ps(at), v);
    if (multiplies(mode))
        *sum = _mm256_fmadd_ps(x, v, *sum);
    else
        _mm256_store_ps(at, v);
}

/* Eight codes from a byte on, which they and no others fill. */
TP_INLINE TP_TARGET_AVX2 __m256 eight_codes(const uint8_t *p, const unsigned bits)
{
    const int n = (int)bits;
    const __m256i shifts = _mm256_setr_epi32(0, n, 2 * n, 3 * n, 4 * n, 5 * n, 6 * n, 7 * n);
    __m256i q;

    if (bits == 8)
        return _mm256_cvtepi32_ps(
            _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
    if (bits == 4)
        q = _mm256_set1_epi32((int)tp_get_le32(p));
    else if (bits == 2)
        q = _mm256_set1_epi32(tp_get_le16(p));
    else
        q = _mm256_set1_epi32((int)(tp_get_le16(p) | (uint32_t)p[2] << 16));
    return _mm256_cvtepi32_ps(
        _mm256_and_si256(_mm256_srlv_epi32(q, shifts), _mm256_set1_epi32((1 << bits) - 1)));
}

TP_INLINE TP_TARGET_AVX2 __m256 eight_values(const uint8_t *p, __m256 a, __m256 b,
                                             const enum coding coding, const unsigned bits)
{
    __m256 q;

    if (coding == SIGNED) {
        q = _mm256_cvtepi32_ps(
            _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
        return _mm256_mul_ps(q, a);
    }
    q = eight_codes(p, bits);
    return coding == AFFINE ? _mm256_fmadd_ps(q, a, b) : _mm256_mul_ps(_mm256_sub_ps(q, b), a);
}

/* The values of all codes of 2 bits, in both halves, or of 3 bits. */
TP_INLINE TP_TARGET_AVX2 __m256 all_values(__m256 a, __m256 b, const enum coding coding,
                                           const unsigned bits)
{
    const __m256 q =
        bits == 2 ? _mm256_setr_ps(0, 1, 2, 3, 0, 1, 2, 3) : _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7);

    return coding == AFFINE ? _mm256_fmadd_ps(q, a, b) : _mm256_mul_ps(_mm256_sub_ps(q, b), a);
}

/*
 * Eight of these, by the codes at P. A permutation looks at two or at three bits. Codes of 3 bits
 * are read with the byte before: there is one, the matrix begins with its header.
 */
TP_INLINE TP_TARGET_AVX2 __m256 look_up(const uint8_t *p, __m256 values, const unsigned bits)
{
    if (bits == 2)
        return _mm256_permutevar_ps(
            values, _mm256_srlv_epi32(_mm256_set1_epi16((short)tp_get_le16(p)),
                                      _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14)));
    return _mm256_permutevar8x32_ps(
        values, _mm256_srlv_epi32(_mm256_set1_epi32((int)tp_get_le32(p - 1)),
                                  _mm256_setr_epi32(8, 11, 14, 17, 20, 23, 26, 29)));
}

/* Fetch what follows in all rows, where the BYTES from AT on begin a line. */
TP_INLINE TP_TARGET_AVX2 void fetch(const uint8_t *const *codes, size_t at, size_t bytes,
                                    size_t ahead)
{
    if (at % TP_CACHE_LINE < bytes)
        TP_UNROLL for (unsigned j = 0; j < TP_PART_ROWS;
                       j++) /* beyond the matrix nothing happens */
            _mm_prefetch((const char *)((uintptr_t)codes[j] + at + ahead), _MM_HINT_T0);
}

static size_t bytes_ahead(const struct tp_quant_view *v)
{
    const size_t bytes = AHEAD_ROWS * v->stride[TP_QUANT_CODES];

    return bytes > AHEAD ? bytes : AHEAD;
}

/* The last columns of the rows, less than eight. */
TP_INLINE TP_TARGET_AVX2 void add_rest(const struct tp_part_tile *t, const uint8_t *const *codes,
                                       size_t c, size_t at, __m256 *sums, const enum coding coding,
                                       const unsigned bits, const bool columns,
                                       const enum tp_part_mode mode)
{
    const size_t n = t->cols - c;
    const __m256i mask = tp_first_lanes(n);
    __m256 x = _mm256_setzero_ps();

    if (multiplies(mode))
        x = _mm256_maskload_ps(t->x + c, mask);
    for (unsigned j = 0; j < TP_PART_ROWS; j++) {
        const float *a = t->a + j * TP_PART_FACTORS, *b = t->b + j * TP_PART_FACTORS;
        const __m256 scale = columns ? _mm256_loadu_ps(a + c) : _mm256_set1_ps(*a);
        const __m256 zero = columns ? _mm256_loadu_ps(b + c) : _mm256_set1_ps(*b);
        uint8_t last[8] = {0};

        for (size_t i = 0; i < (n * bits + 7) / 8; i++)
            last[i] = codes[j][at + i];
        put_eight(
            t, j, c,
            _mm256_and_ps(eight_values(last, scale, zero, coding, bits), _mm256_castsi256_ps(mask)),
            x, &sums[j], mode);
    }
}

/*
 * A part with codes in groups of GROUP columns, a multiple of 8, or all of the row; with COLUMNS of
 * any number.
 */
TP_INLINE TP_TARGET_AVX2 void part_codes(const struct tp_part_tile *tile,
                                         const struct tp_quant_view *v, size_t group,
                                         const enum coding coding, const unsigned bits,
                                         const bool columns, const enum tp_part_mode mode)
{
    const struct tp_part_tile t = *tile;
    const size_t whole = t.cols & ~(size_t)7, ahead = bytes_ahead(v);
    const bool table = bits < 4 && !columns; /* the values of a group are looked up */
    const uint8_t *codes[TP_PART_ROWS];
    size_t at = t.col / 8 * bits, c = 0, next = columns ? whole : group - t.col % group;
    __m256 sums[TP_PART_ROWS];

    tile_factors(&t, v, group, t.a, t.b, coding, bits, columns);
    TP_UNROLL for (unsigned j = 0; j < TP_PART_ROWS; j++)
    {
        codes[j] = v->section[TP_QUANT_CODES] + t.row[j] * v->stride[TP_QUANT_CODES];
        sums[j] = multiplies(mode) ? t.sums[j] : _mm256_setzero_ps();
    }
    for (size_t k = 0; c < whole; k++, next += group) {
        const size_t end = least(next, whole);
        __m256 a[TP_PART_ROWS], b[TP_PART_ROWS];

        TP_UNROLL for (unsigned j = 0; j < TP_PART_ROWS; j++)
        {
            a[j] = _mm256_broadcast_ss(t.a + j * TP_PART_FACTORS + k);
            b[j] = _mm256_broadcast_ss(t.b + j * TP_PART_FACTORS + k);
            if (table)
                a[j] = all_values(a[j], b[j], coding, bits);
        }
        for (; c < end; c += 8, at += bits) {
            const __m256 x = multiplies(mode) ? _mm256_loadu_ps(t.x + c) : _mm256_setzero_ps();

            fetch(codes, at, bits, ahead);
            TP_UNROLL for (unsigned j = 0; j < TP_PART_ROWS; j++)
            {
                if (columns) {
                    a[j] = _mm256_loadu_ps(t.a + j * TP_PART_FACTORS + c);
                    b[j] = _mm256_loadu_ps(t.b + j * TP_PART_FACTORS + c);
                }
                put_eight(&t, j, c,
                          table ? look_up(codes[j] + at, a[j], bits)
                                : eight_values(codes[j] + at, a[j], b[j], coding, bits),
                          x, &sums[j], mode);
            }
        }
    }
    if ((columns || coding == SIGNED) && c < t.cols)
        add_rest(&t, codes, c, at, sums, coding, bits, columns, mode);
    if (multiplies(mode))
        TP_UNROLL for (unsigned j = 0; j < TP_PART_ROWS; j++) t.sums[j] = sums[j];
}

/* A part that is expanded TP_WIDE columns at a time. */
struct wide {
    const uint8_t *codes[TP_PART_ROWS];
    const float *a, *b, *table;
    size_t at, ahead;      /* of the codes: byte of a row, what to fetch */
    size_t k, group, next; /* group of the tile; its columns; where the next one begins */
};

TP_INLINE TP_TARGET_AVX2 struct wide open_wide(const struct tp_part_tile *t, unsigned part,
                                               const unsigned second, const enum tp_wide kind)
{
    const struct tp_quant_view *v = &t->w->view[part];
    const unsigned bits = tp_wide_bytes(kind);
    struct wide w = {.at = t->col / 8 * bits, .ahead = bytes_ahead(v), .table = t->table[part]};
    float *a = t->a + second * TP_PART_ROWS * TP_PART_FACTORS,
          *b = t->b + second * TP_PART_ROWS * TP_PART_FACTORS;

    w.group = kind == TP_WIDE_BOOK ? t->w->spec.cols : v->part.group;
    w.next = w.group - t->col % w.group;
    w.a = a;
    w.b = b;
    tile_factors(t, v, w.group, a, b,
                 kind == TP_WIDE_BOOK      ? BOOK
                 : kind == TP_WIDE_AFFINE2 ? AFFINE
                                           : MIDDLE,
                 bits, false);
    TP_UNROLL for (unsigned j = 0; j < TP_PART_ROWS; j++) w.codes[j] =
        v->section[TP_QUANT_CODES] + t->row[j] * v->stride[TP_QUANT_CODES];
    return w;
}

TP_INLINE TP_TARGET_AVX2 void start_wide(struct wide *w, size_t c, const enum tp_wide kind)
{
    if (tp_wide_groups(kind) == 1 && c == w->next) {
        w->next += w->group;
        w->k++;
    }
    fetch(w->codes, w->at, TP_WIDE_EIGHTS * tp_wide_bytes(kind), w->ahead);
}

TP_INLINE void advance_wide(struct wide *w, const enum tp_wide kind)
{
    w->at += TP_WIDE_EIGHTS * tp_wide_bytes(kind);
    if (tp_wide_groups(kind) > 1)
        w->k += tp_wide_groups(kind);
}

TP_INLINE TP_TARGET_AVX2 void wide_values(const struct wide *w, unsigned j, const enum tp_wide kind,
                                          __m256 *v)
{
    tp_wide_values(w->codes[j] + w->at, w->a + j * TP_PART_FACTORS + w->k,
                   w->b + j * TP_PART_FACTORS + w->k, w->table, kind, v);
}

TP_INLINE TP_TARGET_AVX2 void add_middle4(const struct wide *w, unsigned j, const enum tp_wide kind,
                                          __m256 *v)
{
    tp_wide_middle4(w->codes[j] + w->at, w->a + j * TP_PART_FACTORS + w->k, tp_wide_groups(kind), v,
                    true);
}

/*
 * The part PART of a width that TP_WIDE divides, with groups of KIND, or this and the next part,
 * one of which is of codes of 4 bits: their sums stay in registers.
 */
TP_INLINE TP_TARGET_AVX2 void part_wide(const struct tp_part_tile *tile, unsigned part,
                                        const enum tp_wide kind, const enum tp_wide next,
                                        const enum tp_part_mode mode)
{
    const struct tp_part_tile t = *tile;
    struct wide one = open_wide(&t, part, 0, kind), two = {{0}};
    __m256 sums[TP_PART_ROWS];

    if (next != TP_WIDE_NONE)
        two = open_wide(&t, part + 1, 1, next);
    TP_UNROLL for (unsigned j = 0; j < TP_PART_ROWS; j++) sums[j] =
        multiplies(mode) ? t.sums[j] : _mm256_setzero_ps();
    for (size_t c = 0; c < t.cols; c += TP_WIDE) {
        start_wide(&one, c, kind);
        if (next != TP_WIDE_NONE)
            start_wide(&two, c, next);
        TP_UNROLL for (unsigned j = 0; j < TP_PART_ROWS; j++)
        {
            __m256 v[TP_WIDE_EIGHTS];

            if (next != TP_WIDE_NONE && tp_wide_is_middle4(kind)) {
                wide_values(&two, j, next, v);
                add_middle4(&one, j, kind, v);
            } else {
                wide_values(&one, j, kind, v);
            }
            if (next != TP_WIDE_NONE && !tp_wide_is_middle4(kind))
                add_middle4(&two, j, next, v);
            TP_UNROLL for (unsigned i = 0; i < TP_WIDE_EIGHTS; i++)
                put_eight(&t, j, c + 8 * i, v[i],
                          multiplies(mode) ? _mm256_loadu_ps(t.x + c + 8 * i) : _mm256_setzero_ps(),
                          &sums[j], mode);
        }
        advance_wide(&one, kind);
        if (next != TP_WIDE_NONE)
            advance_wide(&two, next);
    }
    if (multiplies(mode))
        TP_UNROLL for (unsigned j = 0; j < TP_PART_ROWS; j++) t.sums[j] = sums[j];
}

/* A codebook, of centroids of a multiple of eight columns; BITS 0: any number. */
TP_INLINE TP_TARGET_AVX2 void part_book(const struct tp_part_tile *tile,
                                        const struct tp_quant_view *v, const unsigned bits,
                                        const enum tp_part_mode mode)
{
    const struct tp_part_tile t = *tile;
    const size_t group = v->part.group, stride = v->stride[TP_QUANT_TABLE];
    const size_t ahead = bytes_ahead(v);
    const uint8_t *codes[TP_PART_ROWS];
    size_t k = t.col / group, skip = t.col - k * group;
    __m256 sums[TP_PART_ROWS], a[TP_PART_ROWS];

    tile_factors(&t, v, group, t.a, t.b, BOOK, bits, false);
    TP_UNROLL for (unsigned j = 0; j < TP_PART_ROWS; j++)
    {
        codes[j] = v->section[TP_QUANT_CODES] + t.row[j] * v->stride[TP_QUANT_CODES];
        sums[j] = multiplies(mode) ? t.sums[j] : _mm256_setzero_ps();
        a[j] = _mm256_broadcast_ss(t.a + j * TP_PART_FACTORS);
    }
    for (size_t c = 0; c < t.cols; k++, skip = 0) {
        const size_t end = least(c + group - skip, t.cols);
        const uint8_t *from[TP_PART_ROWS];

        fetch(codes, bits ? k : k * v->part.bits / 8, 1, ahead);
        TP_UNROLL for (unsigned j = 0; j < TP_PART_ROWS; j++) from[j] =
            v->section[TP_QUANT_TABLE] +
            (bits == 8 ? codes[j][k] : tp_quant_code(codes[j], k, v->part.bits)) * stride +
            2 * skip;
        for (size_t i = 0; c < end; c += 8, i += 16) {
            const __m256 x = multiplies(mode) ? _mm256_loadu_ps(t.x + c) : _mm256_setzero_ps();

            TP_UNROLL for (unsigned j = 0; j < TP_PART_ROWS; j++)
                put_eight(&t, j, c, _mm256_mul_ps(tp_load8(from[j] + i, TP_DTYPE_F16), a[j]), x,
                          &sums[j], mode);
        }
    }
    if (multiplies(mode))
        TP_UNROLL for (unsigned j = 0; j < TP_PART_ROWS; j++) t.sums[j] = sums[j];
}

/* --- The kernel of a part --- */

#define MODE(NAME, MODE, CALL)                                                                     \
    static TP_TARGET_AVX2 void NAME(const struct tp_part_tile *t, unsigned part)                   \
    {                                                                                              \
        const struct tp_quant_view *v = &t->w->view[part];                                         \
        const enum tp_part_mode mode = MODE;                                                       \
                                                                                                   \
        (void)v;                                                                                   \
        CALL;                                                                                      \
    }
#define KERNEL(NAME, CALL)                                                                         \
    MODE(NAME##_set, TP_PART_SET, CALL)                                                            \
    MODE(NAME##_add, TP_PART_ADD, CALL)                                                            \
    MODE(NAME##_multiply, TP_PART_MULTIPLY, CALL)                                                  \
    MODE(NAME##_add_multiply, TP_PART_ADD_MULTIPLY, CALL)                                          \
    static const tp_part_kernel NAME = {NAME##_set, NAME##_add, NAME##_multiply,                   \
                                        NAME##_add_multiply};
#define GROUPED(NAME, CODING, BITS)                                                                \
    KERNEL(NAME##_eights, part_codes(t, v, v->part.group, CODING, BITS, false, mode))              \
    KERNEL(NAME##_any, part_codes(t, v, v->part.group, CODING, BITS, true, mode))                  \
    static const tp_part_kernel *const NAME[] = {&NAME##_any, &NAME##_eights};

GROUPED(scaled2, SCALED, 2)
GROUPED(scaled3, SCALED, 3)
GROUPED(scaled4, SCALED, 4)
GROUPED(scaled8, SCALED, 8)
GROUPED(affine2, AFFINE, 2)
GROUPED(affine3, AFFINE, 3)
GROUPED(affine4, AFFINE, 4)
GROUPED(affine8, AFFINE, 8)
KERNEL(int8, part_codes(t, v, t->w->spec.cols, SIGNED, 8, false, mode))
KERNEL(book8, part_book(t, v, 8, mode))
KERNEL(middle4_wide, part_wide(t, part, TP_WIDE_MIDDLE4, TP_WIDE_NONE, mode))
KERNEL(middle4_wide_16, part_wide(t, part, TP_WIDE_MIDDLE4_16, TP_WIDE_NONE, mode))
KERNEL(middle4_wide_8, part_wide(t, part, TP_WIDE_MIDDLE4_8, TP_WIDE_NONE, mode))
KERNEL(affine2_wide, part_wide(t, part, TP_WIDE_AFFINE2, TP_WIDE_NONE, mode))
KERNEL(book_wide, part_wide(t, part, TP_WIDE_BOOK, TP_WIDE_NONE, mode))
KERNEL(wide_and_two_bits, part_wide(t, part, TP_WIDE_MIDDLE4, TP_WIDE_AFFINE2, mode))
KERNEL(wide_16_and_two_bits, part_wide(t, part, TP_WIDE_MIDDLE4_16, TP_WIDE_AFFINE2, mode))
KERNEL(book_and_wide, part_wide(t, part, TP_WIDE_BOOK, TP_WIDE_MIDDLE4, mode))
KERNEL(book, part_book(t, v, 0, mode))

/* NONE: none, or the table is not there. */
static enum tp_wide wide_kind(const struct tp_quant_part *p, size_t cols, bool table)
{
    if (cols % TP_WIDE)
        return TP_WIDE_NONE;
    if (p->kind == TP_QUANT_CODEBOOK && table)
        return TP_WIDE_BOOK;
    if (p->kind == TP_QUANT_SYM && p->bits == 4)
        return p->group % TP_WIDE == 0 ? TP_WIDE_MIDDLE4
               : p->group == 16        ? TP_WIDE_MIDDLE4_16
               : p->group == 8         ? TP_WIDE_MIDDLE4_8
                                       : TP_WIDE_NONE;
    return p->kind == TP_QUANT_AFFINE && p->bits == 2 && p->group % TP_WIDE == 0 ? TP_WIDE_AFFINE2
                                                                                 : TP_WIDE_NONE;
}

static const tp_part_kernel *const wide_kernels[] = {
    [TP_WIDE_MIDDLE4] = &middle4_wide,     [TP_WIDE_MIDDLE4_16] = &middle4_wide_16,
    [TP_WIDE_MIDDLE4_8] = &middle4_wide_8, [TP_WIDE_AFFINE2] = &affine2_wide,
    [TP_WIDE_BOOK] = &book_wide,
};

/* Two parts together; NULL: one after the other. */
static const tp_part_kernel *pair_kernel(enum tp_wide kind, enum tp_wide next)
{
    if (next == TP_WIDE_AFFINE2)
        return kind == TP_WIDE_MIDDLE4      ? &wide_and_two_bits
               : kind == TP_WIDE_MIDDLE4_16 ? &wide_16_and_two_bits
                                            : NULL;
    return kind == TP_WIDE_BOOK && next == TP_WIDE_MIDDLE4 ? &book_and_wide : NULL;
}

/* NULL: this file has none. */
static const tp_part_kernel *kernel_of(const struct tp_quant_part *p)
{
    static const tp_part_kernel *const *const by_bits[][2] = {
        [2] = {scaled2, affine2},
        [3] = {scaled3, affine3},
        [4] = {scaled4, affine4},
        [8] = {scaled8, affine8},
    };

    if (p->kind == TP_QUANT_INT8)
        return &int8;
    if (p->kind == TP_QUANT_CODEBOOK && p->group % 8 == 0)
        return p->bits == 8 ? &book8 : &book;
    if (tp_quant_kind_has_groups(p->kind))
        return by_bits[p->bits][p->kind == TP_QUANT_AFFINE][p->group % 8 == 0];
    return NULL;
}

/* A codebook of 256 centroids of eight columns as fp32: 4 * 2048 bytes. */
static TP_TARGET_AVX2 const float *read_table(const struct tp_quant_view *v, float *to)
{
    const uint8_t *table = v->section[TP_QUANT_TABLE];

    read_halves(table, table + 2 * TP_PART_BOOK, TP_PART_BOOK, 1, to);
    return to;
}

void tp_part_kernels_choose(struct tp_part_kernels *kernels, struct tp_part_tile *t, size_t rows,
                            float *space)
{
    enum tp_wide kinds[TP_QUANT_PARTS + 1] = {TP_WIDE_NONE};

    for (unsigned p = 0; p < t->w->spec.parts; p++) {
        const struct tp_quant_view *v = &t->w->view[p];

        if (v->part.kind == TP_QUANT_CODEBOOK && v->part.bits == 8 && v->part.group == 8 &&
            rows >= TABLE_ROWS) {
            t->table[p] = read_table(v, space);
            space += TP_PART_BOOK;
        }
        kinds[p] = wide_kind(&v->part, t->w->spec.cols, t->table[p]);
    }
    for (unsigned p = 0; p < t->w->spec.parts; p++) {
        const tp_part_kernel *pair = pair_kernel(kinds[p], kinds[p + 1]);

        kernels->count[p] = pair ? 2 : 1;
        kernels->kernel[p] = pair       ? pair
                             : kinds[p] ? wide_kernels[kinds[p]]
                                        : kernel_of(&t->w->spec.part[p]);
    }
}

#endif
