/* SPDX-License-Identifier: MIT */
/* The frequencies of rotary position embeddings, for each kind of scaling. */
#include <config.h>

#include "optimizer/runtime/rope.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

static const struct {
    const char *name;
    enum tp_rope_kind kind;
} kinds[] = {
    {"default", TP_ROPE_DEFAULT}, {"linear", TP_ROPE_LINEAR}, {"dynamic", TP_ROPE_DYNAMIC},
    {"yarn", TP_ROPE_YARN},       {"llama3", TP_ROPE_LLAMA3}, {"longrope", TP_ROPE_LONG},
    {"su", TP_ROPE_LONG},
};

/* What the parameters may hold; a key that a kind has no use for is ignored, as transformers does.
 */
static const char *const known_keys[] = {
    "rope_type",        "type",
    "rope_theta",       "partial_rotary_factor",
    "factor",           "original_max_position_embeddings",
    "attention_factor", "beta_fast",
    "beta_slow",        "mscale",
    "mscale_all_dim",   "truncate",
    "low_freq_factor",  "high_freq_factor",
    "short_factor",     "long_factor",
};

struct input {
    const struct tp_json *parameters;
    const struct tp_rope_model *model;
};

/*
 * A number of the parameters that must lie in (0, MOST]; *OUT stays where it is missing or null.
 */
static int read_number(const struct input *in, const char *key, double most, double *out,
                       struct tp_error *err)
{
    const struct tp_json *value = tp_json_get(in->parameters, key);
    double number;

    if (!value || tp_json_is_null(value))
        return 0;
    if (!tp_json_double(value, &number) || !(number > 0) || !(number <= most))
        return tp_fail(err, EINVAL, "'%s.%s' is not a number above 0 and up to %g", in->model->key,
                       key, most);
    *out = number;
    return 0;
}

/* The same of a number that must be there. */
static int need_number(const struct input *in, const char *key, double most, double *out,
                       struct tp_error *err)
{
    *out = 0;
    int rc = read_number(in, key, most, out, err);
    if (rc == 0 && *out == 0)
        return tp_fail(err, EINVAL, "'%s.%s' is missing", in->model->key, key);
    return rc;
}

static int check_keys(const struct input *in, struct tp_error *err)
{
    const struct tp_json *v = in->parameters;

    if (v && !tp_json_is_object(v))
        return tp_fail(err, EINVAL, "'%s' is not an object", in->model->key);
    for (v = tp_json_first(v); v; v = tp_json_next(v)) {
        bool known = tp_json_is_null(v);
        for (size_t i = 0; i < sizeof known_keys / sizeof *known_keys && !known; i++)
            known = strcmp(tp_json_key(v), known_keys[i]) == 0;
        if (!known)
            return tp_fail(err, EOPNOTSUPP, "'%s.%s' is not implemented", in->model->key,
                           tp_json_key(v));
    }
    return 0;
}

static int read_kind(const struct input *in, struct tp_rope *rope, struct tp_error *err)
{
    const struct tp_json *value = tp_json_get(in->parameters, "rope_type");
    const char *name;

    if (!value)
        value = tp_json_get(in->parameters, "type");
    if (!value || tp_json_is_null(value))
        return 0;
    name = tp_json_string(value);
    if (!name)
        return tp_fail(err, EINVAL, "'%s.rope_type' is not a string", in->model->key);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, name) == 0) {
            rope->kind = kinds[i].kind;
            if (in->model->only_long && rope->kind == TP_ROPE_YARN)
                rope->kind = TP_ROPE_LONG;
            if (!in->model->only_long || rope->kind == TP_ROPE_DEFAULT ||
                rope->kind == TP_ROPE_LONG)
                return 0;
        }
    return tp_fail(err, EOPNOTSUPP, "'%s.rope_type' '%s' is not implemented", in->model->key, name);
}

/* The length at which the model was trained first. */
static int read_original(const struct input *in, struct tp_rope *rope, struct tp_error *err)
{
    double number = (double)rope->position_n;
    int rc = read_number(in, "original_max_position_embeddings", 0x1p40, &number, err);

    rope->original_n = in->model->original_n ? in->model->original_n : (uint64_t)number;
    if (rc == 0 && rope->original_n == 0)
        rc = tp_fail(err, EINVAL, "'original_max_position_embeddings' is missing");
    return rc;
}

static void fill_default(struct tp_rope *rope, float base, float *out)
{
    for (uint32_t i = 0; i < rope->dim / 2; i++)
        out[i] = 1.0f / powf(base, (float)(2 * i) / (float)rope->divisor);
}

static void fill_linear(struct tp_rope *rope)
{
    fill_default(rope, (float)rope->theta, rope->frequencies);
    for (uint32_t i = 0; i < rope->dim / 2; i++)
        rope->frequencies[i] /= (float)rope->factor;
}

static int fill_llama3(const struct input *in, struct tp_rope *rope, struct tp_error *err)
{
    double low, high, original = (double)rope->original_n;
    int rc = need_number(in, "low_freq_factor", 1e9, &low, err);

    if (rc == 0)
        rc = need_number(in, "high_freq_factor", 1e9, &high, err);
    if (rc < 0)
        return rc;
    if (!(high > low))
        return tp_fail(err, EINVAL, "'%s.high_freq_factor' is not above low_freq_factor",
                       in->model->key);
    fill_default(rope, (float)rope->theta, rope->frequencies);
    for (uint32_t i = 0; i < rope->dim / 2; i++) {
        float f = rope->frequencies[i];
        float wavelength = (float)(2 * M_PI) / f;

        if (wavelength > (float)(original / low)) {
            f /= (float)rope->factor;
        } else if (!(wavelength < (float)(original / high))) {
            float smooth = ((float)original / wavelength - (float)low) / (float)(high - low);
            f = (1 - smooth) * f / (float)rope->factor + smooth * f;
        }
        rope->frequencies[i] = f;
    }
    return 0;
}

static double yarn_scale(double factor, double mscale)
{
    return factor <= 1 ? 1 : 0.1 * mscale * log(factor) + 1;
}

/* The dimension that turns ROTATIONS times within the original length. */
static double yarn_dimension(const struct tp_rope *rope, double rotations)
{
    return rope->divisor * log((double)rope->original_n / (rotations * 2 * M_PI)) /
           (2 * log(rope->theta));
}

static int fill_yarn(const struct input *in, struct tp_rope *rope, struct tp_error *err)
{
    double scale = 0, mscale = 0, mscale_all = 0, fast = 32, slow = 1;
    bool truncate = true;
    int rc = read_number(in, "attention_factor", 1e9, &scale, err);

    if (rc == 0)
        rc = read_number(in, "mscale", 1e9, &mscale, err);
    if (rc == 0)
        rc = read_number(in, "mscale_all_dim", 1e9, &mscale_all, err);
    if (rc == 0)
        rc = read_number(in, "beta_fast", 1e9, &fast, err);
    if (rc == 0)
        rc = read_number(in, "beta_slow", 1e9, &slow, err);
    if (rc < 0)
        return rc;
    tp_json_bool(tp_json_get(in->parameters, "truncate"), &truncate);
    if (scale == 0 && mscale > 0 && mscale_all > 0)
        scale = yarn_scale(rope->factor, mscale) / yarn_scale(rope->factor, mscale_all);
    else if (scale == 0)
        scale = yarn_scale(rope->factor, 1);
    rope->scale = (float)scale;

    double low = yarn_dimension(rope, fast), high = yarn_dimension(rope, slow);
    if (truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0);
    high = fmin(high, rope->divisor - 1);
    if (low == high)
        high += 0.001;
    for (uint32_t i = 0; i < rope->dim / 2; i++) {
        float power = powf((float)rope->theta, (float)(2 * i) / (float)rope->divisor);
        float ramp = ((float)i - (float)low) / (float)(high - low);
        float kept = 1 - fminf(fmaxf(ramp, 0), 1);
        rope->frequencies[i] =
            1.0f / ((float)rope->factor * power) * (1 - kept) + 1.0f / power * kept;
    }
    return 0;
}

static int fill_factors(const struct input *in, struct tp_rope *rope, const char *key, float *out,
                        struct tp_error *err)
{
    const struct tp_json *list = tp_json_get(in->parameters, key);
    const struct tp_json *v = tp_json_first(list);

    if (!tp_json_is_array(list) || tp_json_count(list) != rope->dim / 2)
        return tp_fail(err, EINVAL, "'%s.%s' is not a list of %u numbers", in->model->key, key,
                       rope->dim / 2);
    for (uint32_t i = 0; i < rope->dim / 2; i++, v = tp_json_next(v)) {
        double number;
        if (!tp_json_double(v, &number) || !(number > 0) || !(number <= 1e9))
            return tp_fail(err, EINVAL, "'%s.%s' has an element that is no positive number",
                           in->model->key, key);
        out[i] = 1.0f /
                 ((float)number * powf((float)rope->theta, (float)(2 * i) / (float)rope->divisor));
    }
    return 0;
}

static int fill_long(const struct input *in, struct tp_rope *rope, struct tp_error *err)
{
    double scale = 0;
    int rc = read_number(in, "attention_factor", 1e9, &scale, err);

    if (rc < 0)
        return rc;
    if (scale == 0)
        scale = rope->factor <= 1 ? 1 : sqrt(1 + log(rope->factor) / log((double)rope->original_n));
    if (!isfinite(scale))
        return tp_fail(err, EINVAL, "'original_max_position_embeddings' is too small");
    rope->scale = (float)scale;
    rc = fill_factors(in, rope, "short_factor", rope->frequencies, err);
    if (rc == 0)
        rc = fill_factors(in, rope, "long_factor", rope->longer, err);
    return rc;
}

static int fill(const struct input *in, struct tp_rope *rope, struct tp_error *err)
{
    bool derived = rope->kind == TP_ROPE_YARN || rope->kind == TP_ROPE_LONG;
    int rc = 0;

    if (derived || rope->kind == TP_ROPE_LLAMA3)
        rc = read_original(in, rope, err);
    if (rc == 0 && rope->kind != TP_ROPE_DEFAULT)
        rc = derived ? read_number(in, "factor", 1e9, &rope->factor, err)
                     : need_number(in, "factor", 1e9, &rope->factor, err);
    if (rc < 0)
        return rc;
    if (derived && rope->factor == 0)
        rope->factor = (double)rope->position_n / (double)rope->original_n;
    switch (rope->kind) {
    case TP_ROPE_LINEAR:
        fill_linear(rope);
        return 0;
    case TP_ROPE_YARN:
        return fill_yarn(in, rope, err);
    case TP_ROPE_LLAMA3:
        return fill_llama3(in, rope, err);
    case TP_ROPE_LONG:
        return fill_long(in, rope, err);
    case TP_ROPE_DYNAMIC:
        if (rope->dim <= 2)
            return tp_fail(err, EINVAL, "'%s.rope_type' dynamic needs a larger head",
                           in->model->key);
        if (rope->position_n == 0)
            return tp_fail(err, EINVAL, "'max_position_embeddings' is missing");
        break;
    case TP_ROPE_DEFAULT:
        break;
    }
    fill_default(rope, (float)rope->theta, rope->frequencies);
    return 0;
}

int tp_rope_init(struct tp_rope *rope, const struct tp_json *parameters,
                 const struct tp_rope_model *model, struct tp_error *err)
{
    const struct input in = {parameters, model};
    double partial = model->partial;
    int rc;

    *rope = (struct tp_rope){.scale = 1, .theta = model->theta, .position_n = model->position_n};
    rc = check_keys(&in, err);
    if (rc == 0)
        rc = read_kind(&in, rope, err);
    if (rc == 0)
        rc = read_number(&in, "rope_theta", 1e15, &rope->theta, err);
    if (rc == 0)
        rc = read_number(&in, "partial_rotary_factor", 1, &partial, err);
    if (rc < 0)
        return rc;
    if (!(rope->theta > 1))
        return tp_fail(err, EINVAL, "'rope_theta' is not above 1");
    if (partial != 1 && !model->partial_known)
        return tp_fail(err, EOPNOTSUPP, "'partial_rotary_factor' %g is not implemented here",
                       partial);
    rope->divisor = (uint32_t)(model->head_dim * partial);
    rope->dim = (rope->divisor + 1) / 2 * 2;
    if (rope->dim == 0)
        return tp_fail(err, EINVAL, "'partial_rotary_factor' %g leaves nothing to rotate", partial);
    if (rope->dim > model->head_dim || rope->dim > TP_ROPE_DIM_MAX)
        return tp_fail(err, EINVAL, "%u elements of a head cannot be rotated", rope->divisor);
    rope->frequencies = calloc(rope->dim / 2, sizeof *rope->frequencies);
    rope->longer = calloc(rope->dim / 2, sizeof *rope->longer);
    rc = rope->frequencies && rope->longer ? fill(&in, rope, err) : tp_oom(err);
    if (rc < 0)
        tp_rope_clear(rope);
    return rc;
}

void tp_rope_clear(struct tp_rope *rope)
{
    free(rope->frequencies);
    free(rope->longer);
    *rope = (struct tp_rope){0};
}

const float *tp_rope_frequencies(const struct tp_rope *rope, uint64_t length, float *space)
{
    if (rope->kind == TP_ROPE_LONG && length > rope->original_n)
        return rope->longer;
    if (rope->kind != TP_ROPE_DYNAMIC || length <= rope->position_n)
        return rope->frequencies;

    /* transformers does this with a tensor, so in fp32. */
    float ratio =
        (float)rope->factor * (float)length / (float)rope->position_n - ((float)rope->factor - 1);
    float power = (float)((double)rope->divisor / ((double)rope->divisor - 2));
    float base = (float)rope->theta * powf(ratio, power);
    for (uint32_t i = 0; i < rope->dim / 2; i++)
        space[i] = 1.0f / powf(base, (float)(2 * i) / (float)rope->divisor);
    return space;
}

void tp_rope_angles(const struct tp_rope *rope, const float *frequencies, uint64_t position,
                    float *cos, float *sin)
{
    for (uint32_t i = 0; i < rope->dim / 2; i++) {
        float angle = (float)position * frequencies[i];
        cos[i] = cosf(angle) * rope->scale;
        sin[i] = sinf(angle) * rope->scale;
    }
}

bool tp_rope_changes(const struct tp_rope *rope, uint64_t before, uint64_t after)
{
    return rope->kind == TP_ROPE_LONG && before > 0 && before <= rope->original_n &&
           after > rope->original_n;
}
