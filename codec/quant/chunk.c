/* SPDX-License-Identifier: MIT */
/* Dividing the bytes of a packed matrix among tables and chunks. */
#include <config.h>

#include "codec/quant/chunk_impl.h"

#include <errno.h>
#include <string.h>

#include "base/le.h"

/* The table of OUTLIERS comes first, because it says how many there are. */
const unsigned char tp_quant_order[TP_QUANT_SECTIONS] = {TP_QUANT_TABLE, TP_QUANT_CODES,
                                                         TP_QUANT_SCALES, TP_QUANT_ZEROS};

/* How a section of codes, scales or zeros follows the elements: one number for each SPAN of them.
 */
struct grain {
    uint64_t bits, span;
    bool flat; /* spans ignore rows */
};

static bool is_nf4(const struct tp_quant_part *part)
{
    return part->kind == TP_QUANT_NF4 || part->kind == TP_QUANT_NF4_DOUBLE;
}

unsigned tp_quant_element_bits(const struct tp_quant_part *part)
{
    switch (part->kind) {
    case TP_QUANT_INT8:
    case TP_QUANT_NF4:
    case TP_QUANT_NF4_DOUBLE:
    case TP_QUANT_SYM:
    case TP_QUANT_ASYM:
    case TP_QUANT_AFFINE:
        return part->bits;
    default:
        return 0;
    }
}

static struct grain grain_of(const struct tp_quant_spec *spec, const struct tp_quant_part *part,
                             unsigned section)
{
    struct grain g = {.bits = 16, .span = spec->cols};

    if (section == TP_QUANT_CODES) {
        g.bits = part->bits;
        g.span = part->kind == TP_QUANT_CODEBOOK ? part->group : 1;
        g.flat = is_nf4(part);
        return g;
    }
    switch (part->kind) {
    case TP_QUANT_INT8:
        g.bits = 32;
        break;
    case TP_QUANT_NF4:
    case TP_QUANT_NF4_DOUBLE:
        g.flat = true;
        g.bits = part->kind == TP_QUANT_NF4 || section == TP_QUANT_ZEROS ? 32 : 8;
        g.span = section == TP_QUANT_ZEROS ? TP_QUANT_BLOCK * TP_QUANT_SCALE_BLOCK : TP_QUANT_BLOCK;
        break;
    case TP_QUANT_ASYM:
        if (section == TP_QUANT_ZEROS)
            g.bits = part->bits;
        g.span = part->group;
        break;
    case TP_QUANT_SYM:
    case TP_QUANT_AFFINE:
        g.span = part->group;
        break;
    case TP_QUANT_LOW_RANK:
        g.bits = 16 * (uint64_t)part->count;
        break;
    default:
        break;
    }
    return g;
}

/* The bytes from the number of element COL to that of element LAST of a row. */
static struct tp_quant_run run_between(struct grain g, uint64_t row, uint64_t col,
                                       uint64_t last_row, uint64_t last, uint64_t stride)
{
    uint64_t from = row * stride + col / g.span * g.bits / 8;
    uint64_t to = last_row * stride + ((last / g.span + 1) * g.bits + 7) / 8;

    return (struct tp_quant_run){.offset = from, .bytes = to - from, .n = 1};
}

struct tp_quant_place tp_quant_place(const struct tp_quant_spec *spec, uint64_t first, uint32_t n)
{
    struct tp_quant_place p = {.end = first + n};

    p.row = (uint32_t)(first / spec->cols);
    p.col = (uint32_t)(first % spec->cols) & ~7u;
    p.first = (uint64_t)p.row * spec->cols + p.col;
    p.last_row = (uint32_t)((p.end - 1) / spec->cols);
    p.last_col = (uint32_t)((p.end - 1) % spec->cols);
    return p;
}

/* How many of the columns of a part COLUMNS are below COL. */
static uint32_t columns_below(const struct tp_quant_view *v, uint32_t col)
{
    uint32_t low = 0, high = v->part.count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (tp_get_le32(v->section[TP_QUANT_TABLE] + 4 * (size_t)middle) < col)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct tp_quant_run run_of_outliers(const struct tp_quant_spec *spec, unsigned section,
                                           const struct tp_quant_place *p, const uint32_t k[2])
{
    uint64_t unit = section == TP_QUANT_CODES ? tp_quant_column_bytes(spec->cols) : 2;

    if (section == TP_QUANT_TABLE)
        return (struct tp_quant_run){.offset = 4 * (uint64_t)p->row,
                                     .bytes = 4 * ((uint64_t)p->last_row - p->row + 2),
                                     .n = 1};
    return (struct tp_quant_run){.offset = unit * k[0], .bytes = unit * (k[1] - k[0]), .n = 1};
}

static struct tp_quant_run run_of_chunk(const struct tp_quant_matrix *m, unsigned part,
                                        unsigned section, const struct tp_quant_place *p,
                                        const uint32_t k[2])
{
    const struct tp_quant_view *v = &m->view[part];
    uint64_t stride = m->layout.section[part][section].stride;
    struct grain g = grain_of(&m->spec, &v->part, section);

    if (v->part.kind == TP_QUANT_OUTLIERS)
        return run_of_outliers(&m->spec, section, p, k);
    if (v->part.kind == TP_QUANT_COLUMNS) {
        uint64_t from = p->row * stride + 2 * (uint64_t)columns_below(v, p->col);
        uint64_t to = p->last_row * stride + 2 * (uint64_t)columns_below(v, p->last_col + 1);

        return (struct tp_quant_run){.offset = from, .bytes = to - from, .n = 1};
    }
    return g.flat ? run_between(g, 0, p->first, 0, p->end - 1, 0)
                  : run_between(g, p->row, p->col, p->last_row, p->last_col, stride);
}

unsigned tp_quant_chunk_runs(const struct tp_quant_matrix *m, unsigned part,
                             const struct tp_quant_place *place, const uint32_t k[2],
                             struct tp_quant_run runs[TP_QUANT_SECTIONS])
{
    unsigned n = 0;

    for (unsigned i = 0; i < TP_QUANT_SECTIONS; i++) {
        unsigned section = tp_quant_order[i];

        if (m->layout.section[part][section].bytes == 0 ||
            (section == TP_QUANT_TABLE && m->view[part].part.kind != TP_QUANT_OUTLIERS))
            continue;
        runs[n] = run_of_chunk(m, part, section, place, k);
        runs[n].part = part;
        runs[n++].section = section;
    }
    return n;
}

/* The part of a section that columns FIRST_COL to END_COL - 1 of the matrix need. */
static struct tp_quant_run run_of_columns(const struct tp_quant_spec *spec,
                                          const struct tp_quant_part *part,
                                          const struct tp_quant_section *s, unsigned section,
                                          const struct tp_quant_extent *e)
{
    struct grain g = grain_of(spec, part, section);
    struct tp_quant_run run = {.bytes = s->bytes, .n = 1};
    uint64_t stride = s->stride;

    if (part->kind == TP_QUANT_LOW_RANK && section == TP_QUANT_TABLE)
        return (struct tp_quant_run){.offset = 2 * (uint64_t)e->first_col,
                                     .bytes = 2 * ((uint64_t)e->end_col - e->first_col),
                                     .n = part->count,
                                     .stride = stride};
    if (is_nf4(part) && section == TP_QUANT_SCALES && spec->cols % TP_QUANT_BLOCK == 0)
        stride = spec->cols / TP_QUANT_BLOCK * (g.bits / 8);
    if (stride == 0 || section == TP_QUANT_TABLE || part->kind == TP_QUANT_COLUMNS)
        return run;
    run = run_between(g, 0, e->first_col, 0, e->end_col - 1, stride);
    run.n = spec->rows;
    run.stride = stride;
    run.by_row = true;
    return run;
}

unsigned tp_quant_table_runs(const struct tp_quant_spec *spec, const struct tp_quant_layout *layout,
                             const struct tp_quant_extent *extent,
                             struct tp_quant_run runs[TP_QUANT_RUNS])
{
    unsigned n = 0;

    for (unsigned i = 0; i < TP_QUANT_RUNS; i++) {
        unsigned part = i / TP_QUANT_SECTIONS, section = tp_quant_order[i % TP_QUANT_SECTIONS];
        const struct tp_quant_part *p = &spec->part[part];
        const struct tp_quant_section *s = &layout->section[part][section];

        if (part >= spec->parts || s->bytes == 0)
            continue;
        if (extent->transposed ? section == TP_QUANT_CODES && tp_quant_element_bits(p)
                               : section != TP_QUANT_TABLE || p->kind == TP_QUANT_OUTLIERS)
            continue;
        runs[n] = extent->transposed ? run_of_columns(spec, p, s, section, extent)
                                     : (struct tp_quant_run){.bytes = s->bytes, .n = 1};
        runs[n].part = part;
        runs[n++].section = section;
    }
    return n;
}

uint64_t tp_quant_tables_bytes(const struct tp_quant_matrix *m,
                               const struct tp_quant_extent *extent)
{
    struct tp_quant_run runs[TP_QUANT_RUNS];
    unsigned n = tp_quant_table_runs(&m->spec, &m->layout, extent, runs);
    uint64_t bytes = TP_QUANT_TABLES_HEADER + TP_QUANT_HEADER;

    for (unsigned i = 0; i < n; i++)
        bytes += runs[i].n * runs[i].bytes;
    return bytes;
}

static const uint8_t *run_source(const struct tp_quant_matrix *m, const struct tp_quant_run *run)
{
    return m->data + m->layout.section[run->part][run->section].offset + run->offset;
}

int tp_quant_tables_encode(const struct tp_quant_matrix *m, const struct tp_quant_extent *extent,
                           struct tp_buffer *out)
{
    struct tp_quant_run runs[TP_QUANT_RUNS];
    unsigned n = tp_quant_table_runs(&m->spec, &m->layout, extent, runs);
    uint8_t *p;

    if (tp_buffer_reserve(out, tp_quant_tables_bytes(m, extent)) < 0)
        return -ENOMEM;
    p = out->data + out->len;
    memset(p, 0, TP_QUANT_TABLES_HEADER);
    p[0] = extent->transposed;
    tp_put_le32(p + 4, extent->first_col);
    tp_put_le32(p + 8, extent->end_col);
    tp_quant_header_put(&m->spec, p + TP_QUANT_TABLES_HEADER);
    p += TP_QUANT_TABLES_HEADER + TP_QUANT_HEADER;
    for (unsigned i = 0; i < n; i++)
        for (uint64_t k = 0; k < runs[i].n; k++, p += runs[i].bytes)
            memcpy(p, run_source(m, &runs[i]) + k * runs[i].stride, runs[i].bytes);
    out->len = (size_t)(p - out->data);
    return 0;
}

/* The first outlier of row ROW in column COL or a later one. */
static uint32_t outliers_before(const struct tp_quant_matrix *m, const struct tp_quant_view *v,
                                uint32_t row, uint32_t col)
{
    const uint8_t *starts = v->section[TP_QUANT_TABLE] + 4 * (size_t)row;
    const uint8_t *columns = v->section[TP_QUANT_CODES];
    uint32_t low = tp_get_le32(starts), high = tp_get_le32(starts + 4);
    unsigned bytes = tp_quant_column_bytes(m->spec.cols);

    while (low < high) {
        uint32_t k = low + (high - low) / 2;

        if (tp_quant_column(columns, k, bytes) < col)
            low = k + 1;
        else
            high = k;
    }
    return low;
}

static void find_outliers(const struct tp_quant_matrix *m, unsigned part,
                          const struct tp_quant_place *p, uint32_t k[2])
{
    const struct tp_quant_view *v = &m->view[part];

    k[0] = k[1] = 0;
    if (v->part.kind != TP_QUANT_OUTLIERS)
        return;
    k[0] = outliers_before(m, v, p->row, p->col);
    k[1] = outliers_before(m, v, p->last_row, p->last_col + 1);
}

uint64_t tp_quant_chunk_bytes(const struct tp_quant_matrix *m, bool transposed, uint64_t first,
                              uint32_t n)
{
    struct tp_quant_place place = tp_quant_place(&m->spec, first, n);
    struct tp_quant_run runs[TP_QUANT_SECTIONS];
    uint64_t bytes = TP_QUANT_CHUNK_HEADER;
    uint32_t k[2];

    for (unsigned part = 0; part < m->spec.parts; part++) {
        unsigned run_n;

        if (transposed) {
            bytes += ((uint64_t)n * tp_quant_element_bits(&m->spec.part[part]) + 7) / 8;
            continue;
        }
        find_outliers(m, part, &place, k);
        run_n = tp_quant_chunk_runs(m, part, &place, k, runs);
        for (unsigned i = 0; i < run_n; i++)
            bytes += runs[i].bytes;
    }
    return bytes;
}

/* The starts of rows, within the outliers of the chunk. */
static void encode_starts(const struct tp_quant_matrix *m, const struct tp_quant_run *run,
                          const uint32_t k[2], uint8_t *dst)
{
    const uint8_t *from = run_source(m, run);

    for (uint64_t at = 0; at < run->bytes; at += 4) {
        uint32_t start = tp_get_le32(from + at);

        tp_put_le32(dst + at, start < k[0] ? k[0] : start > k[1] ? k[1] : start);
    }
}

static uint8_t *encode_runs(const struct tp_quant_matrix *m, unsigned part,
                            const struct tp_quant_place *place, uint8_t *dst)
{
    struct tp_quant_run runs[TP_QUANT_SECTIONS];
    uint32_t k[2];
    unsigned n;

    find_outliers(m, part, place, k);
    n = tp_quant_chunk_runs(m, part, place, k, runs);
    for (unsigned i = 0; i < n; i++) {
        if (runs[i].section == TP_QUANT_TABLE)
            encode_starts(m, &runs[i], k, dst);
        else
            memcpy(dst, run_source(m, &runs[i]), runs[i].bytes);
        dst += runs[i].bytes;
    }
    return dst;
}

/* The codes of a part in the order of the file, column after column. */
static uint8_t *encode_codes(const struct tp_quant_matrix *m, unsigned part, uint64_t first,
                             uint32_t n, uint8_t *dst)
{
    const struct tp_quant_view *v = &m->view[part];
    unsigned b = tp_quant_element_bits(&v->part);
    uint64_t bytes = ((uint64_t)n * b + 7) / 8;
    uint32_t row = (uint32_t)(first % m->spec.rows), col = (uint32_t)(first / m->spec.rows);

    memset(dst, 0, bytes);
    for (uint32_t i = 0; b && i < n; i++) {
        uint64_t bit = tp_quant_code_bit(&m->spec, &v->part, v->stride[TP_QUANT_CODES], row, col);

        tp_quant_code_put(dst, (uint64_t)i * b, b,
                          tp_quant_code_at(v->section[TP_QUANT_CODES], bit, b));
        if (++row == m->spec.rows) {
            row = 0;
            col++;
        }
    }
    return dst + bytes;
}

void tp_quant_chunk_encode(const struct tp_quant_matrix *m, bool transposed, uint64_t first,
                           uint32_t n, uint8_t *dst)
{
    struct tp_quant_place place = tp_quant_place(&m->spec, first, n);

    tp_put_le64(dst, first);
    dst += TP_QUANT_CHUNK_HEADER;
    for (unsigned part = 0; part < m->spec.parts; part++)
        dst = transposed ? encode_codes(m, part, first, n, dst) : encode_runs(m, part, &place, dst);
}
