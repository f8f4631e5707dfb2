/* SPDX-License-Identifier: MIT */
/* Packed matrices: their specification, header and sections, and the check of hostile bytes. */
#include <config.h>

#include "codec/quant/quant.h"

#include <errno.h>
#include <string.h>

#include "base/checked.h"
#include "base/le.h"
#include "codec/quant/kinds.h"

#define FORMAT_VERSION 1u

static const uint8_t magic[4] = {'t', 'p', 'Q', 'M'};

/* Rows, and bytes of a row, of each section of a part; 0 rows: the bytes are not by rows. */
struct extent {
    uint64_t rows, bytes;
};

typedef void extent_fn(const struct tp_quant_spec *spec, const struct tp_quant_part *part,
                       struct extent out[TP_QUANT_SECTIONS]);

static uint64_t bytes_of_bits(uint64_t bits)
{
    return (bits + 7) / 8;
}

static uint64_t blocks_of(const struct tp_quant_spec *spec)
{
    return ((uint64_t)spec->rows * spec->cols + TP_QUANT_BLOCK - 1) / TP_QUANT_BLOCK;
}

static void extent_int8(const struct tp_quant_spec *spec, const struct tp_quant_part *part,
                        struct extent out[TP_QUANT_SECTIONS])
{
    (void)part;
    out[TP_QUANT_CODES] = (struct extent){spec->rows, spec->cols};
    out[TP_QUANT_SCALES] = (struct extent){spec->rows, 4};
}

static void extent_nf4(const struct tp_quant_spec *spec, const struct tp_quant_part *part,
                       struct extent out[TP_QUANT_SECTIONS])
{
    uint64_t blocks = blocks_of(spec);

    out[TP_QUANT_CODES] = (struct extent){0, bytes_of_bits((uint64_t)spec->rows * spec->cols * 4)};
    if (part->kind == TP_QUANT_NF4) {
        out[TP_QUANT_SCALES] = (struct extent){0, 4 * blocks};
        return;
    }
    out[TP_QUANT_SCALES] = (struct extent){0, blocks};
    out[TP_QUANT_ZEROS] =
        (struct extent){0, 4 * ((blocks + TP_QUANT_SCALE_BLOCK - 1) / TP_QUANT_SCALE_BLOCK)};
    out[TP_QUANT_TABLE] = (struct extent){0, 4};
}

static void extent_group(const struct tp_quant_spec *spec, const struct tp_quant_part *part,
                         struct extent out[TP_QUANT_SECTIONS])
{
    uint64_t groups = spec->cols / part->group;

    out[TP_QUANT_CODES] =
        (struct extent){spec->rows, bytes_of_bits((uint64_t)spec->cols * part->bits)};
    out[TP_QUANT_SCALES] = (struct extent){spec->rows, 2 * groups};
    if (part->kind == TP_QUANT_ASYM)
        out[TP_QUANT_ZEROS] = (struct extent){spec->rows, bytes_of_bits(groups * part->bits)};
    else if (part->kind == TP_QUANT_AFFINE)
        out[TP_QUANT_ZEROS] = (struct extent){spec->rows, 2 * groups};
}

static void extent_outliers(const struct tp_quant_spec *spec, const struct tp_quant_part *part,
                            struct extent out[TP_QUANT_SECTIONS])
{
    out[TP_QUANT_CODES] =
        (struct extent){0, (uint64_t)part->count * tp_quant_column_bytes(spec->cols)};
    out[TP_QUANT_SCALES] = (struct extent){0, 2 * (uint64_t)part->count};
    out[TP_QUANT_TABLE] = (struct extent){0, 4 * ((uint64_t)spec->rows + 1)};
}

static void extent_columns(const struct tp_quant_spec *spec, const struct tp_quant_part *part,
                           struct extent out[TP_QUANT_SECTIONS])
{
    out[TP_QUANT_SCALES] = (struct extent){spec->rows, 2 * (uint64_t)part->count};
    out[TP_QUANT_TABLE] = (struct extent){0, 4 * (uint64_t)part->count};
}

static void extent_low_rank(const struct tp_quant_spec *spec, const struct tp_quant_part *part,
                            struct extent out[TP_QUANT_SECTIONS])
{
    out[TP_QUANT_SCALES] = (struct extent){spec->rows, 2 * (uint64_t)part->count};
    out[TP_QUANT_TABLE] = (struct extent){part->count, 2 * (uint64_t)spec->cols};
}

static void extent_codebook(const struct tp_quant_spec *spec, const struct tp_quant_part *part,
                            struct extent out[TP_QUANT_SECTIONS])
{
    uint64_t vectors = spec->cols / part->group;

    out[TP_QUANT_CODES] = (struct extent){spec->rows, bytes_of_bits(vectors * part->bits)};
    out[TP_QUANT_SCALES] = (struct extent){spec->rows, 2};
    out[TP_QUANT_TABLE] = (struct extent){1u << part->bits, 2 * (uint64_t)part->group};
}

/* Widths of codes, one bit each. */
#define BITS_GROUP (1u << 2 | 1u << 3 | 1u << 4 | 1u << 8)
#define BITS_CODEBOOK 0x1feu

static const struct kind {
    const char *name;
    extent_fn *extent;
    unsigned bits;      /* those that are allowed; 0: the field is 0 */
    uint32_t group;     /* the only value of the field; 0: it has none unless group_divides */
    bool group_divides; /* the width */
    bool counts;        /* something, at least one */
    bool dense;
} kinds[TP_QUANT_KIND_COUNT] = {
    [TP_QUANT_INT8] = {"int8", extent_int8, 1u << 8, .dense = true},
    [TP_QUANT_NF4] = {"nf4", extent_nf4, 1u << 4, TP_QUANT_BLOCK, .dense = true},
    [TP_QUANT_NF4_DOUBLE] = {"nf4_double", extent_nf4, 1u << 4, TP_QUANT_BLOCK, .dense = true},
    [TP_QUANT_SYM] = {"sym", extent_group, BITS_GROUP, .group_divides = true, .dense = true},
    [TP_QUANT_ASYM] = {"asym", extent_group, BITS_GROUP, .group_divides = true, .dense = true},
    [TP_QUANT_AFFINE] = {"affine", extent_group, BITS_GROUP, .group_divides = true, .dense = true},
    [TP_QUANT_OUTLIERS] = {"outliers", extent_outliers, .counts = true},
    [TP_QUANT_COLUMNS] = {"columns", extent_columns, .counts = true},
    [TP_QUANT_LOW_RANK] = {"low_rank", extent_low_rank, .counts = true, .dense = true},
    [TP_QUANT_CODEBOOK] = {"codebook", extent_codebook, BITS_CODEBOOK, .group_divides = true,
                           .dense = true},
};

const char *tp_quant_kind_name(unsigned kind)
{
    return kind < TP_QUANT_KIND_COUNT && kinds[kind].name ? kinds[kind].name : "unknown";
}

bool tp_quant_kind_dense(enum tp_quant_kind kind)
{
    return kinds[kind].dense;
}

uint32_t tp_quant_group(uint32_t cols, uint32_t wanted)
{
    uint32_t group = wanted < cols ? wanted : cols;

    if (wanted == 0)
        return cols;
    while (cols % group)
        group--;
    return group;
}

/* The most that a part can count: its positions, columns or rank. */
static uint64_t count_max(const struct tp_quant_spec *spec, enum tp_quant_kind kind)
{
    uint32_t least = spec->rows < spec->cols ? spec->rows : spec->cols;

    if (kind == TP_QUANT_OUTLIERS)
        return (uint64_t)spec->rows * spec->cols;
    return kind == TP_QUANT_COLUMNS ? spec->cols : least;
}

static int check_part(const struct tp_quant_spec *spec, unsigned i, struct tp_error *err)
{
    const struct tp_quant_part *part = &spec->part[i];
    const struct kind *kind;

    if ((unsigned)part->kind >= TP_QUANT_KIND_COUNT || !kinds[part->kind].name)
        return tp_fail(err, EINVAL, "quantized matrix: part %u has the unknown kind %u", i,
                       (unsigned)part->kind);
    kind = &kinds[part->kind];
    if (i == 0 && !kind->dense)
        return tp_fail(err, EINVAL, "quantized matrix: the first part cannot be '%s'", kind->name);
    if (kind->bits ? part->bits > 8 || !(kind->bits >> part->bits & 1) : part->bits != 0)
        return tp_fail(err, EINVAL, "quantized matrix: '%s' cannot have codes of %u bits",
                       kind->name, part->bits);
    if (kind->group_divides ? part->group == 0 || spec->cols % part->group
                            : part->group != kind->group)
        return tp_fail(err, EINVAL,
                       "quantized matrix: '%s' cannot have groups of %u in a width of %u",
                       kind->name, part->group, spec->cols);
    if (kind->counts ? part->count == 0 || part->count > count_max(spec, part->kind)
                     : part->count != 0)
        return tp_fail(err, EINVAL, "quantized matrix: '%s' cannot count %u in %u x %u", kind->name,
                       part->count, spec->rows, spec->cols);
    return 0;
}

int tp_quant_layout(const struct tp_quant_spec *spec, struct tp_quant_layout *out,
                    struct tp_error *err)
{
    uint64_t at = TP_QUANT_HEADER;

    memset(out, 0, sizeof *out);
    if (spec->rows == 0 || spec->cols == 0 || spec->rows > TP_QUANT_DIMENSION_MAX ||
        spec->cols > TP_QUANT_DIMENSION_MAX)
        return tp_fail(err, EINVAL, "quantized matrix: %u x %u is no valid shape", spec->rows,
                       spec->cols);
    if (spec->parts == 0 || spec->parts > TP_QUANT_PARTS)
        return tp_fail(err, EINVAL, "quantized matrix: it cannot have %u parts", spec->parts);
    for (unsigned i = 0; i < spec->parts; i++) {
        struct extent extent[TP_QUANT_SECTIONS] = {{0}};
        int rc = check_part(spec, i, err);

        if (rc)
            return rc;
        kinds[spec->part[i].kind].extent(spec, &spec->part[i], extent);
        for (unsigned s = 0; s < TP_QUANT_SECTIONS; s++) {
            struct tp_quant_section *section = &out->section[i][s];

            /* No overflow: dimensions are below 2^25, a row has less than 2^30 bytes. */
            section->bytes = extent[s].rows ? extent[s].rows * extent[s].bytes : extent[s].bytes;
            section->stride = extent[s].rows ? extent[s].bytes : 0;
            if (section->bytes == 0)
                continue;
            at = (at + TP_QUANT_ALIGN - 1) / TP_QUANT_ALIGN * TP_QUANT_ALIGN;
            section->offset = at;
            at += section->bytes;
        }
    }
    out->bytes = at;
    return 0;
}

double tp_quant_bits(const struct tp_quant_spec *spec, const struct tp_quant_layout *layout)
{
    return 8 * (double)layout->bytes / ((double)spec->rows * spec->cols);
}

void tp_quant_header_put(const struct tp_quant_spec *spec, uint8_t header[TP_QUANT_HEADER])
{
    memset(header, 0, TP_QUANT_HEADER);
    memcpy(header, magic, sizeof magic);
    header[4] = FORMAT_VERSION;
    header[5] = (uint8_t)spec->parts;
    tp_put_le32(header + 8, spec->rows);
    tp_put_le32(header + 12, spec->cols);
    for (unsigned i = 0; i < spec->parts; i++) {
        uint8_t *p = header + 16 + 12 * i;

        p[0] = (uint8_t)spec->part[i].kind;
        p[1] = (uint8_t)spec->part[i].bits;
        tp_put_le32(p + 4, spec->part[i].group);
        tp_put_le32(p + 8, spec->part[i].count);
    }
}

int tp_quant_header_get(const uint8_t *data, size_t len, struct tp_quant_spec *spec,
                        struct tp_error *err)
{
    uint8_t again[TP_QUANT_HEADER];
    struct tp_quant_layout layout;

    memset(spec, 0, sizeof *spec);
    if (len < TP_QUANT_HEADER || memcmp(data, magic, sizeof magic))
        return tp_fail(err, EBADMSG, "quantized matrix: it has no header");
    if (data[4] > FORMAT_VERSION)
        return tp_fail(err, EPROTONOSUPPORT,
                       "quantized matrix: version %u is newer than this program", data[4]);
    spec->parts = data[5];
    spec->rows = tp_get_le32(data + 8);
    spec->cols = tp_get_le32(data + 12);
    for (unsigned i = 0; i < spec->parts && i < TP_QUANT_PARTS; i++) {
        const uint8_t *p = data + 16 + 12 * (size_t)i;

        spec->part[i] = (struct tp_quant_part){(enum tp_quant_kind)p[0], p[1], tp_get_le32(p + 4),
                                               tp_get_le32(p + 8)};
    }
    if (tp_quant_layout(spec, &layout, err)) {
        if (err)
            err->code = -EBADMSG;
        return -EBADMSG;
    }
    tp_quant_header_put(spec, again);
    if (memcmp(data, again, sizeof again))
        return tp_fail(err, EBADMSG, "quantized matrix: reserved bytes of the header are set");
    return 0;
}

static bool outliers_valid(const struct tp_quant_view *view, const struct tp_quant_spec *spec)
{
    const uint8_t *starts = view->section[TP_QUANT_TABLE];
    unsigned bytes = tp_quant_column_bytes(spec->cols);
    uint32_t start = tp_get_le32(starts);

    if (start != 0 || tp_get_le32(starts + 4 * (size_t)spec->rows) != view->part.count)
        return false;
    for (uint32_t r = 0; r < spec->rows; r++) {
        uint32_t end = tp_get_le32(starts + 4 * ((size_t)r + 1));
        int64_t last = -1;

        if (end < start || end > view->part.count)
            return false;
        for (; start < end; start++) {
            uint32_t column = tp_quant_column(view->section[TP_QUANT_CODES], start, bytes);

            if (column >= spec->cols || column <= last)
                return false;
            last = column;
        }
    }
    return true;
}

static bool columns_valid(const struct tp_quant_view *view, const struct tp_quant_spec *spec)
{
    int64_t last = -1;

    for (uint32_t k = 0; k < view->part.count; k++) {
        uint32_t column = tp_get_le32(view->section[TP_QUANT_TABLE] + 4 * (size_t)k);

        if (column >= spec->cols || column <= last)
            return false;
        last = column;
    }
    return true;
}

int tp_quant_open(const uint8_t *data, size_t len, struct tp_quant_matrix *out,
                  struct tp_error *err)
{
    int rc;

    memset(out, 0, sizeof *out);
    rc = tp_quant_header_get(data, len, &out->spec, err);
    if (rc)
        return rc;
    tp_quant_layout(&out->spec, &out->layout, NULL);
    if (out->layout.bytes != len)
        return tp_fail(err, EBADMSG, "quantized matrix: %zu bytes instead of %llu", len,
                       (unsigned long long)out->layout.bytes);
    out->data = data;
    for (unsigned i = 0; i < out->spec.parts; i++) {
        struct tp_quant_view *view = &out->view[i];

        view->part = out->spec.part[i];
        view->groups = view->part.group ? out->spec.cols / view->part.group : 0;
        for (unsigned s = 0; s < TP_QUANT_SECTIONS; s++) {
            const struct tp_quant_section *section = &out->layout.section[i][s];

            view->section[s] = section->bytes ? data + section->offset : NULL;
            view->stride[s] = section->stride;
        }
        if ((view->part.kind == TP_QUANT_OUTLIERS && !outliers_valid(view, &out->spec)) ||
            (view->part.kind == TP_QUANT_COLUMNS && !columns_valid(view, &out->spec)))
            return tp_fail(err, EBADMSG, "quantized matrix: the positions of part %u do not ascend",
                           i);
    }
    return 0;
}

void tp_quant_read_rows(const struct tp_quant_matrix *m, uint32_t row, uint32_t row_end,
                        uint32_t col, uint32_t col_end, float *dst, size_t stride)
{
    tp_quant_part_fn *read = tp_quant_part[tp_isa_get()];
    const struct tp_quant_rectangle to = {row, row_end - row, col, col_end, dst, stride};

    for (unsigned i = 0; i < m->spec.parts; i++)
        read(&m->view[i], &m->spec, &to, i > 0);
}
