/* SPDX-License-Identifier: MIT */
/* Reading the places of a glance and comparing them. */
#include <config.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"
#include "codec/convert.h"
#include "store/match/fit.h"
#include "store/match/distance.h"
#include "store/match/glance.h"

enum {
    PLACES = TP_GLANCE_PLACES,
    PLACE_LEN = TP_GLANCE_PLACE_LEN,
    ROW = TP_GLANCE_ROW,
    SEEN_LEAST = 4
};

/* If too little was read to decide, neither equal nor unrelated is assumed. */
#define UNKNOWN 0.6
struct place {
    size_t tensor;
    uint64_t off; /* within the tensor */
    size_t len;
    float scale; /* of the weights at this place; 0: not weights that can be compared as numbers */
    uint8_t bytes[PLACE_LEN];
};

struct tp_glance {
    struct tp_model *model;
    unsigned n;
    struct place places[PLACES];
    struct tp_sight own;
    uint8_t ref[PLACE_LEN + TP_SLACK], unconverted[2 * PLACE_LEN + TP_SLACK];
};

/* How the bits of an element become an integer with the order of the values. */
enum order { UNSIGNED, TWOS_COMPLEMENT, SIGN_MAGNITUDE };

static enum order order_of(enum tp_dtype dtype)
{
    switch (dtype) {
    case TP_DTYPE_I8:
    case TP_DTYPE_I16:
    case TP_DTYPE_I32:
    case TP_DTYPE_I64:
        return TWOS_COMPLEMENT;
    case TP_DTYPE_F16:
    case TP_DTYPE_BF16:
    case TP_DTYPE_F32:
    case TP_DTYPE_F64:
    case TP_DTYPE_C64:
    case TP_DTYPE_F8_E4M3:
    case TP_DTYPE_F8_E5M2:
    case TP_DTYPE_F8_E4M3FNUZ:
    case TP_DTYPE_F8_E5M2FNUZ:
        return SIGN_MAGNITUDE;
    default:
        return UNSIGNED;
    }
}

static int64_t read_element(const uint8_t *p, unsigned width, enum order order)
{
    uint64_t v = 0, sign = UINT64_C(1) << (8 * width - 1);

    for (unsigned i = 0; i < width; i++)
        v |= (uint64_t)p[i] << (8 * i);
    if (order == UNSIGNED)
        return (int64_t)(width == 8 ? v ^ sign : v);
    if (!(v & sign))
        return (int64_t)v;
    return order == SIGN_MAGNITUDE ? -(int64_t)(v & (sign - 1)) : (int64_t)((v ^ sign) - sign);
}

double tp_glance_difference(enum tp_dtype dtype, const void *a, const void *b, size_t len)
{
    unsigned bits = tp_dtype_bits(dtype), width = bits < 8                ? 1
                                                  : dtype == TP_DTYPE_C64 ? 4
                                                                          : bits / 8;
    enum order order = order_of(dtype);
    const uint8_t *p = a, *q = b;
    uint64_t sum = 0, n = 0;

    for (size_t i = 0; i + width <= len; i += width, n++) {
        int64_t x = read_element(p + i, width, order), y = read_element(q + i, width, order);
        uint64_t d = x > y ? (uint64_t)x - (uint64_t)y : (uint64_t)y - (uint64_t)x;

        sum += d ? 64u - (unsigned)__builtin_clzll(d) : 0;
    }
    return n ? (double)sum / (double)(n * 8 * width) : 0;
}

/* Place at even steps over the bytes of all tensors; each place is moved to where it fits. */
static void lay_out(struct tp_glance *g)
{
    const struct tp_model *m = g->model;
    uint64_t step = m->tensor_bytes / PLACES, start = 0, next;

    if (step < PLACE_LEN)
        step = PLACE_LEN;
    next = step / 2;
    for (size_t i = 0; i < m->tensor_n && g->n < PLACES; i++) {
        const struct tp_model_tensor *t = &m->tensors[i];
        unsigned unit = tp_distance_unit(t->dtype);
        size_t most = PLACE_LEN / 24 * 24,
               len = t->len < most ? (size_t)t->len / unit * unit : most;

        for (; g->n < PLACES && next < start + t->len; next += step) {
            uint64_t off = next - start;

            if (off > t->len - len)
                off = t->len - len;
            if (len)
                g->places[g->n++] =
                    (struct place){.tensor = i, .off = off / unit * unit, .len = len};
        }
        start += t->len;
    }
}

/*
 * Convert LEN bytes of DTYPE to numbers in OUT. False: they are not weights, or some are not
 * numbers.
 */
static bool as_numbers(enum tp_dtype dtype, const void *bytes, size_t len, float *out)
{
    size_t n = len / (tp_dtype_bits(dtype) < 8 ? 1 : tp_dtype_bits(dtype) / 8);

    memset(out, 0, ROW * sizeof *out);
    if (n > ROW || !tp_convert_possible(dtype, TP_DTYPE_F32))
        return false;
    tp_convert(TP_DTYPE_F32, out, dtype, bytes, n);
    for (size_t i = 0; i < n; i++)
        if (!isfinite(out[i]))
            return false;
    return true;
}

/* Store row I of SIGHT, in units of the model's weights at this place. */
static void keep_weights(const struct tp_glance *g, unsigned i, const void *bytes,
                         struct tp_sight *sight)
{
    const struct place *place = &g->places[i];
    float *row = sight->weights + (size_t)i * ROW;

    sight->seen[i] = place->scale > 0 &&
                     as_numbers(g->model->tensors[place->tensor].dtype, bytes, place->len, row);
    for (unsigned k = 0; sight->seen[i] && k < ROW; k++)
        row[k] /= place->scale;
}

static int read_own(struct tp_glance *g, struct tp_error *err)
{
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < g->n; i++) {
        struct place *place = &g->places[i];
        const struct tp_model_tensor *t = &g->model->tensors[place->tensor];
        float row[ROW];
        double squares = 0;

        rc = tp_model_read(g->model, t->file, t->off + place->off, place->bytes, place->len, err);
        if (rc < 0 || !as_numbers(t->dtype, place->bytes, place->len, row))
            continue;
        for (unsigned k = 0; k < ROW; k++)
            squares += (double)row[k] * (double)row[k];
        place->scale = (float)sqrt(squares / ROW);
        if (!isfinite(place->scale))
            place->scale = 0;
        keep_weights(g, i, place->bytes, &g->own);
    }
    g->own.places = g->n;
    return rc;
}

static int make_weights(struct tp_sight *sight, struct tp_error *err)
{
    *sight = (struct tp_sight){.weights = calloc((size_t)PLACES * ROW, sizeof *sight->weights)};
    return sight->weights ? 0 : tp_oom(err);
}

int tp_glance_create(struct tp_model *model, struct tp_glance **out, struct tp_error *err)
{
    struct tp_glance *g = calloc(1, sizeof *g);
    int rc;

    *out = NULL;
    if (!g)
        return tp_oom(err);
    g->model = model;
    lay_out(g);
    rc = make_weights(&g->own, err);
    if (rc == 0)
        rc = read_own(g, err);
    if (rc == 0)
        *out = g;
    else
        tp_glance_destroy(g);
    return rc;
}

void tp_glance_destroy(struct tp_glance *glance)
{
    if (glance)
        tp_sight_clear(&glance->own);
    free(glance);
}

const struct tp_sight *tp_glance_of_model(const struct tp_glance *glance)
{
    return &glance->own;
}

int tp_glance_read_base(struct tp_glance *g, struct tp_model *base, const struct tp_pairs *pairs,
                        struct tp_sight *out, struct tp_error *err)
{
    double sum = 0, share = g->model->tensor_bytes
                                ? (double)pairs->matched_bytes / (double)g->model->tensor_bytes
                                : 0;
    int rc = make_weights(out, err);

    for (unsigned i = 0; rc == 0 && i < g->n; i++) {
        const struct place *place = &g->places[i];
        const struct tp_model_tensor *t = &g->model->tensors[place->tensor],
                                     *b = pairs->of[place->tensor];

        if (!b || place->off + place->len > tp_fit_common(t, b))
            continue;
        rc = tp_distance_read_base(base, b, t, place->off, g->ref, place->len, g->unconverted, err);
        if (rc < 0)
            break;
        sum += tp_glance_difference(t->dtype, place->bytes, g->ref, place->len);
        keep_weights(g, i, g->ref, out);
        out->places++;
    }
    if (rc < 0) {
        tp_sight_clear(out);
        return rc;
    }
    out->difference = out->places >= SEEN_LEAST || out->places == g->n
                          ? sum / (out->places ? out->places : 1)
                          : UNKNOWN;
    out->cost = share * out->difference + 1 - share;
    return 0;
}

void tp_sight_clear(struct tp_sight *sight)
{
    free(sight->weights);
    *sight = (struct tp_sight){0};
}
