/* SPDX-License-Identifier: MIT */
/* What measurements are made of: percentiles, standard errors, windows, scores, samples, texts. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "optimizer/evaluate/corpus.h"
#include "optimizer/evaluate/sample.h"
#include "optimizer/evaluate/statistics.h"
#include "optimizer/evaluate/windows.h"
#include "optimizer/kernel/kernel.h"
#include "tests/tap.h"

static bool near(double got, double want, double relative)
{
    bool good = fabs(got - want) <= relative * (fabs(want) > 1 ? fabs(want) : 1);

    if (!good)
        diag("got %.17g, want %.17g", got, want);
    return good;
}

/* --- Statistics --- */

static void test_percentiles(void)
{
    double v[] = {7, 1, 3, 12, 5}, one[] = {4}, two[] = {10, 20};

    tp_values_sort(v, 5);
    ok(v[0] == 1 && v[4] == 12, "values are sorted");
    /* numpy.percentile([1, 3, 5, 7, 12], [0, 50, 95, 99, 100]) */
    ok(near(tp_values_percentile(v, 5, 0), 1, 0), "percentile 0");
    ok(near(tp_values_percentile(v, 5, 50), 5, 0), "the median");
    ok(near(tp_values_percentile(v, 5, 95), 11, 1e-12), "percentile 95 between two values");
    ok(near(tp_values_percentile(v, 5, 99), 11.8, 1e-12), "percentile 99 between two values");
    ok(near(tp_values_percentile(v, 5, 100), 12, 0), "percentile 100");
    ok(near(tp_values_percentile(one, 1, 99), 4, 0), "of one value");
    ok(near(tp_values_percentile(two, 2, 25), 12.5, 0), "of two values");
    ok(isnan(tp_values_percentile(NULL, 0, 50)), "of none");
}

static void test_means(void)
{
    static const double v[] = {2, 4, 4, 4, 5, 5, 7, 9};
    struct tp_mean m = {0}, large = {0};

    ok(tp_mean_error(&m) == 0, "no values have no error");
    for (size_t i = 0; i < 8; i++)
        tp_mean_add(&m, v[i]);
    ok(near(m.mean, 5, 1e-15), "the mean");
    ok(near(tp_mean_deviation(&m), sqrt(32.0 / 7), 1e-15), "the deviation, by n - 1");
    ok(near(tp_mean_error(&m), sqrt(32.0 / 7 / 8), 1e-15), "the standard error");
    for (int i = 0; i < 1000; i++)
        tp_mean_add(&large, 1e9 + (i % 2 ? 0.5 : -0.5));
    ok(near(tp_mean_deviation(&large), 0.5 * sqrt(1000.0 / 999), 1e-9),
       "a small deviation of large values");
}

/* --- Windows --- */

static void is_place(const struct tp_windows *w, uint64_t i, uint64_t begin, uint32_t len,
                     uint32_t first)
{
    struct tp_window_place p = tp_windows_place(w, i);

    if (!ok(p.begin == begin && p.len == len && p.first == first, "%s: window %" PRIu64,
            tp_convention_names[w->convention], i))
        diag("begin %" PRIu64 ", len %u, first %u", p.begin, p.len, p.first);
}

static void test_conventions(void)
{
    uint32_t none = 0, half = 0, less = 3, same = 8;

    ok(tp_convention_choose(NULL, 8, &none) == TP_CONVENTION_HF_WINDOW && none == 8,
       "hf-window without a name and a stride");
    ok(tp_convention_choose(NULL, 8, &less) == TP_CONVENTION_HF_STRIDE && less == 3,
       "hf-stride by its stride");
    ok(tp_convention_choose(NULL, 8, &same) == TP_CONVENTION_HF_WINDOW, "a stride of the context");
    ok(tp_convention_choose("hf-stride", 8, &half) == TP_CONVENTION_HF_STRIDE && half == 4,
       "hf-stride by its name");
    none = 0;
    ok(tp_convention_choose("llama.cpp", 8, &none) == TP_CONVENTION_LLAMA_CPP && none == 8,
       "llama.cpp by its name");
}

static void test_windows(void)
{
    struct tp_error err = {0};
    struct tp_windows w;

    is_int(tp_windows_plan(TP_CONVENTION_HF_WINDOW, 25, 8, 8, 0, &w, &err), 0, "hf-window");
    is_u64(w.n, 3, "hf-window: 25 tokens are 3 windows of 8");
    is_u64(w.scored, 21, "hf-window: 7 of each are scored");
    is_u64(w.dropped, 1, "hf-window: the rest is dropped");
    is_place(&w, 2, 16, 8, 1);
    is_int(tp_windows_plan(TP_CONVENTION_HF_WINDOW, 25, 8, 8, 2, &w, &err), 0, "two samples");
    is_u64(tp_windows_span(2, 8, 8), 16, "which have 16 tokens");
    is_u64(tp_windows_span(3, 8, 2), 12, "three that overlap have 12");
    is_u64(tp_windows_span(UINT64_MAX, 8, 8), UINT64_MAX, "a number that cannot be");
    ok(w.n == 2 && w.scored == 14 && w.dropped == 9, "two samples are the first two windows");

    /* The loop of the documentation: begins 0, 3, 6, ...; it ends with the window that reaches the
     * end of the text. */
    is_int(tp_windows_plan(TP_CONVENTION_HF_STRIDE, 16, 8, 3, 0, &w, &err), 0, "hf-stride");
    is_u64(w.n, 4, "hf-stride: 16 tokens are 4 windows");
    is_u64(w.scored, 15, "hf-stride: each token but the first is scored once");
    is_u64(w.dropped, 0, "hf-stride: nothing is dropped");
    is_place(&w, 0, 0, 8, 1);
    is_place(&w, 1, 3, 8, 5);
    is_place(&w, 2, 6, 8, 5);
    is_place(&w, 3, 9, 7, 5);
    is_int(tp_windows_plan(TP_CONVENTION_HF_STRIDE, 14, 8, 3, 0, &w, &err), 0, "a whole end");
    ok(w.n == 3 && w.scored == 13, "hf-stride: a last window that is whole");
    is_int(tp_windows_plan(TP_CONVENTION_HF_STRIDE, 8, 8, 3, 0, &w, &err), 0, "one window");
    ok(w.n == 1 && w.scored == 7, "hf-stride: a text of one window");

    is_int(tp_windows_plan(TP_CONVENTION_LLAMA_CPP, 25, 8, 8, 0, &w, &err), 0, "llama.cpp");
    is_u64(w.scored, 9, "llama.cpp: 3 of 8 are scored");
    is_place(&w, 1, 8, 8, 5);
    is_int(tp_windows_plan(TP_CONVENTION_LLAMA_CPP, 5120, 512, 512, 0, &w, &err), 0, "as 512");
    is_u64(w.scored, 2550, "llama.cpp: 255 of 512 are scored");

    is_int(tp_windows_plan(TP_CONVENTION_HF_WINDOW, 7, 8, 8, 0, &w, &err), -EINVAL, "too short");
    is_str(err.message, "the text has 7 tokens, fewer than the context of 8", "which says so");
    is_int(tp_windows_plan(TP_CONVENTION_HF_WINDOW, 0, 8, 8, 0, &w, &err), -EINVAL, "no tokens");
    is_int(tp_windows_plan(TP_CONVENTION_HF_WINDOW, 9, 1, 1, 0, &w, &err), -EINVAL, "context 1");
    is_int(tp_windows_plan(TP_CONVENTION_HF_STRIDE, 9, 4, 5, 0, &w, &err), -EINVAL,
           "a stride above the context");
    is_int(tp_windows_plan(TP_CONVENTION_HF_STRIDE, 9, 4, 0, 0, &w, &err), -EINVAL, "stride 0");
    is_int(tp_windows_plan(TP_CONVENTION_LLAMA_CPP, 9, 4, 2, 0, &w, &err), -EINVAL,
           "llama.cpp has no stride");
}

/* Each token is scored at most once, by any convention; by hf-stride exactly once. */
static void test_all_windows(void)
{
    unsigned wrong = 0;

    for (uint64_t tokens = 4; tokens < 40; tokens++)
        for (uint32_t context = 4; context <= tokens; context++)
            for (uint32_t stride = 1; stride < context; stride++) {
                unsigned seen[40] = {0};
                struct tp_windows w;

                wrong += tp_windows_plan(TP_CONVENTION_HF_STRIDE, tokens, context, stride, 0, &w,
                                         NULL) < 0;
                for (uint64_t i = 0; i < w.n; i++) {
                    struct tp_window_place p = tp_windows_place(&w, i);

                    for (uint32_t t = p.first; t < p.len; t++)
                        seen[p.begin + t]++;
                }
                for (uint64_t t = 0; t < tokens; t++)
                    wrong += seen[t] != (t > 0);
            }
    is_int(wrong, 0, "hf-stride: any text and stride");
}

/* --- Scores --- */

static double divergence(const float *p, const float *q, size_t n)
{
    return tp_kl_divergence(p, tp_log_sum_exp(p, n), q, tp_log_sum_exp(q, n), n);
}

static void test_scores(void)
{
    /* P is 1/4, 3/4 and Q is 1/2, 1/2. */
    const float p[] = {0, logf(3)}, q[] = {7, 7}, odd[] = {1, NAN}, high[] = {1, INFINITY};

    ok(near(tp_log_sum_exp(p, 2), log(4), 1e-7), "a log-sum-exp by hand");
    ok(near(divergence(p, q, 2), 0.25 * log(0.5) + 0.75 * log(1.5), 1e-7),
       "a KL divergence by hand");
    ok(near(divergence(q, p, 2), 0.5 * log(2) + 0.5 * log(2.0 / 3), 1e-7),
       "the reverse divergence by hand");
    ok(divergence(p, p, 2) == 0, "no divergence from itself");
    ok(!isfinite(tp_log_sum_exp(odd, 2)) && !isfinite(tp_log_sum_exp(high, 2)),
       "NaN and infinity are found");
}

/* --- Samples --- */

static void draw(const struct tp_sampling *sampling, const float *logits, uint32_t n,
                 unsigned counts[], unsigned draws)
{
    struct tp_sampler *s;
    uint32_t token;

    if (tp_sampler_create(sampling, n, &s, NULL) < 0)
        return;
    for (unsigned i = 0; i < draws; i++)
        if (tp_sampler_choose(s, logits, &token, NULL) == 0 && token < n)
            counts[token]++;
    tp_sampler_destroy(s);
}

static bool about(unsigned count, double share, unsigned draws)
{
    double error = sqrt(share * (1 - share) * draws);

    return fabs(count - share * draws) <= 5 * error + 1e-9;
}

static void test_samples(void)
{
    /* Probabilities 0.1, 0.4, 0.2, 0.3. */
    const float logits[] = {logf(1), logf(4), logf(2), logf(3)}, odd[] = {1, NAN};
    unsigned a[4] = {0}, b[4] = {0};
    struct tp_error err = {0};
    struct tp_sampler *s;
    uint32_t token;

    draw(&(struct tp_sampling){.top_p = 1}, logits, 4, a, 10);
    ok(a[1] == 10, "temperature 0 is greedy");
    memset(a, 0, sizeof a);
    draw(&(struct tp_sampling){.temperature = 1, .top_p = 1, .seed = 3}, logits, 4, a, 20000);
    ok(about(a[0], .1, 20000) && about(a[1], .4, 20000) && about(a[2], .2, 20000) &&
           about(a[3], .3, 20000),
       "temperature 1: %u %u %u %u", a[0], a[1], a[2], a[3]);
    draw(&(struct tp_sampling){.temperature = 1, .top_p = 1, .seed = 3}, logits, 4, b, 20000);
    ok(memcmp(a, b, sizeof a) == 0, "the same seed gives the same tokens");
    memset(b, 0, sizeof b);
    draw(&(struct tp_sampling){.temperature = 1, .top_p = 1, .seed = 4}, logits, 4, b, 20000);
    ok(memcmp(a, b, sizeof a) != 0, "another seed gives others");
    memset(a, 0, sizeof a);
    draw(&(struct tp_sampling){.temperature = 0.5, .top_p = 1}, logits, 4, a, 20000);
    ok(about(a[1], 16.0 / 30, 20000) && about(a[0], 1.0 / 30, 20000), "temperature 0.5: %u", a[1]);
    memset(a, 0, sizeof a);
    draw(&(struct tp_sampling){.temperature = 1, .top_k = 2, .top_p = 1}, logits, 4, a, 20000);
    ok(a[0] == 0 && a[2] == 0 && about(a[1], 4.0 / 7, 20000), "top_k 2: %u", a[1]);
    memset(a, 0, sizeof a);
    /* 0.4 + 0.3 reach 0.6. */
    draw(&(struct tp_sampling){.temperature = 1, .top_p = 0.6}, logits, 4, a, 20000);
    ok(a[0] == 0 && a[2] == 0 && about(a[3], 3.0 / 7, 20000), "top_p 0.6: %u", a[3]);
    memset(a, 0, sizeof a);
    draw(&(struct tp_sampling){.temperature = 1, .top_p = 0}, logits, 4, a, 100);
    ok(a[1] == 100, "top_p 0 leaves one");
    is_int(tp_sampler_create(&(struct tp_sampling){.temperature = 1}, 2, &s, &err), 0, "a sampler");
    is_int(tp_sampler_choose(s, odd, &token, &err), -EDOM, "a NaN is an error");
    tp_sampler_destroy(s);
}

/* --- Texts --- */

static void write_text(const char *name, const void *bytes, size_t len, off_t size)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (write(fd, bytes, len) != (ssize_t)len || (size && ftruncate(fd, size) < 0))
        diag("cannot write '%s'", name);
    close(fd);
}

static int read_text(const char *name, const char *dir, uint64_t len, struct tp_corpus *corpus,
                     struct tp_error *err)
{
    int rc = tp_corpus_open(name, dir, corpus, err);

    return rc < 0 ? rc : tp_corpus_read(corpus, len, err);
}

static void test_refused_text(const char *dir, const char *name, int code, const char *words)
{
    struct tp_error err = {0};
    struct tp_corpus corpus;

    is_int(read_text(name, dir, 1 << 20, &corpus, &err), code, name);
    if (!ok(strstr(err.message, words), "which says '%s'", words))
        diag("%s", err.message);
    tp_corpus_close(&corpus);
}

static void test_parts(const char *dir)
{
    struct tp_error err = {0};
    struct tp_corpus corpus;

    write_text("lines", "one\ntwo\nthree\n", 14, 0);
    write_text("wide", "\xe4\xb8\x96\xe7\x95\x8c\xe4\xb8\x96", 9, 0);
    write_text("huge", "a line\n", 7, (off_t)1 << 30);
    is_int(read_text("lines", dir, 10, &corpus, &err), 0, "a part of a text");
    is_u64(corpus.bytes.len, 8, "whole lines");
    ok(!tp_corpus_is_whole(&corpus), "which is not all of it");
    is_int(tp_corpus_read(&corpus, 100, &err), 0, "the rest");
    ok(tp_corpus_is_whole(&corpus) && memcmp(corpus.bytes.data, "one\ntwo\nthree\n", 14) == 0,
       "is all of it");
    tp_corpus_close(&corpus);
    is_int(read_text("wide", dir, 5, &corpus, &err), 0, "a part of a line");
    is_u64(corpus.bytes.len, 3, "whole characters");
    tp_corpus_close(&corpus);
    is_int(read_text("huge", dir, 7, &corpus, &err), 0, "a part of 1 GB");
    is_u64(corpus.bytes.len, 7, "is read alone");
    is_int(tp_corpus_read(&corpus, 4096, &err), -EINVAL,
           "what is no text is found when it is read");
    tp_corpus_close(&corpus);
    unlink("lines");
    unlink("wide");
    unlink("huge");
}

static void test_texts(void)
{
    char dir[] = "/tmp/tp-evaluate-XXXXXX", path[64];
    struct tp_error err = {0};
    struct tp_corpus corpus;

    if (!mkdtemp(dir) || chdir(dir) < 0)
        return;
    write_text("good",
               "Gr\xc3\xbc\xc3\x9f"
               "e, \xe4\xb8\x96\xe7\x95\x8c\n",
               16, 0);
    write_text("empty", "", 0, 0);
    write_text("binary", "abc\0def", 7, 0);
    write_text("latin", "caf\xe9 au lait", 12, 0);
    write_text("cut", "ab\xe4\xb8", 4, 0);
    mkfifo("fifo", 0600);
    is_int(read_text("good", dir, 100, &corpus, &err), 0, "a text of the directory");
    is_u64(corpus.bytes.len, 16, "its bytes");
    tp_corpus_close(&corpus);
    snprintf(path, sizeof path, "%s/good", dir);
    is_int(tp_corpus_open(path, "/nowhere", &corpus, &err), 0, "an absolute path");
    tp_corpus_close(&corpus);
    is_int(tp_corpus_open("good", NULL, &corpus, &err), 0, "of the working directory");
    tp_corpus_close(&corpus);
    test_refused_text(dir, "empty", -EINVAL, "is empty");
    test_refused_text(dir, "binary", -EINVAL, "byte 3");
    test_refused_text(dir, "latin", -EINVAL, "byte 3");
    test_refused_text(dir, "cut", -EINVAL, "byte 2");
    test_refused_text(dir, "fifo", -EINVAL, "regular file");
    test_refused_text(dir, ".", -EINVAL, "regular file");
    test_refused_text(dir, "absent", -ENOENT, "absent");
    test_parts(dir);
    for (size_t i = 0; i < 6; i++)
        unlink((const char *[]){"good", "empty", "binary", "latin", "cut", "fifo"}[i]);
    if (chdir("/") < 0 || rmdir(dir) < 0)
        diag("'%s' is left behind", dir);
}

static void test_installed_texts(void)
{
    const char *top = getenv("top_srcdir");
    struct tp_corpus a, b;
    char dir[4096];

    if (!top)
        return;
    snprintf(dir, sizeof dir, "%s/share/tenpak/text", top);
    setenv("TENPAK_TEXT_DIR", dir, 1);
    is_int(read_text("evaluation", "/", 1 << 20, &a, NULL), 0, "the text for evaluation");
    is_int(read_text("calibration", "/", 1 << 20, &b, NULL), 0, "the text for calibration");
    ok(a.bytes.len > 450000 && b.bytes.len > 450000, "both are large enough");
    tp_corpus_close(&a);
    tp_corpus_close(&b);
}

int main(void)
{
    test_percentiles();
    test_means();
    test_conventions();
    test_windows();
    test_all_windows();
    test_scores();
    test_samples();
    test_texts();
    test_installed_texts();
    return tap_done();
}
