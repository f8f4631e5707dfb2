/* SPDX-License-Identifier: MIT */
/* What the steps of generating read and compute, and how long they took. */
#include <config.h>

#include <errno.h>
#include <math.h>

#include "codec/quant/quant.h"
#include "optimizer/search/roofline.h"

/* What a model's step is made of. */
struct model {
    const struct tp_arch *arch;
    double matrix_bytes, matrix_elements; /* of the layers */
    double expansion;                     /* operations from packed matrices to their elements */
    double head_bytes, head_elements;
    double position_bytes; /* of a layer: keys and values of a position */
};

/* The operations that make the elements of a packed matrix, by their definition. */
static double count_expansion(const struct tp_quant_spec *spec)
{
    double each = spec->parts - 1; /* parts are added */

    for (unsigned i = 0; i < spec->parts; i++)
        switch (spec->part[i].kind) {
        case TP_QUANT_LOW_RANK:
            each += 2.0 * spec->part[i].count;
            break;
        case TP_QUANT_ASYM:
        case TP_QUANT_AFFINE:
            each += 2;
            break;
        case TP_QUANT_OUTLIERS:
        case TP_QUANT_COLUMNS:
            each -= 1; /* they are few */
            break;
        default:
            each += 1;
        }
    return each * spec->rows * spec->cols;
}

static void add_linear(struct model *m, const struct tp_linear *l)
{
    const struct tp_quant_matrix *packed = tp_linear_packed(l);

    m->matrix_elements += (double)l->matrix.rows * (double)l->matrix.cols;
    if (packed)
        m->expansion += count_expansion(&packed->spec);
}

static int add_layers(struct model *m, struct tp_runtime *rt, struct tp_error *err)
{
    for (uint32_t i = 0; i < m->arch->layer_n; i++) {
        const struct tp_layer *layer = tp_runtime_loaded_layer(rt, i);

        if (!layer)
            return tp_fail(err, EINVAL, "layer %u is not loaded", i);
        m->matrix_bytes += (double)tp_layer_bytes(layer);
        for (int role = 0; role < TP_ROLE_COUNT; role++)
            add_linear(m, &layer->linears[role]);
    }
    return 0;
}

static int describe(struct model *m, struct tp_runtime *rt, struct tp_error *err)
{
    const struct tp_linear *head = tp_runtime_head(rt);
    struct tp_runtime_need need;

    *m = (struct model){.arch = tp_runtime_arch(rt)};
    tp_runtime_need(rt, 1, 1, &need);
    m->head_bytes = (double)head->bytes;
    m->head_elements = (double)head->matrix.rows * (double)head->matrix.cols;
    m->position_bytes = (double)need.cache / m->arch->layer_n;
    return add_layers(m, rt, err);
}

/* Positions that a token at position AT sees, of all layers together. */
static double count_seen(const struct tp_arch *a, double at)
{
    double seen = 0;

    for (uint32_t i = 0; i < a->layer_n; i++)
        seen += a->spans[i] == TP_SPAN_SLIDING && at > a->window ? a->window : at;
    return seen;
}

/*
 * TOKENS tokens of each of BATCH sequences, which see AT positions on average; the logits of the
 * last one are wanted.
 */
static struct tp_step describe_step(const struct model *m, uint32_t batch, uint32_t tokens,
                                    double at, double seconds)
{
    double seen = count_seen(m->arch, at), rows = (double)batch * tokens;

    return (struct tp_step){
        .bytes = m->matrix_bytes + m->head_bytes + batch * seen * m->position_bytes,
        .operations = 2 * rows * m->matrix_elements + 2.0 * batch * m->head_elements +
                      m->expansion + 4 * rows * seen * m->arch->head_n * m->arch->head_dim,
        .seconds = seconds};
}

int tp_steps_init(struct tp_steps *steps, struct tp_runtime *rt, const struct tp_timing *timing,
                  struct tp_error *err)
{
    uint32_t prompt = timing->prompt_tokens;
    struct model m;
    int rc = describe(&m, rt, err);

    *steps = (struct tp_steps){0};
    for (unsigned i = 0; rc == 0 && i < timing->row_n; i++) {
        const struct tp_timing_row *row = &timing->rows[i];

        steps->rows[steps->n++] = (struct tp_step_row){
            .batch = row->batch,
            .prompt = describe_step(&m, row->batch, prompt, (prompt + 1) / 2.0, row->first.median),
            .token = describe_step(&m, row->batch, 1, prompt + timing->new_tokens / 2.0,
                                   row->token.median)};
    }
    return rc;
}

/* --- JSON --- */

static void put_step(struct tp_json_writer *json, const char *key, const struct tp_step *s)
{
    tp_json_begin_object(json, key);
    tp_json_put_double(json, "bytes", s->bytes);
    tp_json_put_double(json, "operations", s->operations);
    tp_json_put_double(json, "seconds", s->seconds);
    tp_json_end_object(json);
}

void tp_steps_put(struct tp_json_writer *json, const char *key, const struct tp_steps *steps)
{
    tp_json_begin_array(json, key);
    for (unsigned i = 0; i < steps->n; i++) {
        tp_json_begin_object(json, NULL);
        tp_json_put_u64(json, "batch", steps->rows[i].batch);
        put_step(json, "prompt", &steps->rows[i].prompt);
        put_step(json, "token", &steps->rows[i].token);
        tp_json_end_object(json);
    }
    tp_json_end_array(json);
}

static bool get_step(const struct tp_json *row, const char *key, struct tp_step *out)
{
    const struct tp_json *v = tp_json_get(row, key);

    return tp_json_double(tp_json_get(v, "bytes"), &out->bytes) &&
           tp_json_double(tp_json_get(v, "operations"), &out->operations) &&
           tp_json_double(tp_json_get(v, "seconds"), &out->seconds) && isfinite(out->bytes) &&
           isfinite(out->operations) && isfinite(out->seconds) && out->bytes > 0 &&
           out->operations > 0 && out->seconds > 0;
}

int tp_steps_get(const struct tp_json *array, struct tp_steps *out, struct tp_error *err)
{
    *out = (struct tp_steps){0};
    if (!tp_json_is_array(array) || tp_json_count(array) > TP_TIMING_ROWS_MAX)
        return tp_fail(err, EBADMSG, "the steps are not a list of at most %u", TP_TIMING_ROWS_MAX);
    for (const struct tp_json *v = tp_json_first(array); v; v = tp_json_next(v)) {
        struct tp_step_row *row = &out->rows[out->n++];
        uint64_t batch;

        if (!tp_json_u64(tp_json_get(v, "batch"), &batch) || batch < 1 ||
            batch > TP_TIMING_BATCH_MAX || !get_step(v, "prompt", &row->prompt) ||
            !get_step(v, "token", &row->token))
            return tp_fail(err, EBADMSG, "a step has a number that is not there or out of range");
        row->batch = (uint32_t)batch;
    }
    return 0;
}
