/* SPDX-License-Identifier: MIT */
/* Figures as JSON, and back. */
#include <config.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "optimizer/search/figures_impl.h"

static void put_whole(struct tp_json_writer *json, const char *key, uint64_t value)
{
    if (value)
        tp_json_put_u64(json, key, value);
    else
        tp_json_put_null(json, key);
}

void tp_figures_put(struct tp_json_writer *json, const struct tp_figures *f)
{
    struct tp_figures copy = *f;

    tp_json_put_string(json, "codec", f->name);
    tp_json_put_string(json, "status", tp_candidate_state_names[f->state]);
    tp_json_put_string(json, "why", f->why[0] ? f->why : NULL);
    put_whole(json, "pack_bytes", f->pack_bytes);
    put_whole(json, "memory_bytes", f->memory_bytes);
    put_whole(json, "scored_tokens", f->scored_tokens);
    put_whole(json, "timed_tokens", f->timed_tokens);
    for (const struct tp_figure_number *n = tp_figure_numbers; n->key; n++)
        tp_json_put_double(json, n->key, *tp_figure_at(&copy, n));
    tp_json_put_bool(json, "estimated", f->estimated);
}

static int get_whole(const struct tp_json *object, const char *key, uint64_t *out,
                     struct tp_error *err)
{
    const struct tp_json *v = tp_json_get(object, key);

    *out = 0;
    if (!v || tp_json_is_null(v) || tp_json_u64(v, out))
        return 0;
    return tp_fail(err, EBADMSG, "'%s' is not a whole number", key);
}

static int get_number(const struct tp_json *object, const struct tp_figure_number *n, double *out,
                      struct tp_error *err)
{
    const struct tp_json *v = tp_json_get(object, n->key);

    *out = NAN;
    if (!v || tp_json_is_null(v))
        return 0;
    if (!tp_json_double(v, out) || !isfinite(*out))
        return tp_fail(err, EBADMSG, "'%s' is not a number", n->key);
    if (*out < n->low || *out > n->high)
        return tp_fail(err, EBADMSG, "'%s' is out of range", n->key);
    return 0;
}

static int get_state(const struct tp_json *object, enum tp_candidate_state *out,
                     struct tp_error *err)
{
    const char *name = tp_json_string(tp_json_get(object, "status"));

    for (int i = 0; name && i < TP_CANDIDATE_STATE_COUNT; i++)
        if (!strcmp(name, tp_candidate_state_names[i])) {
            *out = (enum tp_candidate_state)i;
            return 0;
        }
    return tp_fail(err, EBADMSG, "'status' is not one of the known ones");
}

/* What a complete candidate has, whatever the hardware is. */
static int check_complete(const struct tp_figures *f, struct tp_error *err)
{
    struct tp_figures copy = *f;

    if (!f->pack_bytes || !f->memory_bytes || !f->scored_tokens)
        return tp_fail(err, EBADMSG, "a complete candidate without its sizes");
    for (const struct tp_figure_number *n = tp_figure_numbers; n->key; n++)
        if (isnan(*tp_figure_at(&copy, n)) && !n->optional)
            return tp_fail(err, EBADMSG, "a complete candidate without '%s'", n->key);
    return 0;
}

int tp_figures_get(const struct tp_json *object, const char *name, struct tp_figures *out,
                   struct tp_error *err)
{
    const char *codec = tp_json_string(tp_json_get(object, "codec"));
    const struct tp_json *estimated = tp_json_get(object, "estimated");
    const char *why = tp_json_string(tp_json_get(object, "why"));
    int rc;

    tp_figures_init(out, name);
    if (!codec || strcmp(codec, name) != 0)
        return tp_fail(err, EBADMSG, "not the figures of '%s'", name);
    if (!tp_json_bool(estimated, &out->estimated))
        return tp_fail(err, EBADMSG, "'estimated' is not true or false");
    snprintf(out->why, sizeof out->why, "%s", why ? why : "");
    if ((rc = get_state(object, &out->state, err)) < 0 ||
        (rc = get_whole(object, "pack_bytes", &out->pack_bytes, err)) < 0 ||
        (rc = get_whole(object, "memory_bytes", &out->memory_bytes, err)) < 0 ||
        (rc = get_whole(object, "scored_tokens", &out->scored_tokens, err)) < 0 ||
        (rc = get_whole(object, "timed_tokens", &out->timed_tokens, err)) < 0)
        return rc;
    for (const struct tp_figure_number *n = tp_figure_numbers; n->key; n++)
        if ((rc = get_number(object, n, tp_figure_at(out, n), err)) < 0)
            return rc;
    return out->state == TP_CANDIDATE_COMPLETE ? check_complete(out, err) : 0;
}
