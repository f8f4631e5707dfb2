/* SPDX-License-Identifier: MIT */
/* Read bandwidth and rate of operations. */
#include <config.h>

#include "optimizer/search/rates.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/memory.h"
#include "optimizer/runtime/linear.h"

enum {
    PASSES = 7,
    READ_PARTS = 64,
    READ_UNIT = READ_PARTS * 4096,
    READ_MOST = 256 << 20, /* more than caches hold */
    WIDTH = 1024,          /* of the matrix, and its rows */
    VECTORS = 256,
};

/* --- Reading --- */

/* Vectors of 64 bytes in four chains: no slower than the memory. */
typedef uint64_t words __attribute__((vector_size(64)));

struct reading {
    const words *buffer;
    size_t words_n; /* of a part */
    uint64_t sums[READ_PARTS];
};

static void read_part(void *arg, size_t part, void *scratch)
{
    struct reading *r = arg;
    const words *p = r->buffer + part * r->words_n;
    words a = {0}, b = {0}, c = {0}, d = {0};

    (void)scratch;
    for (size_t i = 0; i < r->words_n; i += 4) {
        a += p[i];
        b += p[i + 1];
        c += p[i + 2];
        d += p[i + 3];
    }
    a += b + c + d;
    for (size_t i = 0; i < sizeof a / sizeof a[0]; i++)
        r->sums[part] += a[i];
}

static int measure_reading(struct tp_team *team, size_t size, double *out, struct tp_error *err)
{
    tp_autofree void *buffer = aligned_alloc(64, size);
    struct reading r = {.buffer = buffer, .words_n = size / READ_PARTS / sizeof(words)};

    if (!buffer)
        return tp_oom(err);
    memset(buffer, 1, size);
    *out = 0;
    for (int i = 0; i < PASSES; i++) {
        double seconds = tp_seconds(), rate;

        tp_team_run(team, READ_PARTS, read_part, &r);
        seconds = tp_seconds() - seconds;
        rate = (double)size / (seconds > 0 ? seconds : 1e-9);
        *out = rate > *out ? rate : *out;
    }
    /* The sums are used, so that reading cannot be left out. */
    for (int i = 1; i < READ_PARTS; i++)
        if (r.sums[i] != r.sums[0])
            return tp_fail(err, EIO, "memory does not keep what was written");
    return 0;
}

/* --- Products --- */

static int measure_products(struct tp_team *team, double *out, struct tp_error *err)
{
    tp_autofree uint16_t *matrix = calloc((size_t)WIDTH * WIDTH, sizeof *matrix);
    tp_autofree float *x = calloc((size_t)VECTORS * WIDTH, sizeof *x);
    tp_autofree float *y = calloc((size_t)VECTORS * WIDTH, sizeof *y);
    struct tp_linear linear = {.matrix = {.form = tp_matrix_float_form(TP_DTYPE_BF16),
                                          .data = matrix,
                                          .rows = WIDTH,
                                          .cols = WIDTH,
                                          .stride = WIDTH * sizeof *matrix}};
    struct tp_product product = {.linear = &linear, .y = y, .y_stride = WIDTH};

    if (!matrix || !x || !y)
        return tp_oom(err);
    for (size_t i = 0; i < (size_t)WIDTH * WIDTH; i++)
        matrix[i] = (uint16_t)(0x3f80 + i % 128); /* 1 to 2 */
    for (size_t i = 0; i < (size_t)VECTORS * WIDTH; i++)
        x[i] = 1;
    *out = 0;
    for (int i = 0; i < PASSES; i++) {
        double seconds = tp_seconds(), rate;

        tp_linear_multiply(team, &product, 1, x, WIDTH, VECTORS, TP_DTYPE_F32);
        seconds = tp_seconds() - seconds;
        rate = 2.0 * WIDTH * WIDTH * VECTORS / (seconds > 0 ? seconds : 1e-9);
        *out = rate > *out ? rate : *out;
    }
    return 0;
}

int tp_rates_measure(struct tp_team *team, uint64_t memory, struct tp_rates *out,
                     struct tp_error *err)
{
    uint64_t size = tp_memory_left(memory) / 8;
    int rc;

    *out = (struct tp_rates){0};
    size = size < READ_MOST ? size : READ_MOST;
    size = size / READ_UNIT * READ_UNIT;
    if (size == 0)
        return tp_fail(err, ENOMEM, "no memory is left to measure with");
    rc = measure_reading(team, size, &out->read_bandwidth, err);
    if (rc == 0)
        rc = measure_products(team, &out->operations_rate, err);
    if (rc < 0)
        *out = (struct tp_rates){0};
    return rc;
}
