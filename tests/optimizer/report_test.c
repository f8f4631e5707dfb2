/* SPDX-License-Identifier: MIT */
/* The report of a search: its members, and records that are read back, damaged ones too. */
#include <config.h>

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/cleanup.h"
#include "optimizer/search/report.h"
#include "tests/tap.h"

enum { N = 3 };

static const char *const names[N] = {"fp16", "int4", "nf4"};

static void make(struct tp_figures *f, struct tp_steps *steps, unsigned i)
{
    struct tp_scores s = {.divergence_p99 = 0.5};

    tp_figures_init(f, names[i]);
    for (int token = 0; token < 100; token++) {
        tp_mean_add(&s.log_likelihood, -2 - 0.01 * (token % 7) - 0.02 * i);
        tp_mean_add(&s.difference, -0.02 * i - 0.001 * (token % 3));
        tp_mean_add(&s.divergence, 0.01 * i);
        tp_mean_add(&s.same_top, token % 10 != 0);
    }
    tp_figures_set_scores(f, &s);
    tp_figures_set_pack(f, 1000000 >> i, 300000);
    f->memory_bytes = 3000000;
    f->quantize_seconds = i;
    f->state = TP_CANDIDATE_COMPLETE;
    *steps = (struct tp_steps){.n = 2};
    for (unsigned r = 0; r < 2; r++)
        steps->rows[r] = (struct tp_step_row){.batch = r + 1,
                                              .prompt = {1e6 / (i + 1), 1e9, 0.1},
                                              .token = {1e6 / (i + 1), 1e7 * (r + 1), 0.01}};
    f->timed_tokens = 31;
    f->latency_ms = f->latency_p95_ms = f->latency_p99_ms = 10.0 / (i + 1);
    f->first_token_ms = 100;
    f->throughput_tps = 200.0 * (i + 1) / 3;
    tp_figures_round(f);
}

static void test_scores(void)
{
    struct tp_scores s = {.divergence_p99 = 0.5};
    struct tp_figures f;

    tp_figures_init(&f, "x");
    for (int i = 0; i < 4; i++) {
        tp_mean_add(&s.log_likelihood, -3);
        tp_mean_add(&s.difference, i % 2 ? -0.05 : -0.01);
    }
    tp_figures_set_scores(&f, &s);
    ok(f.ppl == 20.0855 && f.ppl_error == 0, "the perplexity");
    ok(f.ppl_delta == 3.04545, "its change, in percent");
    ok(fabs(f.ppl_delta_error - 100 * exp(0.03) * sqrt(0.0016 / 3 / 4)) < 1e-5,
       "the error of that, of the paired differences");
    is_u64(f.scored_tokens, 4, "the tokens");
    tp_figures_set_pack(&f, 1000, 3000);
    ok(f.compression == 6, "fp16 bytes by bytes of the pack");
    ok(fabs(tp_cost_per_1m_tokens(3.6, 1000) - 1) < 1e-12, "3.60 dollars an hour at 1000 tokens/s");
    ok(isnan(tp_cost_per_1m_tokens(0, 1)) && isnan(tp_cost_per_1m_tokens(1, 0)) &&
           isnan(tp_cost_per_1m_tokens(1, NAN)),
       "no price or no tokens: no cost");
}

/* --- Records --- */

static char *print_record(const struct tp_figures *f, const struct tp_steps *steps,
                          struct tp_buffer *text)
{
    struct tp_json_writer json;

    text->len = 0;
    tp_json_writer_init(&json, text, false);
    tp_record_put(&json, NULL, f, steps);
    if (tp_json_writer_finish(&json) < 0)
        bail_out("no record");
    return (char *)text->data;
}

static int read_record(const void *text, size_t len, struct tp_figures *f, struct tp_steps *steps,
                       struct tp_error *err)
{
    tp_autojson struct tp_json *root = NULL;
    int rc = tp_json_parse(text, len, &root, err);

    return rc < 0 ? rc : tp_record_get(root, "int4", f, steps, err);
}

static void test_record(void)
{
    tp_auto(tp_buffer_clear) struct tp_buffer text = {0}, again = {0};
    struct tp_figures f, g;
    struct tp_steps s, t;
    struct tp_error err = {0};

    make(&f, &s, 1);
    f.cost_per_1m_tokens = 5;
    print_record(&f, &s, &text);
    is_int(read_record(text.data, text.len, &g, &t, &err), 0, "a record is read");
    ok(isnan(g.cost_per_1m_tokens), "without the cost, which the hardware decides");
    ok(g.ppl == f.ppl && g.ppl_delta == f.ppl_delta && g.throughput_tps == f.throughput_tps &&
           g.pack_bytes == f.pack_bytes && g.state == TP_CANDIDATE_COMPLETE,
       "with the same numbers");
    print_record(&g, &t, &again);
    ok(text.len == again.len && !memcmp(text.data, again.data, text.len),
       "a record that was read is written the same");
    tp_figures_init(&f, "int4");
    s.n = 0;
    print_record(&f, &s, &text);
    is_int(read_record(text.data, text.len, &g, &t, &err), 0, "one of which nothing is known");
    ok(isnan(g.ppl) && g.pack_bytes == 0 && t.n == 0, "gives nothing");
}

/* Replace FROM, which is there once, by TO in the record of a complete candidate. */
static void is_refused(const char *from, const char *to, const char *message)
{
    tp_auto(tp_buffer_clear) struct tp_buffer text = {0};
    struct tp_figures f;
    struct tp_steps s;
    struct tp_error err = {0};
    char changed[4096], *at;

    make(&f, &s, 1);
    at = strstr(print_record(&f, &s, &text), from);
    if (!at)
        bail_out("no '%s' in the record", from);
    snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - (char *)text.data), text.data, to,
             at + strlen(from));
    is_int(read_record(changed, strlen(changed), &f, &s, &err), -EBADMSG, message);
    is_str(err.message, message, "as the message says");
}

static void test_refused(void)
{
    is_refused("\"int4\"", "\"nf4\"", "not the figures of 'int4'");
    is_refused("\"int4\"", "1", "not the figures of 'int4'");
    is_refused("\"complete\"", "\"done\"", "'status' is not one of the known ones");
    is_refused("\"complete\"", "null", "'status' is not one of the known ones");
    is_refused("\"pack_bytes\": 500000", "\"pack_bytes\": -1",
               "'pack_bytes' is not a whole number");
    is_refused("\"pack_bytes\": 500000", "\"pack_bytes\": 1e300",
               "'pack_bytes' is not a whole number");
    is_refused("\"pack_bytes\": 500000", "\"pack_bytes\": null",
               "a complete candidate without its sizes");
    is_refused("\"compression\": 1.2", "\"compression\": -1.2", "'compression' is out of range");
    is_refused("\"compression\": 1.2", "\"compression\": []", "'compression' is not a number");
    is_refused("\"top1_agreement\": 0.9", "\"top1_agreement\": 1.5",
               "'top1_agreement' is out of range");
    is_refused("\"latency_p99_ms\": 5", "\"latency_p99_ms\": null",
               "the record of 'int4' has steps and no speed");
    is_refused("\"perplexity\": 7", "\"perplexity\": null, \"x\": 7",
               "a complete candidate without 'perplexity'");
    is_refused("\"estimated\": false", "\"estimated\": 0", "'estimated' is not true or false");
    is_refused("\"estimated\": false", "\"estimated\": true", "the record of 'int4' has estimates");
    is_refused("\"steps\"", "\"step\"", "the steps are not a list of at most 8");
    is_refused("\"batch\": 2", "\"batch\": 0",
               "a step has a number that is not there or out of range");
    is_refused("\"operations\": 1e+07,", "",
               "a step has a number that is not there or out of range");
}

/* Records with changed bytes are refused or read; what is read is in range. */
static void test_damaged(void)
{
    tp_auto(tp_buffer_clear) struct tp_buffer text = {0};
    static const char bytes[] = "0123456789eE+-.,:{}[]\"ntf";
    uint64_t seed = tap_seed();
    unsigned bad = 0, read = 0;
    struct tp_figures f;
    struct tp_steps s;

    for (int round = 0; round < 20000; round++) {
        make(&f, &s, 1);
        print_record(&f, &s, &text);
        for (uint64_t k = tap_random(&seed) % 3; k < 3; k++)
            text.data[tap_random(&seed) % text.len] =
                (uint8_t)bytes[tap_random(&seed) % (sizeof bytes - 1)];
        if (read_record(text.data, text.len, &f, &s, NULL) < 0)
            continue;
        read++;
        bad += f.throughput_tps < 0 || isinf(f.throughput_tps) || s.n > TP_TIMING_ROWS_MAX;
    }
    is_u64(bad, 0, "what is read is in range");
    ok(read > 200, "%u of 20000 damaged records can be read", read);
}

/* --- The report --- */

static struct tp_json *print_selection(const struct tp_selection *s, struct tp_buffer *text)
{
    struct tp_json_writer json;
    struct tp_json *root = NULL;

    text->len = 0;
    tp_json_writer_init(&json, text, false);
    tp_json_begin_object(&json, NULL);
    tp_selection_put(&json, s);
    tp_json_end_object(&json);
    if (tp_json_writer_finish(&json) < 0 || tp_json_parse(text->data, text->len, &root, NULL) < 0)
        bail_out("no report");
    return root;
}

static double number(const struct tp_json *object, const char *key)
{
    double v = NAN;

    tp_json_double(tp_json_get(object, key), &v);
    return v;
}

static void test_selection(void)
{
    tp_auto(tp_buffer_clear) struct tp_buffer text = {0};
    struct tp_figures table[N], measured[N];
    struct tp_steps steps[N];
    struct tp_roofline roofline = {.rates = {1e10, 1e11}};
    struct tp_hardware hw;
    struct tp_limits limits;
    struct tp_choice choice;
    struct tp_selection s = {.n = N,
                             .table = table,
                             .measured = measured,
                             .steps = steps,
                             .limits = &limits,
                             .hardware = &hw,
                             .roofline = &roofline,
                             .choice = &choice};
    const struct tp_json *v;

    if (tp_hardware_find(NULL, 0, "t4", &hw, NULL) < 0)
        bail_out("no t4");
    for (unsigned i = 0; i < N; i++)
        make(&measured[i], &steps[i], i);
    tp_roofline_fit(&roofline, steps, N, NULL);
    for (unsigned i = 0; i < N; i++) {
        table[i] = measured[i];
        tp_figures_apply_hardware(&table[i], &hw, &roofline, &steps[i]);
    }
    tp_limits_init(&limits);
    limits.value[TP_LIMIT_PPL_DELTA] = 3;
    tp_choice_make(table, N, &limits, true, &choice);
    tp_choice_explain(table, N, &limits, true, &choice);
    {
        tp_autojson struct tp_json *root = print_selection(&s, &text);

        v = tp_json_get(root, "winner");
        is_str(tp_json_string(tp_json_get(v, "codec")), "int4", "the winner");
        ok(number(v, "cost_per_1m_tokens") == table[1].cost_per_1m_tokens, "its cost");
        ok(number(root, "candidates_evaluated") == N && number(root, "candidates_total") == N,
           "how many there are");
        ok(tp_json_is_null(tp_json_get(root, "binding")), "no limit binds");
        v = tp_json_get(root, "hardware");
        is_str(tp_json_string(tp_json_get(v, "figures")), "estimated", "what the figures are");
        v = tp_json_first(tp_json_get(root, "all_candidates"));
        ok(number(v, "latency_ms") == table[0].latency_ms &&
               number(tp_json_get(v, "measured"), "latency_ms") == 10,
           "estimates, and beside them what was measured");
        is_str(tp_json_string(tp_json_get(v, "why")), table[0].why, "why it lost");
        ok(number(tp_json_get(tp_json_get(root, "roofline"), "token"), "mean_error") >= 0,
           "the error of the model");
        ok(tp_json_count(tp_json_get(root, "pareto_front")) > 0, "the front");
        ok(number(tp_json_get(root, "limits"), "max_ppl_delta") == 3, "the limits");
    }
    limits.value[TP_LIMIT_COMPRESSION] = 4;
    limits.value[TP_LIMIT_PPL_DELTA] = NAN;
    tp_choice_make(table, N, &limits, true, &choice);
    s.roofline = NULL;
    {
        tp_autojson struct tp_json *root = print_selection(&s, &text);

        ok(tp_json_is_null(tp_json_get(root, "winner")), "no winner");
        v = tp_json_get(root, "binding");
        is_str(tp_json_string(tp_json_get(v, "limit")), "min_compression", "the binding limit");
        is_str(tp_json_string(tp_json_get(v, "nearest")), "nf4", "the nearest candidate");
        ok(number(v, "value") == 4 && number(v, "figure_value") == 2.4, "its figure");
        ok(number(v, "distance") == 0.666667, "its distance");
        ok(tp_json_is_null(tp_json_get(root, "roofline")), "no model of the time");
    }
}

int main(void)
{
    test_scores();
    test_record();
    test_refused();
    test_damaged();
    test_selection();
    return tap_done();
}
