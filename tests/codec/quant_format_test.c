/* SPDX-License-Identifier: MIT */
/*
 * Packed matrices: exact sizes, values against a reference that reads element by element, the same
 * bits from every kernel, and hostile bytes.
 */
#include <config.h>

#include "base/isa.h"
#include "tests/codec/quant_check.h"

static float half_at(const uint8_t *p, uint64_t i)
{
    return tp_float_from_f16(tp_get_le16(p + 2 * i));
}

static float float_at(const uint8_t *p, uint64_t i)
{
    float x;

    memcpy(&x, p + 4 * i, 4);
    return x;
}

/* Bit by bit. */
static unsigned code_at(const uint8_t *row, uint64_t i, unsigned bits)
{
    unsigned v = 0;

    for (unsigned k = 0; k < bits; k++)
        v |= (row[(i * bits + k) / 8] >> (i * bits + k) % 8 & 1u) << k;
    return v;
}

static float group_value(const struct tp_quant_part *part, const struct tp_quant_section *s,
                         const uint8_t *data, uint32_t r, uint32_t c)
{
    uint32_t k = c / part->group;
    unsigned q =
        code_at(data + s[TP_QUANT_CODES].offset + r * s[TP_QUANT_CODES].stride, c, part->bits);
    float scale = half_at(data + s[TP_QUANT_SCALES].offset + r * s[TP_QUANT_SCALES].stride, k);
    const uint8_t *zeros = data + s[TP_QUANT_ZEROS].offset + r * s[TP_QUANT_ZEROS].stride;

    switch (part->kind) {
    case TP_QUANT_SYM:
        return ((float)q - (float)(1u << (part->bits - 1))) * scale;
    case TP_QUANT_ASYM:
        return ((float)q - (float)code_at(zeros, k, part->bits)) * scale;
    default: {
        volatile float product = (float)q * scale;

        return product + half_at(zeros, k);
    }
    }
}

static float nf4_value(const struct tp_quant_part *part, const struct tp_quant_section *s,
                       const uint8_t *data, uint64_t e)
{
    uint8_t byte = data[s[TP_QUANT_CODES].offset + e / 2];
    float code = tp_quant_nf4[e % 2 ? byte & 15 : byte >> 4];
    volatile float scale;

    if (part->kind == TP_QUANT_NF4)
        return code * float_at(data + s[TP_QUANT_SCALES].offset, e / 64);
    scale = tp_quant_dynamic[data[s[TP_QUANT_SCALES].offset + e / 64]] *
            float_at(data + s[TP_QUANT_ZEROS].offset, e / 64 / 256);
    scale = scale + float_at(data + s[TP_QUANT_TABLE].offset, 0);
    return code * scale;
}

/* The value that a sparse part adds to an element; false: none. */
static bool sparse_value(const struct tp_quant_spec *spec, const struct tp_quant_part *part,
                         const struct tp_quant_section *s, const uint8_t *data, uint32_t r,
                         uint32_t c, float *out)
{
    const uint8_t *table = data + s[TP_QUANT_TABLE].offset;
    const uint8_t *codes = data + s[TP_QUANT_CODES].offset;
    const uint8_t *values = data + s[TP_QUANT_SCALES].offset + r * s[TP_QUANT_SCALES].stride;

    if (part->kind == TP_QUANT_COLUMNS) {
        for (uint32_t k = 0; k < part->count; k++)
            if (tp_get_le32(table + 4 * (size_t)k) == c) {
                *out = half_at(values, k);
                return true;
            }
        return false;
    }
    for (uint32_t k = tp_get_le32(table + 4 * (size_t)r);
         k < tp_get_le32(table + 4 * (size_t)r + 4); k++)
        if ((spec->cols > 65536 ? tp_get_le32(codes + 4 * (size_t)k)
                                : tp_get_le16(codes + 2 * (size_t)k)) == c) {
            *out = half_at(values, k);
            return true;
        }
    return false;
}

static float dense_value(const struct tp_quant_spec *spec, const struct tp_quant_part *part,
                         const struct tp_quant_section *s, const uint8_t *data, uint32_t r,
                         uint32_t c)
{
    const uint8_t *scales = data + s[TP_QUANT_SCALES].offset + r * s[TP_QUANT_SCALES].stride;
    const uint8_t *codes = data + s[TP_QUANT_CODES].offset + r * s[TP_QUANT_CODES].stride;
    volatile float w = 0;

    switch (part->kind) {
    case TP_QUANT_INT8:
        w = float_at(scales, 0) * 0x1.020408p-7f;
        return (float)(int8_t)codes[c] * w;
    case TP_QUANT_NF4:
    case TP_QUANT_NF4_DOUBLE:
        return nf4_value(part, s, data, (uint64_t)r * spec->cols + c);
    case TP_QUANT_LOW_RANK:
        for (uint32_t k = 0; k < part->count; k++) {
            volatile float product = half_at(scales, k) * half_at(data + s[TP_QUANT_TABLE].offset,
                                                                  (uint64_t)k * spec->cols + c);

            w = w + product;
        }
        return w;
    case TP_QUANT_CODEBOOK: {
        unsigned q = code_at(codes, c / part->group, part->bits);

        return half_at(data + s[TP_QUANT_TABLE].offset,
                       (uint64_t)q * part->group + c % part->group) *
               half_at(scales, 0);
    }
    default:
        return group_value(part, s, data, r, c);
    }
}

static float value_at(const struct tp_quant_spec *spec, const struct tp_quant_layout *layout,
                      const uint8_t *data, uint32_t r, uint32_t c)
{
    volatile float w = 0;

    for (unsigned i = 0; i < spec->parts; i++) {
        const struct tp_quant_part *part = &spec->part[i];
        float p = 0;

        if (part->kind != TP_QUANT_OUTLIERS && part->kind != TP_QUANT_COLUMNS)
            p = dense_value(spec, part, layout->section[i], data, r, c);
        else if (!sparse_value(spec, part, layout->section[i], data, r, c, &p))
            continue;
        w = i ? w + p : p;
    }
    return w;
}

/* All values by ranges of columns. */
static void read_ranges(const struct tp_quant_matrix *m, float *got, uint64_t *seed)
{
    for (uint32_t r = 0; r < m->spec.rows; r++)
        for (uint32_t c = 0, end; c < m->spec.cols; c = end) {
            end = c + 8 * (1 + (uint32_t)(tap_random(seed) % 9));
            end = end < m->spec.cols ? end : m->spec.cols;
            tp_quant_read(m, r, c, end, got + (size_t)r * m->spec.cols + c);
        }
}

/* The values of all kernels, whole, by ranges of rows and by ranges of columns. */
static bool same_values(const struct tp_quant_spec *spec, uint64_t *seed)
{
    size_t n = (size_t)spec->rows * spec->cols;
    float *want = check_alloc(4 * n), *got = check_alloc(4 * n);
    struct tp_quant_layout layout;
    struct tp_quant_matrix m;
    struct tp_error err;
    uint8_t *data;
    bool good = true;

    if (tp_quant_layout(spec, &layout, &err))
        bail_out("%s", err.message);
    data = check_random_matrix(seed, spec, &layout);
    if (tp_quant_open(data, layout.bytes, &m, &err))
        bail_out("%s", err.message);
    for (uint32_t r = 0; r < spec->rows; r++)
        for (uint32_t c = 0; c < spec->cols; c++)
            want[(size_t)r * spec->cols + c] = value_at(spec, &layout, data, r, c);
    for (int i = 0; i < 2 * ((int)tp_isa_best() + 1) && good; i++) {
        enum tp_isa isa = (enum tp_isa)(i / 2);

        tp_isa_set(isa);
        memset(got, 0xff, 4 * n);
        if (i % 2)
            read_ranges(&m, got, seed);
        for (uint32_t r = 0, end; r < spec->rows && i % 2 == 0; r = end) {
            end = r + 1 + (uint32_t)(tap_random(seed) % 5);
            end = end < spec->rows ? end : spec->rows;
            tp_quant_dequantize(&m, r, end, got + (size_t)r * spec->cols, spec->cols);
        }
        for (size_t e = 0; e < n && good; e++) {
            good = !memcmp(&want[e], &got[e], 4);
            if (!good)
                diag("%s: %u x %u, parts %u: element %zu is %a instead of %a", tp_isa_name(isa),
                     spec->rows, spec->cols, spec->parts, e, got[e], want[e]);
        }
    }
    free(data);
    free(got);
    free(want);
    return good;
}

static void check_values(uint64_t *seed)
{
    static const uint32_t cols[] = {1, 2, 7, 8, 63, 64, 65, 130, 511, 512, 576, 1030};

    for (unsigned kind = 1; kind < TP_QUANT_KIND_COUNT; kind++) {
        bool good = true;

        if (kind == TP_QUANT_OUTLIERS || kind == TP_QUANT_COLUMNS)
            continue;
        for (size_t i = 0; i < sizeof cols / sizeof cols[0] && good; i++)
            for (unsigned parts = 1; parts <= TP_QUANT_PARTS && good; parts++) {
                uint32_t rows = (uint32_t)(i % 3 ? 1 + tap_random(seed) % 9 : 1);
                struct tp_quant_spec spec =
                    check_random_spec(seed, rows, cols[i], (enum tp_quant_kind)kind, parts);

                good = same_values(&spec, seed);
            }
        ok(good, "%s: values, alone and with further parts", tp_quant_kind_name(kind));
    }
    for (unsigned kind = TP_QUANT_OUTLIERS; kind <= TP_QUANT_COLUMNS; kind++) {
        struct tp_quant_spec spec = {
            2, 70000, 2, {{TP_QUANT_SYM, 4, 100, 0}, {(enum tp_quant_kind)kind, 0, 0, 300}}};

        ok(same_values(&spec, seed), "%s: columns above 65535", tp_quant_kind_name(kind));
    }
}

static void is_bytes(uint32_t rows, uint32_t cols, struct tp_quant_part part, uint64_t want,
                     const char *name)
{
    struct tp_quant_spec spec = {rows, cols, 1, {part}};
    struct tp_quant_layout layout;
    struct tp_error err = {0};

    if (part.kind == TP_QUANT_OUTLIERS || part.kind == TP_QUANT_COLUMNS) {
        spec.parts = 2;
        spec.part[0] = (struct tp_quant_part){TP_QUANT_INT8, 8, 0, 0};
        spec.part[1] = part;
    }
    is_int(tp_quant_layout(&spec, &layout, &err), 0, name);
    is_u64(layout.bytes, want, name);
}

static void check_sizes(void)
{
    /* Sections begin at multiples of 64; the first follows the header. */
    is_bytes(64, 1024, (struct tp_quant_part){TP_QUANT_INT8, 8, 0, 0}, 64 + 65536 + 256, "int8");
    is_bytes(64, 1024, (struct tp_quant_part){TP_QUANT_NF4, 4, 64, 0}, 64 + 32768 + 4096, "nf4");
    is_bytes(64, 1024, (struct tp_quant_part){TP_QUANT_NF4_DOUBLE, 4, 64, 0},
             64 + 32768 + 1024 + 64 + 4, "nf4_double");
    is_bytes(64, 1024, (struct tp_quant_part){TP_QUANT_SYM, 4, 128, 0}, 64 + 32768 + 1024, "sym");
    is_bytes(64, 1024, (struct tp_quant_part){TP_QUANT_ASYM, 4, 128, 0}, 64 + 32768 + 1024 + 256,
             "asym");
    is_bytes(64, 1024, (struct tp_quant_part){TP_QUANT_AFFINE, 3, 8, 0},
             64 + 24576 + 2 * 64 * 128 * 2, "affine");
    is_bytes(64, 1024, (struct tp_quant_part){TP_QUANT_OUTLIERS, 0, 0, 320},
             64 + 65536 + 256 + 640 + 640 + 65 * 4, "outliers");
    is_bytes(64, 1024, (struct tp_quant_part){TP_QUANT_COLUMNS, 0, 0, 3},
             64 + 65536 + 256 + 384 + 12, "columns");
    is_bytes(64, 1024, (struct tp_quant_part){TP_QUANT_LOW_RANK, 0, 0, 32},
             64 + 64 * 32 * 2 + 1024 * 32 * 2, "low_rank");
    is_bytes(64, 1024, (struct tp_quant_part){TP_QUANT_CODEBOOK, 8, 8, 0},
             64 + 8192 + 128 + 256 * 8 * 2, "codebook");
    is_bytes(1, 1, (struct tp_quant_part){TP_QUANT_SYM, 3, 1, 0}, 64 + 64 + 2, "one element");
    is_int(tp_quant_group(576, 128), 96, "the largest divisor of 576 up to 128");
    is_int(tp_quant_group(576, 64), 64, "a group that divides");
    is_int(tp_quant_group(577, 128), 1, "a prime width");
    is_int(tp_quant_group(63, 4096), 63, "a group above the width");
    is_int(tp_quant_group(63, 0), 63, "no group");
}

static void check_refused_specs(void)
{
    static const struct {
        struct tp_quant_spec spec;
        const char *name;
    } bad[] = {
        {{0, 8, 1, {{TP_QUANT_SYM, 4, 8, 0}}}, "no rows"},
        {{8, 1u << 25, 1, {{TP_QUANT_SYM, 4, 8, 0}}}, "too many columns"},
        {{8, 8, 0, {{TP_QUANT_SYM, 4, 8, 0}}}, "no parts"},
        {{8, 8, 5, {{TP_QUANT_SYM, 4, 8, 0}}}, "five parts"},
        {{8, 8, 1, {{TP_QUANT_NONE, 4, 8, 0}}}, "no kind"},
        {{8, 8, 1, {{(enum tp_quant_kind)99, 4, 8, 0}}}, "an unknown kind"},
        {{8, 8, 1, {{TP_QUANT_SYM, 5, 8, 0}}}, "five bits"},
        {{8, 8, 1, {{TP_QUANT_SYM, 4, 3, 0}}}, "a group that does not divide"},
        {{8, 8, 1, {{TP_QUANT_SYM, 4, 0, 0}}}, "no group"},
        {{8, 8, 1, {{TP_QUANT_SYM, 4, 8, 1}}}, "a count of nothing"},
        {{8, 8, 1, {{TP_QUANT_NF4, 4, 32, 0}}}, "NF4 with blocks of 32"},
        {{8, 8, 1, {{TP_QUANT_LOW_RANK, 0, 0, 9}}}, "a rank above the dimensions"},
        {{8, 8, 1, {{TP_QUANT_OUTLIERS, 0, 0, 9}}}, "outliers of nothing"},
        {{8, 8, 2, {{TP_QUANT_SYM, 4, 8, 0}, {TP_QUANT_OUTLIERS, 0, 0, 65}}},
         "more outliers than elements"},
        {{8, 8, 2, {{TP_QUANT_SYM, 4, 8, 0}, {TP_QUANT_COLUMNS, 0, 0, 9}}},
         "more columns than there are"},
        {{8, 8, 1, {{TP_QUANT_CODEBOOK, 9, 8, 0}}}, "a codebook of 9 bits"},
    };
    struct tp_quant_layout layout;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct tp_error err = {0};

        ok(tp_quant_layout(&bad[i].spec, &layout, &err) == -EINVAL && err.message[0], "refused: %s",
           bad[i].name);
    }
}

/* Headers and positions that were changed: refused, or values from within the bytes. */
static void check_hostile(uint64_t *seed)
{
    unsigned refused = 0;
    bool good = true;

    for (int run = 0; run < 3000 && good; run++) {
        uint32_t rows = (uint32_t)(1 + tap_random(seed) % 5),
                 cols = (uint32_t)(1 + tap_random(seed) % 70);
        struct tp_quant_spec spec =
            check_random_spec(seed, rows, cols, TP_QUANT_ASYM, 1 + run % TP_QUANT_PARTS);
        struct tp_quant_layout layout;
        struct tp_quant_matrix m;
        struct tp_error err = {0};
        uint8_t *data;
        int rc;

        if (tp_quant_layout(&spec, &layout, &err))
            bail_out("%s", err.message);
        data = check_random_matrix(seed, &spec, &layout);
        for (unsigned k = 0; k <= tap_random(seed) % 3; k++)
            data[tap_random(seed) % (run & 1 ? TP_QUANT_HEADER : layout.bytes)] ^=
                (uint8_t)(1u << tap_random(seed) % 8);
        rc = tp_quant_open(data, layout.bytes - (run % 7 == 0), &m, &err);
        good = rc == 0 || ((rc == -EBADMSG || rc == -EPROTONOSUPPORT) && err.message[0]);
        refused += rc != 0;
        if (rc == 0) {
            float *dst = check_alloc(4 * (size_t)m.spec.rows * m.spec.cols);

            tp_quant_dequantize(&m, 0, m.spec.rows, dst, m.spec.cols);
            free(dst);
        }
        free(data);
    }
    ok(good && refused > 1000, "damaged bytes: %u of 3000 refused", refused);
}

static void check_positions(void)
{
    struct tp_quant_spec spec = {2, 8, 2, {{TP_QUANT_SYM, 4, 8, 0}, {TP_QUANT_OUTLIERS, 0, 0, 4}}};
    struct tp_quant_layout layout;
    struct tp_quant_matrix m;
    struct tp_error err = {0};
    uint64_t seed = 1;
    uint8_t *data, *columns, *starts;

    tp_quant_layout(&spec, &layout, &err);
    data = check_random_matrix(&seed, &spec, &layout);
    columns = data + layout.section[1][TP_QUANT_CODES].offset;
    starts = data + layout.section[1][TP_QUANT_TABLE].offset;
    is_int(tp_quant_open(data, layout.bytes, &m, &err), 0, "valid positions");
    tp_put_le16(columns, 8);
    is_int(tp_quant_open(data, layout.bytes, &m, &err), -EBADMSG, "a column outside");
    tp_put_le16(columns, tp_get_le16(columns + 2));
    is_int(tp_quant_open(data, layout.bytes, &m, &err), -EBADMSG, "a column twice");
    tp_put_le16(columns, 0);
    tp_put_le32(starts + 4, 5);
    is_int(tp_quant_open(data, layout.bytes, &m, &err), -EBADMSG, "a row that ends after all");
    tp_put_le32(starts + 4, UINT32_MAX);
    is_int(tp_quant_open(data, layout.bytes, &m, &err), -EBADMSG, "a row that ends far outside");
    tp_put_le32(starts + 4, 2);
    data[4] = 2;
    is_int(tp_quant_open(data, layout.bytes, &m, &err), -EPROTONOSUPPORT, "a newer version");
    data[4] = 1;
    data[6] = 1;
    is_int(tp_quant_open(data, layout.bytes, &m, &err), -EBADMSG, "a reserved byte");
    free(data);
}

int main(void)
{
    uint64_t seed = tap_seed();

    check_sizes();
    check_refused_specs();
    check_values(&seed);
    check_hostile(&seed);
    check_positions();
    return tap_done();
}
