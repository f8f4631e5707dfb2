/* SPDX-License-Identifier: MIT */
/*
 * Norms, rotations, activations and sums over logits: the scalar kernels against fp64, and every
 * other instruction set that the CPU has against the scalar one, to the bit.
 */
#include <config.h>

#include "base/isa.h"
#include "codec/convert.h"
#include "optimizer/kernel/kernel.h"
#include "optimizer/kernel/math.h"
#include "tests/optimizer/kernel_check.h"

/* --- Functions of numbers --- */

/* The largest error of F, in units of the last place of G's result, over fp32 numbers. */
static double worst_error(float (*f)(float), double (*g)(double), float from, float to,
                          double least)
{
    double worst = 0;

    for (int i = 0; i <= 400000; i++) {
        float x = from + (to - from) * (float)i / 400000;
        double want = g((double)x), size = fabs(want) > least ? fabs(want) : least;
        double error = fabs((double)f(x) - want) / (ldexp(1, ilogb(size)) * (double)FLT_EPSILON);

        worst = error > worst || isnan(error) ? error : worst;
    }
    diag("error %.2f", worst);
    return worst;
}

static float exp_of(float x)
{
    return tp_exp(x);
}

static float tanh_of(float x)
{
    return tp_tanh(x);
}

static float erf_of(float x)
{
    return tp_erf(x);
}

static void test_math(void)
{
    ok(worst_error(exp_of, exp, -87, 88.7f, 0) < 1.5, "exp: below 1.5 units");
    ok(worst_error(exp_of, exp, -1, 1, 0) < 1.5, "exp near 0");
    ok(worst_error(exp_of, exp, -105, -86, FLT_MIN) < 1.5, "exp with denormal results");
    ok(tp_exp(0) == 1 && tp_exp(-0.0f) == 1, "exp(0)");
    ok(tp_exp(INFINITY) == INFINITY && tp_exp(-INFINITY) == 0 && isnan(tp_exp(NAN)),
       "exp of infinities and NaN");
    ok(tp_exp(200) == INFINITY && tp_exp(-200) == 0, "exp beyond its range");
    ok(worst_error(tanh_of, tanh, -10, 10, 1e-30) < 3, "tanh: below 3 units");
    ok(tp_tanh(INFINITY) == 1 && tp_tanh(-INFINITY) == -1 && isnan(tp_tanh(NAN)),
       "tanh of infinities and NaN");
    ok(tp_tanh(1e-41f) == 1e-41f, "tanh of a denormal");
    ok(worst_error(erf_of, erf, -6, 6, 1e-30) < 3, "erf: below 3 units");
    ok(tp_erf(INFINITY) == 1 && tp_erf(-INFINITY) == -1 && isnan(tp_erf(NAN)),
       "erf of infinities and NaN");
}

/* --- Rows --- */

enum row_kernel {
    RMS,
    RMS_PLUS_ONE,
    RMS_BF16,
    LAYER,
    LAYER_NO_BIAS,
    HALVES,
    SILU,
    SILU_UP,
    GELU,
    GELU_TANH,
    CAP,
    ADD,
    SCALE,
    ROUND_BF16,
    ROUND_F16,
    SOFTMAX,
    ROW_KERNELS
};
static const char *const row_names[] = {"rms_norm",
                                        "rms_norm, plus one",
                                        "rms_norm_rounded",
                                        "layer_norm",
                                        "layer_norm without bias",
                                        "rotate_halves",
                                        "silu",
                                        "silu times up",
                                        "gelu",
                                        "gelu_tanh",
                                        "soft_cap",
                                        "add",
                                        "scale",
                                        "round to bf16",
                                        "round to f16",
                                        "softmax"};

static void do_row(enum row_kernel k, const float *x, const float *w, const float *b, size_t n,
                   float *dst)
{
    switch (k) {
    case RMS:
    case RMS_PLUS_ONE:
        tp_rms_norm(x, w, n, 1e-5f, k == RMS_PLUS_ONE, dst);
        break;
    case RMS_BF16:
        tp_rms_norm_rounded(n % 2 ? TP_DTYPE_F16 : TP_DTYPE_BF16, x, w, n, 1e-5f, dst);
        break;
    case LAYER:
    case LAYER_NO_BIAS:
        tp_layer_norm(x, w, k == LAYER ? b : NULL, n, 1e-5f, dst);
        break;
    case HALVES:
        if (dst != x)
            memcpy(dst, x, n * sizeof *x);
        tp_rotate_halves(dst, n & ~(size_t)1, w, b);
        break;
    case SILU:
    case SILU_UP:
        tp_silu(x, k == SILU ? NULL : w, n, dst);
        break;
    case GELU:
        tp_gelu(x, w, n, dst);
        break;
    case GELU_TANH:
        tp_gelu_tanh(x, w, n, dst);
        break;
    case CAP:
        tp_soft_cap(x, 0.7f, n, dst);
        break;
    case ADD:
        tp_add(x, w, n, dst);
        break;
    case SCALE:
        tp_scale(x, 0.3f, n, dst);
        break;
    case ROUND_BF16:
        tp_round_to(TP_DTYPE_BF16, x, n, dst);
        break;
    case ROUND_F16:
        tp_round_to(TP_DTYPE_F16, x, n, dst);
        break;
    default:
        tp_softmax(x, n, dst);
    }
}

/* What element I should be, from sums in fp64. */
static double defined(enum row_kernel k, const float *x, const float *w, const float *b, size_t n,
                      size_t i)
{
    double mean = 0, square = 0, variance = 0, sum = 0, v = (double)x[i], u = (double)w[i];
    size_t half = n / 2;

    for (size_t c = 0; c < n; c++) {
        mean += (double)x[c] / (double)n;
        square += (double)x[c] * (double)x[c] / (double)n;
        sum += exp((double)x[c]);
    }
    for (size_t c = 0; c < n; c++)
        variance += ((double)x[c] - mean) * ((double)x[c] - mean) / (double)n;
    switch (k) {
    case RMS:
    case RMS_BF16:
        return v / sqrt(square + (double)1e-5f) * u;
    case RMS_PLUS_ONE:
        return v / sqrt(square + (double)1e-5f) * (1 + u);
    case LAYER:
    case LAYER_NO_BIAS:
        return (v - mean) / sqrt(variance + (double)1e-5f) * u + (k == LAYER ? (double)b[i] : 0);
    case HALVES:
        if (i >= 2 * half)
            return v;
        return v * (double)w[i % half] +
               (i < half ? -1 : 1) * (double)x[(i + half) % (2 * half)] * (double)b[i % half];
    case SILU:
    case SILU_UP:
        return v / (1 + exp(-v)) * (k == SILU ? 1 : u);
    case GELU:
        return v / 2 * (1 + erf(v / sqrt(2))) * u;
    case GELU_TANH:
        return v / 2 * (1 + tanh(sqrt(2 / M_PI) * (v + 0.044715 * v * v * v))) * u;
    case CAP:
        return (double)0.7f * tanh(v / (double)0.7f);
    case ADD:
        return v + u;
    case SCALE:
        return v * (double)0.3f;
    case SOFTMAX:
        return exp(v) / sum;
    default:
        return v;
    }
}

static void test_row(enum row_kernel k, size_t n, bool odd)
{
    float *x = numbers(n), *w = numbers(n), *b = numbers(n);
    float *want = allocate(n * sizeof *want), *got = allocate(n * sizeof *got);
    bool good = true;

    for (size_t i = 0; i < n; i++)
        x[i] *= 5;
    if (odd)
        spoil(x, n, true);
    tp_isa_set(TP_ISA_SCALAR);
    do_row(k, x, w, b, n, want);
    for (size_t i = 0; i < n && !odd; i++) {
        double exact = defined(k, x, w, b, n, i), error = fabs((double)want[i] - exact);
        double allowed = k == RMS_BF16 || k == ROUND_BF16 ? 0x1p-8
                         : k == ROUND_F16                 ? 0x1p-11
                                                          : 1e-6;

        if (!(error <= allowed * (fabs(exact) + (k == LAYER_NO_BIAS || k == LAYER ? 1 : 0.2)))) {
            diag("element %zu is %g, not %g", i, (double)want[i], exact);
            good = false;
        }
    }
    for (enum tp_isa isa = TP_ISA_SCALAR; isa <= tp_isa_best(); isa++) {
        tp_isa_set(isa);
        do_row(k, x, w, b, n, got);
        good = good && same(got, want, n);
        memcpy(got, x, n * sizeof *x);
        do_row(k, got, w, b, n, got);
        good = good && same(got, want, n);
    }
    ok(good, "%s of %zu%s", row_names[k], n, odd ? " odd numbers" : "");
    free(x);
    free(w);
    free(b);
    free(want);
    free(got);
}

static void test_rows(void)
{
    for (enum row_kernel k = 0; k < ROW_KERNELS; k++) {
        for (size_t n = 2; n < 20; n += 1 + below(4))
            test_row(k, n, false);
        test_row(k, 576, false);
        test_row(k, 200 + below(200), false);
        test_row(k, 8 + below(200), true);
        test_row(k, 8 + below(200), true);
    }
}

/* Each number that rounding could treat in its own way. */
static void test_rounding(void)
{
    const uint32_t parts[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff, 0x10000, 0x17fff, 0x18000};
    float *x = allocate(512 * 9 * 4), *got = allocate(512 * 9 * 4), *want = allocate(512 * 9 * 4);
    uint16_t *narrow = allocate(512 * 9 * 2);
    size_t n = 0;

    for (uint32_t e = 0; e < 512; e++)
        for (size_t i = 0; i < 9; i++)
            x[n++] = tp_float_of(e << 23 | parts[i]);
    for (size_t d = 1; d < 3; d++) {
        tp_convert(dtypes[d], narrow, TP_DTYPE_F32, x, n);
        tp_convert(TP_DTYPE_F32, want, dtypes[d], narrow, n);
        tp_round_to(dtypes[d], x, n, got);
        ok(same(got, want, n), "rounding to %s is converting there and back",
           tp_dtype_name(dtypes[d]));
    }
    free(x);
    free(got);
    free(want);
    free(narrow);
}

/* --- Logits --- */

static void test_logits(size_t n)
{
    float *p = numbers(n), *q = numbers(n);
    double sum_p = 0, sum_q = 0, divergence = 0, lse_p = 0, lse_q = 0, kl = 0;
    bool good = true;

    for (size_t i = 0; i < n; i++) {
        p[i] *= 20;
        q[i] *= 20;
        sum_p += exp((double)p[i]);
        sum_q += exp((double)q[i]);
    }
    for (size_t i = 0; i < n; i++) {
        double lp = (double)p[i] - log(sum_p), lq = (double)q[i] - log(sum_q);

        divergence += exp(lp) * (lp - lq);
    }
    for (enum tp_isa isa = TP_ISA_SCALAR; isa <= tp_isa_best(); isa++) {
        double a, b, c;

        tp_isa_set(isa);
        a = tp_log_sum_exp(p, n);
        b = tp_log_sum_exp(q, n);
        c = tp_kl_divergence(p, a, q, b, n);
        if (isa == TP_ISA_SCALAR) {
            lse_p = a;
            lse_q = b;
            kl = c;
        }
        good = good && a == lse_p && b == lse_q && c == kl;
        good = good && fabs(tp_kl_divergence(p, a, p, a, n)) == 0;
    }
    ok(good, "%zu logits: the same by all instruction sets", n);
    ok(fabs(lse_p - log(sum_p)) < 1e-6 && fabs(lse_q - log(sum_q)) < 1e-6, "log-sum-exp");
    ok(fabs(kl - divergence) < 1e-6 * (1 + divergence), "divergence");
    free(p);
    free(q);
}

static void test_odd_logits(void)
{
    float x[19], y[19];

    for (size_t i = 0; i < 19; i++)
        x[i] = y[i] = -INFINITY;
    ok(tp_log_sum_exp(x, 19) == -(double)INFINITY, "all logits are -infinity");
    ok(tp_log_sum_exp(x, 0) == -(double)INFINITY, "no logits");
    x[3] = 1;
    x[17] = 1;
    ok(fabs(tp_log_sum_exp(x, 19) - 1 - log(2)) < 1e-7, "some logits are -infinity");
    y[3] = y[17] = 7;
    ok(fabs(tp_kl_divergence(x, tp_log_sum_exp(x, 19), y, tp_log_sum_exp(y, 19), 19)) < 1e-7,
       "the divergence where both probabilities are 0");
    y[17] = -INFINITY;
    ok(tp_kl_divergence(x, tp_log_sum_exp(x, 19), y, tp_log_sum_exp(y, 19), 19) == (double)INFINITY,
       "the divergence where one is");
    is_u64(tp_arg_max(x, 19), 3, "the first of equal ones");
    x[0] = NAN;
    is_u64(tp_arg_max(x, 19), 3, "a NaN is not the largest");
    ok(isnan(tp_log_sum_exp(x, 19)), "the log-sum-exp of a NaN");
    x[0] = 0;
    x[18] = NAN;
    ok(isnan(tp_log_sum_exp(x, 19)), "also of one at the end");
    x[18] = INFINITY;
    is_u64(tp_arg_max(x, 19), 18, "infinity is");
    ok(tp_log_sum_exp(x, 19) == (double)INFINITY, "the log-sum-exp of infinity");
    x[18] = 3e38f;
    ok(fabs(tp_log_sum_exp(x, 19) - (double)3e38f) == 0, "of a number that has no exponential");
}

int main(void)
{
    seed = tap_seed();
    diag("the best instruction set is %s", tp_isa_name(tp_isa_best()));
    test_math();
    test_rows();
    test_rounding();
    for (size_t n = 1; n < 3000; n = 3 * n + 1)
        test_logits(n);
    test_odd_logits();
    return tap_done();
}
