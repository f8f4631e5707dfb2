/* SPDX-License-Identifier: MIT */
/*
 * Rows of a matrix into its sections: what is taken off first, the grids of groups, codes, the
 * codes of the residual, outliers.
 */
#include <config.h>

#include "codec/quant/job.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "codec/quant/gptq.h"
#include "codec/quant/kinds.h"
#include "codec/quant/product.h"

#define ROWS 16u  /* that are coded together */
#define CLIPS 11u /* ranges: all of a group, then 0.95 to 0.5 of it */
#define SECOND_ROUNDS 5u

/* The work memory of one call. */
struct work {
    struct tp_quant_rows rows;
    float *choice; /* a row without its outliers, for choosing grids */
    float *weight; /* the same of the job's weights */
    float *errors; /* CLIP: [ROWS][CLIPS][group], and as much space */
    float *space;
    uint8_t *second; /* codes of a row */
    float *memory;
};

void tp_job_row(const struct tp_quant_job *job, const struct tp_job_matrix *m, uint32_t r,
                bool without_product, float *x)
{
    const struct tp_quant_source *source = &job->task.source[m - job->matrix];
    uint32_t cols = job->task.cols;

    memcpy(x, source->w + r * source->stride, cols * sizeof *x);
    for (uint32_t c = 0; job->fold && c < cols; c++)
        x[c] = x[c] * job->fold[c];
    if (!without_product || !m->left)
        return;
    for (uint32_t k = 0; k < m->packing.spec.part[m->low_rank].count; k++) {
        float factor = -m->left[(size_t)r * m->packing.spec.part[m->low_rank].count + k];
        const float *right = m->right + (size_t)k * cols;

        for (uint32_t c = 0; c < cols; c++)
            x[c] = x[c] + factor * right[c];
    }
}

struct row_context {
    const struct tp_quant_job *job;
    const struct tp_job_matrix *m;
    bool without_product;
};

static void get_row(const void *context, uint32_t r, float *x)
{
    const struct row_context *c = context;

    tp_job_row(c->job, c->m, r, c->without_product, x);
}

/* N numbers that are fp16 already. */
static void put_halves(uint8_t *dst, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        tp_put_le16(dst + 2 * i, tp_f16_from_float(x[i]));
}

/* Number K of row R of a section. */
static void put_half(const struct tp_packing *p, int part, enum tp_quant_section_id id, uint32_t r,
                     size_t k, float x)
{
    put_halves(tp_packing_at(p, (unsigned)part, id, r) + 2 * k, &x, 1);
}

static int make_low_rank(struct tp_quant_job *job, struct tp_job_matrix *m)
{
    const struct tp_quant_spec *spec = &m->packing.spec;
    uint32_t rank = spec->part[m->low_rank].count;
    struct row_context context = {job, m, false};
    struct tp_row_source source = {get_row, &context, spec->rows, spec->cols};
    float *left = malloc((size_t)spec->rows * rank * sizeof *left);

    m->right = malloc((size_t)rank * spec->cols * sizeof *m->right);
    if (!left || !m->right || tp_low_rank(&source, job->weight, rank, left, m->right)) {
        free(left);
        return -ENOMEM;
    }
    m->left = left;
    put_halves(tp_packing_at(&m->packing, (unsigned)m->low_rank, TP_QUANT_SCALES, 0), left,
               (size_t)spec->rows * rank);
    put_halves(tp_packing_at(&m->packing, (unsigned)m->low_rank, TP_QUANT_TABLE, 0), m->right,
               (size_t)rank * spec->cols);
    return 0;
}

static int make_codebook(struct tp_quant_job *job, struct tp_job_matrix *m)
{
    const struct tp_quant_part *part = &m->packing.spec.part[m->book_part];
    struct row_context context = {job, m, true};
    struct tp_row_source source = {get_row, &context, m->packing.spec.rows, m->packing.spec.cols};
    size_t size = ((size_t)1 << part->bits) * part->group;

    m->book.bits = part->bits;
    m->book.group = part->group;
    m->book.centroid = malloc(size * sizeof *m->book.centroid);
    m->book.transposed = malloc(size * sizeof *m->book.transposed);
    if (!m->book.centroid || !m->book.transposed ||
        tp_codebook_train(&source, job->weight, &m->book))
        return -ENOMEM;
    put_halves(tp_packing_at(&m->packing, (unsigned)m->book_part, TP_QUANT_TABLE, 0),
               m->book.centroid, size);
    return 0;
}

int tp_job_decompose(struct tp_quant_job *job, unsigned i, struct tp_error *err)
{
    struct tp_job_matrix *m = &job->matrix[i];
    int rc = 0;

    if (m->low_rank >= 0)
        rc = make_low_rank(job, m);
    if (rc == 0 && m->book_part >= 0)
        rc = make_codebook(job, m);
    return rc ? tp_oom(err) : 0;
}

/* Code a row's vectors, and take them off. */
static void take_codebook(const struct tp_quant_job *job, const struct tp_job_matrix *m, uint32_t r,
                          float *x, uint8_t *codes)
{
    const struct tp_codebook *book = &m->book;
    uint32_t vectors = job->task.cols / book->group;
    float scale = tp_codebook_scale(x, job->task.cols), *scaled = x;

    for (uint32_t k = 0; k < vectors; k++, scaled += book->group) {
        const float *h = job->weight ? job->weight + (size_t)k * book->group : NULL;
        const float *centroid;

        for (uint32_t j = 0; j < book->group; j++)
            scaled[j] = scaled[j] / scale;
        codes[k] = (uint8_t)tp_codebook_code(book, scaled, h);
        centroid = book->centroid + (size_t)codes[k] * book->group;
        for (uint32_t j = 0; j < book->group; j++)
            scaled[j] = (scaled[j] - centroid[j]) * scale;
    }
    put_halves(tp_packing_at(&m->packing, (unsigned)m->book_part, TP_QUANT_SCALES, r), &scale, 1);
    tp_pack_codes(tp_packing_at(&m->packing, (unsigned)m->book_part, TP_QUANT_CODES, r), codes,
                  vectors, book->bits);
}

/* Mark the COUNT elements of a row with the largest weighted squares; of equal ones the first. */
static void mark_outliers(const float *x, const float *weight, uint32_t cols, uint32_t count,
                          uint8_t *mark)
{
    memset(mark, 0, cols);
    for (uint32_t k = 0; k < count; k++) {
        uint32_t best = 0;
        float most = -1;

        for (uint32_t c = 0; c < cols; c++) {
            float v = (weight ? weight[c] : 1) * x[c] * x[c];

            if (!mark[c] && v > most) {
                most = v;
                best = c;
            }
        }
        mark[best] = 1;
    }
}

/* The grids of row R of the work, by its values without outliers. */
static void choose_grids(const struct tp_quant_job *job, struct work *w, uint32_t r)
{
    const struct tp_quant_rows *rows = &w->rows;
    struct tp_grid_rule rule = tp_job_rule(&job->task.settings);
    const float *x = rows->x + (size_t)r * rows->cols, *weight = job->weight;

    if (rows->outlier) {
        const uint8_t *mark = rows->outlier + (size_t)r * rows->cols;

        for (uint32_t c = 0; c < rows->cols; c++) {
            w->choice[c] = mark[c] ? 0 : x[c];
            w->weight[c] = mark[c] ? 0 : weight ? weight[c] : 1;
        }
        x = w->choice;
        weight = w->weight;
    }
    for (uint32_t k = 0; k < rows->groups; k++)
        tp_grid_choose(&rule, x + (size_t)k * rows->group,
                       weight ? weight + (size_t)k * rows->group : NULL, rows->group,
                       &rows->grid[(size_t)r * rows->groups + k]);
}

/* The errors of group K of row R with a grid, in terms of the weights before the fold, to E. */
static void group_errors(const struct tp_quant_job *job, const struct tp_quant_rows *rows,
                         uint32_t r, uint32_t k, const struct tp_grid *grid, float *e)
{
    size_t group = rows->group, at = k * group;

    tp_grid_errors(grid, rows->x + (size_t)r * rows->cols + at, group, e);
    for (size_t j = 0; j < group; j++) {
        if (rows->outlier && rows->outlier[(size_t)r * rows->cols + at + j])
            e[j] = 0;
        else if (job->fold)
            e[j] = e[j] / job->fold[at + j];
    }
}

/* For each group the best of the grid that it has and of smaller ranges, by its Hessian. */
static void clip_grids(const struct tp_quant_job *job, struct work *w)
{
    const struct tp_quant_rows *rows = &w->rows;
    struct tp_grid_rule rule = tp_job_rule(&job->task.settings);
    struct tp_grid grids[ROWS][CLIPS];
    double sums[ROWS][CLIPS];

    for (uint32_t k = 0; k < rows->groups; k++) {
        size_t group = rows->group, at = k * group;

        for (uint32_t r = 0; r < rows->count; r++) {
            float *e = w->errors + r * CLIPS * group;

            grids[r][0] = rows->grid[(size_t)r * rows->groups + k];
            for (unsigned i = 0; i < CLIPS; i++) {
                if (i > 0)
                    tp_grid_cover(&rule, rows->x + (size_t)r * rows->cols + at, group,
                                  1 - 0.05f * (float)i, &grids[r][i]);
                group_errors(job, rows, r, k, &grids[r][i], e + i * group);
            }
        }
        tp_product_forms(w->errors, (size_t)rows->count * CLIPS, group,
                         job->task.inputs.hessian + at * rows->cols + at, rows->cols, w->space,
                         sums[0]);
        for (uint32_t r = 0; r < rows->count; r++)
            for (unsigned i = 1, best = 0; i < CLIPS; i++)
                if (sums[r][i] < sums[r][best]) {
                    best = i;
                    rows->grid[(size_t)r * rows->groups + k] = grids[r][i];
                }
    }
}

/* The scales, and zeros or offsets, of a row of groups. */
static void put_grids(const struct tp_packing *p, unsigned part, uint32_t r,
                      const struct tp_grid *grid, uint32_t groups, uint8_t *zeros)
{
    uint8_t *scales = tp_packing_at(p, part, TP_QUANT_SCALES, r);
    uint8_t *offsets = tp_packing_at(p, part, TP_QUANT_ZEROS, r);

    for (uint32_t k = 0; k < groups; k++) {
        put_halves(scales + 2 * (size_t)k, &grid[k].scale, 1);
        if (p->spec.part[part].kind == TP_QUANT_AFFINE)
            put_halves(offsets + 2 * (size_t)k, &grid[k].offset, 1);
        zeros[k] = (uint8_t)grid[k].zero;
    }
    if (p->spec.part[part].kind == TP_QUANT_ASYM)
        tp_pack_codes(offsets, zeros, groups, p->spec.part[part].bits);
}

/* Codes of what the first codes leave of row R of the work, which is row ROW of the matrix. */
static void code_second(const struct tp_quant_job *job, const struct tp_job_matrix *m,
                        struct work *w, uint32_t r, uint32_t row)
{
    const struct tp_quant_part *part = &m->packing.spec.part[m->second];
    const struct tp_quant_rows *rows = &w->rows;
    struct tp_grid_rule rule = {part->kind, part->bits, SECOND_ROUNDS};
    size_t at = (size_t)r * rows->cols;
    uint32_t groups = rows->cols / part->group;

    for (uint32_t c = 0; c < rows->cols; c++) {
        const struct tp_grid *g = &rows->grid[(size_t)r * rows->groups + c / rows->group];

        w->choice[c] = rows->outlier && rows->outlier[at + c]
                           ? 0
                           : rows->x[at + c] - tp_grid_value(g, rows->codes[at + c]);
    }
    for (uint32_t k = 0; k < groups; k++) {
        size_t from = (size_t)k * part->group;
        struct tp_grid g;

        tp_grid_choose(&rule, w->choice + from, job->weight ? job->weight + from : NULL,
                       part->group, &g);
        tp_grid_codes(&g, w->choice + from, part->group, w->second + from);
        put_half(&m->packing, m->second, TP_QUANT_SCALES, row, k, g.scale);
        put_half(&m->packing, m->second, TP_QUANT_ZEROS, row, k, g.offset);
        for (size_t j = from; rows->outlier && j < from + part->group; j++)
            if (rows->outlier[at + j])
                rows->kept[at + j] = tp_half(rows->kept[at + j] - tp_grid_value(&g, w->second[j]));
    }
    tp_pack_codes(tp_packing_at(&m->packing, (unsigned)m->second, TP_QUANT_CODES, row), w->second,
                  rows->cols, part->bits);
}

static void put_outliers(const struct tp_job_matrix *m, const struct tp_quant_rows *rows,
                         uint32_t r, uint32_t row)
{
    const struct tp_packing *p = &m->packing;
    unsigned part = (unsigned)m->outliers;
    uint32_t per_row = p->spec.part[part].count / p->spec.rows;
    uint8_t *starts = tp_packing_at(p, part, TP_QUANT_TABLE, 0);
    uint8_t *columns = tp_packing_at(p, part, TP_QUANT_CODES, 0);
    uint8_t *values = tp_packing_at(p, part, TP_QUANT_SCALES, 0);
    size_t k = (size_t)row * per_row;

    tp_put_le32(starts + 4 * ((size_t)row + 1), (row + 1) * per_row);
    for (uint32_t c = 0; c < rows->cols; c++) {
        if (!rows->outlier[(size_t)r * rows->cols + c])
            continue;
        if (tp_quant_column_bytes(rows->cols) == 4)
            tp_put_le32(columns + 4 * k, c);
        else
            tp_put_le16(columns + 2 * k, (uint16_t)c);
        put_halves(values + 2 * k, &rows->kept[(size_t)r * rows->cols + c], 1);
        k++;
    }
}

/* Up to ROWS rows of codes with groups. */
static int code_groups(struct tp_quant_job *job, struct tp_job_matrix *m, uint32_t first,
                       struct work *w)
{
    const struct tp_quant_settings *s = &job->task.settings;
    struct tp_quant_rows *rows = &w->rows;

    for (uint32_t r = 0; r < rows->count; r++) {
        float *x = rows->x + (size_t)r * rows->cols;

        tp_job_row(job, m, first + r, true, x);
        if (m->book_part >= 0)
            take_codebook(job, m, first + r, x, w->second);
        if (m->base < 0)
            continue;
        if (rows->outlier)
            mark_outliers(x, job->weight, rows->cols, tp_plan_outliers(s, rows->cols),
                          rows->outlier + (size_t)r * rows->cols);
        choose_grids(job, w, r);
    }
    if (m->base < 0)
        return 0;
    if (s->clip && !job->task.source[m - job->matrix].keep_range)
        clip_grids(job, w);
    if (!s->gptq)
        tp_nearest_rows(rows);
    else if (tp_gptq_rows(&job->factor, rows))
        return -ENOMEM;
    for (uint32_t r = 0; r < rows->count; r++) {
        tp_pack_codes(tp_packing_at(&m->packing, (unsigned)m->base, TP_QUANT_CODES, first + r),
                      rows->codes + (size_t)r * rows->cols, rows->cols, s->bits);
        put_grids(&m->packing, (unsigned)m->base, first + r, rows->grid + (size_t)r * rows->groups,
                  rows->groups, w->second);
        if (m->second >= 0)
            code_second(job, m, w, r, first + r);
        if (m->outliers >= 0)
            put_outliers(m, rows, r, first + r);
    }
    return 0;
}

/* One allocation for all: floats, then grids, then bytes. */
static int create_work(const struct tp_quant_job *job, const struct tp_job_matrix *m,
                       struct work *w)
{
    size_t cols = job->task.cols, all = ROWS * cols;
    uint32_t group = m->base < 0 ? job->task.cols : m->packing.spec.part[m->base].group;
    size_t groups = cols / group;
    size_t clip = job->task.settings.clip ? (size_t)ROWS * CLIPS * group : 0;
    bool outliers = m->outliers >= 0;

    memset(w, 0, sizeof *w);
    w->memory = malloc((2 * all + 2 * clip + 2 * cols) * sizeof(float) +
                       ROWS * groups * sizeof(struct tp_grid) + 2 * all + cols);
    if (!w->memory)
        return -ENOMEM;
    w->rows = (struct tp_quant_rows){0,    (uint32_t)cols, group, (uint32_t)groups, w->memory, NULL,
                                     NULL, NULL,           NULL};
    w->rows.kept = w->rows.x + all;
    w->errors = w->rows.kept + all;
    w->space = w->errors + clip;
    w->choice = w->space + clip;
    w->weight = w->choice + cols;
    w->rows.grid = (struct tp_grid *)(void *)(w->weight + cols);
    w->rows.codes = (uint8_t *)(w->rows.grid + ROWS * groups);
    w->rows.outlier = outliers ? w->rows.codes + all : NULL;
    w->second = w->rows.codes + 2 * all;
    return 0;
}

static void code_int8(const struct tp_quant_job *job, const struct tp_job_matrix *m, uint32_t r,
                      float *x)
{
    tp_job_row(job, m, r, false, x);
    for (uint32_t k = 0; m->columns >= 0 && k < job->kept_count; k++) {
        put_half(&m->packing, m->columns, TP_QUANT_SCALES, r, k, tp_half(x[job->kept[k]]));
        x[job->kept[k]] = 0;
    }
    tp_encode_int8(&m->packing, (unsigned)m->base, r, x);
}

int tp_job_code_rows(struct tp_quant_job *job, struct tp_job_matrix *m, uint32_t first,
                     uint32_t end, struct tp_error *err)
{
    struct work w;
    int rc = 0;

    if (m->absmax) {
        tp_encode_nf4(&m->packing, &job->task.source[m - job->matrix], first, end, m->absmax);
        return 0;
    }
    if (job->task.settings.kind == TP_QUANT_INT8) {
        float *x = malloc(job->task.cols * sizeof *x);

        if (!x)
            return tp_oom(err);
        for (uint32_t r = first; r < end; r++)
            code_int8(job, m, r, x);
        free(x);
        return 0;
    }
    if (create_work(job, m, &w))
        return tp_oom(err);
    for (uint32_t r = first; r < end && rc == 0; r += ROWS) {
        w.rows.count = end - r < ROWS ? end - r : ROWS;
        rc = code_groups(job, m, r, &w);
    }
    free(w.memory);
    return rc ? tp_oom(err) : 0;
}
