/* SPDX-License-Identifier: MIT */
/* The report of a search, and records of candidates. */
#include <config.h>

#include "optimizer/search/report.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "optimizer/search/pareto.h"

/* Also counts candidates that were dropped before anything of them was measured: they are done. */
static size_t count_evaluated(const struct tp_selection *s)
{
    size_t done = 0;

    for (size_t i = 0; i < s->n; i++)
        done += s->table[i].state != TP_CANDIDATE_PENDING;
    return done;
}

static void put_winner(struct tp_json_writer *json, const struct tp_selection *s)
{
    if (s->choice->winner == TP_CHOICE_NONE) {
        tp_json_put_null(json, "winner");
        return;
    }
    tp_json_begin_object(json, "winner");
    tp_figures_put(json, &s->table[s->choice->winner]);
    tp_json_end_object(json);
}

static void put_binding(struct tp_json_writer *json, const struct tp_selection *s)
{
    const struct tp_choice *c = s->choice;

    if (c->nearest == TP_CHOICE_NONE) {
        tp_json_put_null(json, "binding");
        return;
    }
    tp_json_begin_object(json, "binding");
    tp_json_put_string(json, "limit", tp_limit_key(c->binding));
    tp_limit_put(json, "value", c->binding, s->limits->value[c->binding]);
    tp_json_put_string(json, "nearest", s->table[c->nearest].name);
    tp_json_put_string(json, "figure", tp_limit_figure_key(c->binding));
    tp_limit_put(json, "figure_value", c->binding,
                 tp_limit_figure(c->binding, &s->table[c->nearest]));
    tp_json_put_double(json, "distance", c->distance);
    tp_json_end_object(json);
}

static void put_front(struct tp_json_writer *json, const struct tp_selection *s)
{
    tp_autofree bool *front = calloc(s->n + 1, sizeof *front);

    if (!front) {
        json->rc = -ENOMEM;
        return;
    }
    tp_pareto_front(s->table, s->n, s->hardware->dollars_per_hour > 0, front);
    tp_json_begin_array(json, "pareto_front");
    for (size_t i = 0; i < s->n; i++)
        if (front[i])
            tp_json_put_string(json, NULL, s->table[i].name);
    tp_json_end_array(json);
}

/* The columns that share a scale, of each kind of matrix; not always those that were wanted. */
static void put_groups(struct tp_json_writer *json, const struct tp_recipe *recipe,
                       const struct tp_arch *arch)
{
    uint32_t wanted, used;

    tp_json_begin_object(json, "groups");
    for (int role = 0; role < TP_ROLE_COUNT; role++)
        if (tp_recipe_group(recipe, arch, (enum tp_role)role, &wanted, &used)) {
            tp_json_begin_object(json, tp_role_name((enum tp_role)role));
            tp_json_put_u64(json, "wanted", wanted);
            tp_json_put_u64(json, "used", used);
            tp_json_end_object(json);
        }
    tp_json_end_object(json);
}

static void put_candidate(struct tp_json_writer *json, const struct tp_selection *s, size_t i)
{
    tp_json_begin_object(json, NULL);
    tp_figures_put(json, &s->table[i]);
    if (s->recipes)
        put_groups(json, s->recipes[i], s->arch);
    if (s->measured) {
        const struct tp_figures *m = &s->measured[i];

        tp_json_begin_object(json, "measured");
        tp_json_put_double(json, "latency_ms", m->latency_ms);
        tp_json_put_double(json, "latency_p95_ms", m->latency_p95_ms);
        tp_json_put_double(json, "latency_p99_ms", m->latency_p99_ms);
        tp_json_put_double(json, "first_token_ms", m->first_token_ms);
        tp_json_put_double(json, "throughput_tps", m->throughput_tps);
        tp_json_end_object(json);
    }
    if (s->steps)
        tp_steps_put(json, "steps", &s->steps[i]);
    tp_json_end_object(json);
}

void tp_selection_put(struct tp_json_writer *json, const struct tp_selection *s)
{
    tp_json_put_u64(json, "candidates_evaluated", count_evaluated(s));
    tp_json_put_u64(json, "candidates_total", s->n);
    put_winner(json, s);
    put_binding(json, s);
    put_front(json, s);
    tp_limits_put(json, "limits", s->limits);
    tp_hardware_put(json, "hardware", s->hardware);
    if (s->roofline)
        tp_roofline_put(json, "roofline", s->roofline);
    else
        tp_json_put_null(json, "roofline");
    tp_json_begin_array(json, "all_candidates");
    for (size_t i = 0; i < s->n; i++)
        put_candidate(json, s, i);
    tp_json_end_array(json);
}

void tp_record_put(struct tp_json_writer *json, const char *key, const struct tp_figures *f,
                   const struct tp_steps *steps)
{
    struct tp_figures measured = *f;

    measured.cost_per_1m_tokens = NAN;
    tp_json_begin_object(json, key);
    tp_figures_put(json, &measured);
    tp_steps_put(json, "steps", steps);
    tp_json_end_object(json);
}

static bool is_timed(const struct tp_figures *f)
{
    return isfinite(f->latency_ms) && isfinite(f->latency_p95_ms) && isfinite(f->latency_p99_ms) &&
           isfinite(f->first_token_ms) && isfinite(f->throughput_tps);
}

int tp_record_get(const struct tp_json *object, const char *name, struct tp_figures *f,
                  struct tp_steps *steps, struct tp_error *err)
{
    int rc = tp_figures_get(object, name, f, err);

    if (rc == 0)
        rc = tp_steps_get(tp_json_get(object, "steps"), steps, err);
    if (rc == 0 && f->estimated)
        rc = tp_fail(err, EBADMSG, "the record of '%s' has estimates", name);
    if (rc == 0 && f->state == TP_CANDIDATE_COMPLETE && (steps->n == 0) != !is_timed(f))
        rc = tp_fail(err, EBADMSG, "the record of '%s' has %s", name,
                     steps->n ? "steps and no speed" : "no steps");
    f->cost_per_1m_tokens = NAN;
    return rc;
}
