/* SPDX-License-Identifier: MIT */
/*
 * usage: selection_run SEED COUNT
 *
 * Writes COUNT reports of choices among random candidates, for random limits and hardware, one on a
 * line. tests/optimizer/choice_brute_test.py computes the choices again.
 */
#include <config.h>

#include <math.h>

#include "optimizer/search/report.h"
#include "tests/tap.h"

enum { MOST = 12 };

static const char *const names[MOST] = {"c0", "c1", "c2", "c3", "c4",  "c5",
                                        "c6", "c7", "c8", "c9", "c10", "c11"};

static double between(uint64_t *seed, double low, double high)
{
    return low + (high - low) * (double)(tap_random(seed) >> 11) * 0x1p-53;
}

static bool one_in(uint64_t *seed, unsigned n)
{
    return tap_random(seed) % n == 0;
}

/* Some candidates are the same but for their names. */
static void make_candidate(struct tp_figures *f, struct tp_steps *steps, unsigned batches,
                           uint64_t *seed)
{
    double bytes = between(seed, 1e7, 1e9), noise = between(seed, 0.9, 1.1);

    f->state = one_in(seed, 8) ? TP_CANDIDATE_PENDING : TP_CANDIDATE_COMPLETE;
    tp_figures_set_pack(f, (uint64_t)bytes, 1000000000);
    f->memory_bytes = (uint64_t)(bytes * between(seed, 1.1, 40));
    f->scored_tokens = 1000;
    f->ppl_delta = between(seed, -1, 10);
    f->ppl = 20 * (1 + f->ppl_delta / 100);
    f->ppl_error = f->ppl_delta_error = between(seed, 0, 1);
    f->kl = f->kl_p99 = between(seed, 0, 1);
    f->same_top = between(seed, 0, 1);
    f->quantize_seconds = 1;
    *steps = (struct tp_steps){.n = batches};
    for (unsigned i = 0; i < batches; i++) {
        struct tp_step_row *row = &steps->rows[i];

        row->batch = 1u << i;
        row->token.bytes = bytes;
        row->token.operations = 2e9 * row->batch;
        row->token.seconds = noise * (bytes / 1e10 + 2e9 * row->batch / 1e11 + 1e-3);
        row->prompt = row->token;
        row->prompt.operations *= 64;
        row->prompt.seconds = noise * (bytes / 1e10 + 128e9 * row->batch / 1e11);
        f->latency_ms = f->latency_p95_ms = 1000 * row->token.seconds;
        f->latency_p99_ms = f->latency_ms * between(seed, 1, 1.2);
        f->first_token_ms = 1000 * row->prompt.seconds;
        f->throughput_tps = row->batch / row->token.seconds;
    }
}

/* A limit near the figure of a random candidate, sometimes the figure itself. */
static void make_limits(struct tp_limits *limits, const struct tp_figures *table, size_t n,
                        uint64_t *seed)
{
    tp_limits_init(limits);
    for (int i = 0; i < TP_LIMIT_COUNT && n > 0; i++) {
        double value = tp_limit_figure((enum tp_limit)i, &table[tap_random(seed) % n]);

        if (!one_in(seed, 3) || isnan(value))
            continue;
        value *= one_in(seed, 3) ? 1 : between(seed, 0.7, 1.3);
        limits->value[i] = i < TP_LIMIT_MEMORY ? value : floor(value);
    }
    if (limits->value[TP_LIMIT_PPL_DELTA] < 0)
        limits->value[TP_LIMIT_PPL_DELTA] = 0;
}

static void drop_some(struct tp_figures *table, size_t n, const struct tp_limits *limits,
                      uint64_t *seed)
{
    for (size_t i = 0; i < n; i++)
        if (one_in(seed, 2) && tp_limits_missed_surely(limits, &table[i], table[i].why))
            table[i].state = TP_CANDIDATE_DROPPED;
}

static void put_report(struct tp_json_writer *json, uint64_t *seed)
{
    struct tp_figures measured[MOST], table[MOST];
    struct tp_steps steps[MOST];
    struct tp_roofline roofline = {.rates = {2e10, 2e11}};
    struct tp_hardware hw;
    struct tp_limits limits;
    struct tp_choice choice;
    struct tp_selection s = {tap_random(seed) % (MOST + 1),
                             table,
                             NULL,
                             steps,
                             NULL,
                             NULL,
                             &limits,
                             &hw,
                             &roofline,
                             &choice};
    unsigned batches = 1 + (unsigned)(tap_random(seed) % 3);
    const struct tp_hardware *any = &tp_hardware_known[tap_random(seed) % 6];

    if (tp_hardware_find(NULL, 0, any->name, &hw, NULL) < 0)
        bail_out("no '%s'", any->name);
    for (size_t i = 0; i < s.n; i++) {
        tp_figures_init(&measured[i], names[i]);
        make_candidate(&measured[i], &steps[i], batches, seed);
        if (i > 0 && one_in(seed, 6)) {
            measured[i] = measured[i - 1];
            measured[i].name = names[i];
            steps[i] = steps[i - 1];
        }
    }
    if (tp_roofline_fit(&roofline, steps, s.n, NULL) < 0)
        bail_out("no fit");
    for (size_t i = 0; i < s.n; i++) {
        table[i] = measured[i];
        tp_figures_apply_hardware(&table[i], &hw, &roofline, &steps[i]);
        tp_figures_round(&measured[i]);
    }
    if (!tp_hardware_is_local(&hw))
        s.measured = measured;
    make_limits(&limits, table, s.n, seed);
    drop_some(table, s.n, &limits, seed);
    tp_choice_make(table, s.n, &limits, hw.dollars_per_hour > 0, &choice);
    tp_choice_explain(table, s.n, &limits, hw.dollars_per_hour > 0, &choice);
    tp_json_begin_object(json, NULL);
    tp_selection_put(json, &s);
    tp_json_end_object(json);
}

int main(int argc, char **argv)
{
    uint64_t seed = argc == 3 ? strtoull(argv[1], NULL, 0) : 0;
    unsigned long count = argc == 3 ? strtoul(argv[2], NULL, 0) : 0;

    if (argc != 3)
        return 2;
    for (unsigned long i = 0; i < count; i++) {
        struct tp_buffer text = {0};
        struct tp_json_writer json;

        tp_json_writer_init(&json, &text, false);
        put_report(&json, &seed);
        if (tp_json_writer_finish(&json) < 0)
            return 1;
        printf("%s\n", (char *)text.data);
        tp_buffer_clear(&text);
    }
    return 0;
}
