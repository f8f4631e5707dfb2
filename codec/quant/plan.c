/* SPDX-License-Identifier: MIT */
/* What a task will make: checks of its settings, and the parts of each packed matrix. */
#include <config.h>

#include "codec/quant/job.h"

#include <errno.h>
#include <math.h>
#include <string.h>

uint32_t tp_plan_outliers(const struct tp_quant_settings *s, uint32_t cols)
{
    uint32_t count = (uint32_t)(s->outliers * cols + 0.5);

    return s->outliers > 0 && count == 0 ? 1 : count;
}

bool tp_plan_keeps(const struct tp_quant_task *task, uint32_t c)
{
    return task->settings.column_limit > 0 &&
           (double)task->inputs.max[c] > task->settings.column_limit;
}

static int check_inputs(const struct tp_quant_task *task, struct tp_error *err)
{
    const struct tp_quant_settings *s = &task->settings;
    const struct tp_quant_inputs *in = &task->inputs;

    if (!in->hessian && (s->gptq || s->clip || s->fold == TP_QUANT_FOLD_SEARCH))
        return tp_fail(err, EINVAL, "quantizing: this method needs the Hessian of the inputs");
    if (!in->mean && s->fold != TP_QUANT_FOLD_NONE)
        return tp_fail(err, EINVAL, "quantizing: this method needs the mean inputs");
    if (!in->max && s->column_limit > 0)
        return tp_fail(err, EINVAL, "quantizing: this method needs the largest inputs");
    return 0;
}

static int check_settings(const struct tp_quant_task *task, struct tp_error *err)
{
    const struct tp_quant_settings *s = &task->settings;
    bool groups = tp_quant_kind_has_groups(s->kind), book_only = s->kind == TP_QUANT_NONE;
    bool group_only = s->rounds > 0 || s->gptq || s->clip || s->fold != TP_QUANT_FOLD_NONE ||
                      s->outliers > 0 || s->rank > 0 || s->book_bits > 0 || s->second_bits > 0;

    if (task->count == 0 || task->count > TP_QUANT_MATRICES)
        return tp_fail(err, EINVAL, "quantizing: a job cannot have %u matrices", task->count);
    if (!groups && !book_only && s->kind != TP_QUANT_INT8 && s->kind != TP_QUANT_NF4 &&
        s->kind != TP_QUANT_NF4_DOUBLE)
        return tp_fail(err, EINVAL, "quantizing: '%s' is no kind of codes",
                       tp_quant_kind_name(s->kind));
    if (book_only && (s->book_bits == 0 || s->rounds > 0 || s->gptq || s->clip ||
                      s->fold == TP_QUANT_FOLD_SEARCH || s->outliers > 0 || s->second_bits > 0))
        return tp_fail(err, EINVAL, "quantizing: a codebook alone cannot be refined");
    if (!groups && !book_only && group_only)
        return tp_fail(err, EINVAL, "quantizing: '%s' cannot be refined",
                       tp_quant_kind_name(s->kind));
    if (s->column_limit > 0 && s->kind != TP_QUANT_INT8)
        return tp_fail(err, EINVAL, "quantizing: only 'int8' keeps columns");
    if (!(s->outliers >= 0 && s->outliers <= 0.5) || !(s->damp >= 0 && s->damp <= 1) ||
        !(s->column_limit >= 0) || s->rounds > 1000)
        return tp_fail(err, EINVAL, "quantizing: a setting is out of its range");
    if (s->gptq && s->second_bits > 0)
        return tp_fail(err, EINVAL, "quantizing: GPTQ leaves no residual for more codes");
    return check_inputs(task, err);
}

static int add_part(struct tp_quant_spec *spec, enum tp_quant_kind kind, unsigned bits,
                    uint32_t group, uint32_t count)
{
    if (spec->parts < TP_QUANT_PARTS)
        spec->part[spec->parts] = (struct tp_quant_part){kind, bits, group, count};
    return (int)spec->parts++;
}

int tp_plan_matrix(const struct tp_quant_task *task, unsigned i, struct tp_quant_spec *spec,
                   struct tp_job_matrix *m, struct tp_error *err)
{
    const struct tp_quant_settings *s = &task->settings;
    uint32_t rows = task->source[i].rows, cols = task->cols, columns = 0, rank = s->rank;
    struct tp_quant_layout layout;
    int rc = check_settings(task, err);

    if (rc)
        return rc;
    memset(spec, 0, sizeof *spec);
    spec->rows = rows;
    spec->cols = cols;
    m->low_rank = m->book_part = m->base = m->second = m->outliers = m->columns = -1;
    rank = rank < rows ? rank : rows;
    rank = rank < cols ? rank : cols;
    if (rank > 0)
        m->low_rank = add_part(spec, TP_QUANT_LOW_RANK, 0, 0, rank);
    if (s->book_bits > 0)
        m->book_part =
            add_part(spec, TP_QUANT_CODEBOOK, s->book_bits, tp_quant_group(cols, s->book_group), 0);
    if (tp_quant_kind_has_groups(s->kind))
        m->base = add_part(spec, s->kind, s->bits, tp_quant_group(cols, s->group), 0);
    else if (s->kind != TP_QUANT_NONE)
        m->base = add_part(spec, s->kind, s->kind == TP_QUANT_INT8 ? 8 : 4,
                           s->kind == TP_QUANT_INT8 ? 0 : TP_QUANT_BLOCK, 0);
    if (s->second_bits > 0)
        m->second = add_part(spec, TP_QUANT_AFFINE, s->second_bits,
                             tp_quant_group(cols, s->second_group), 0);
    if ((uint64_t)rows * tp_plan_outliers(s, cols) > UINT32_MAX)
        return tp_fail(err, EINVAL, "quantizing: too many outliers");
    if (s->outliers > 0)
        m->outliers = add_part(spec, TP_QUANT_OUTLIERS, 0, 0, rows * tp_plan_outliers(s, cols));
    for (uint32_t c = 0; c < cols && s->column_limit > 0; c++)
        columns += tp_plan_keeps(task, c);
    if (columns > 0)
        m->columns = add_part(spec, TP_QUANT_COLUMNS, 0, 0, columns);
    return tp_quant_layout(spec, &layout, err);
}

int tp_quant_plan(const struct tp_quant_task *task, unsigned i, struct tp_quant_spec *spec,
                  struct tp_error *err)
{
    struct tp_job_matrix m;

    return tp_plan_matrix(task, i, spec, &m, err);
}
