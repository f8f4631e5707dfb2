/* SPDX-License-Identifier: MIT */
/* NF4, with and without double quantization, and INT8: the bytes that bitsandbytes makes. */
#include <config.h>

#include "codec/quant/method.h"
#include "tests/codec/quant_check.h"
#include "tests/codec/quant_nf4.h"

static float *make_weights(uint32_t rows, uint32_t cols)
{
    float *w = check_alloc((size_t)rows * cols * sizeof *w);
    uint32_t state = 12345;

    for (uint32_t i = 0; i < rows * cols; i++) {
        state = state * 1664525 + 1013904223;
        w[i] = i % 97 == 0 ? 0
                           : ldexpf((float)((int32_t)(state >> 8) - (1 << 23)),
                                    -23 - (int)(i / 64 * 7 % 5));
    }
    return w;
}

/* Quantize by a method, in ranges of STEP rows. */
static struct tp_quant_job *quantize(const char *method, const float *w, uint32_t rows,
                                     uint32_t cols, uint32_t step, struct tp_quant_matrix *m)
{
    struct tp_quant_task task = {.settings = tp_quant_method_find(method)->settings,
                                 .cols = cols,
                                 .count = 1,
                                 .source = {{w, cols, rows, false}}};
    struct tp_quant_job *job;
    struct tp_error err = {0};
    const uint8_t *data;
    uint32_t n;
    size_t len;

    if (tp_quant_job_create(&task, &job, &err))
        bail_out("%s", err.message);
    while ((n = tp_quant_step_rows(job)) > 0) {
        for (uint32_t first = 0; first < n; first += step)
            if (tp_quant_step(job, first, n - first < step ? n : first + step, &err))
                bail_out("%s", err.message);
        if (tp_quant_step_end(job, &err))
            bail_out("%s", err.message);
    }
    data = tp_quant_packed(job, 0, &len);
    if (tp_quant_open(data, len, m, &err))
        bail_out("%s", err.message);
    return job;
}

static uint64_t hash(const uint8_t *p, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

static void check_nf4(uint32_t step)
{
    float *w = make_weights(5, 63);
    struct tp_quant_matrix m;
    struct tp_quant_job *job = quantize("nf4", w, 5, 63, step, &m);

    ok(!memcmp(m.view[0].section[TP_QUANT_CODES], nf4_codes, sizeof nf4_codes),
       "codes of 5 x 63, the last block short, %u rows at a time", step);
    ok(m.layout.section[0][TP_QUANT_CODES].bytes == sizeof nf4_codes &&
           !memcmp(m.view[0].section[TP_QUANT_SCALES], nf4_absmax, sizeof nf4_absmax),
       "absolute maxima");
    tp_quant_job_destroy(job);
    free(w);
}

static void check_double(uint32_t step)
{
    float *w = make_weights(160, 128), offset;
    struct tp_quant_matrix m;
    struct tp_quant_job *job = quantize("nf4_double", w, 160, 128, step, &m);

    is_u64(hash(m.view[0].section[TP_QUANT_CODES], 160 * 128 / 2), nf4_double_codes_hash,
           "codes of 160 x 128");
    ok(!memcmp(m.view[0].section[TP_QUANT_SCALES], nf4_double_scales, sizeof nf4_double_scales),
       "coded maxima, %u rows at a time", step);
    ok(!memcmp(m.view[0].section[TP_QUANT_ZEROS], nf4_double_absmax, sizeof nf4_double_absmax),
       "maxima of the maxima");
    memcpy(&offset, m.view[0].section[TP_QUANT_TABLE], 4);
    ok(offset == nf4_double_offset, "offset");
    tp_quant_job_destroy(job);
    free(w);
}

/* bitsandbytes takes fp16. */
static void check_int8(void)
{
    float *w = make_weights(3, 70);
    struct tp_quant_matrix m;
    struct tp_quant_job *job;

    for (uint32_t i = 0; i < 3 * 70; i++)
        w[i] = tp_float_from_f16(tp_f16_from_float(w[i]));
    job = quantize("int8", w, 3, 70, 2, &m);
    ok(!memcmp(m.view[0].section[TP_QUANT_CODES], int8_codes, sizeof int8_codes), "INT8: codes");
    ok(!memcmp(m.view[0].section[TP_QUANT_SCALES], int8_absmax, sizeof int8_absmax),
       "INT8: absolute maxima");
    tp_quant_job_destroy(job);
    free(w);
}

int main(void)
{
    check_nf4(5);
    check_nf4(2);
    check_double(160);
    check_double(7);
    check_int8();
    return tap_done();
}
