/* SPDX-License-Identifier: MIT */
/*
 * How the tokens of a text are divided into windows, and which of them are scored: the conventions
 * of perplexity.
 *
 *   hf-window   windows of CONTEXT tokens that follow each other; every token but the first of a
 *               window is scored; a rest that fills no window is dropped (GPTQ, AWQ and most
 *               tables)
 *   hf-stride   windows of CONTEXT tokens that begin every STRIDE tokens; each token but the first
 *               of the text is scored once, with as many tokens before it as its first window has;
 *               the last window may be shorter (the documentation of transformers)
 *   llama.cpp   windows of CONTEXT tokens that follow each other; the second half of each is scored
 *               (llama-perplexity)
 */
#ifndef TP_OPTIMIZER_EVALUATE_WINDOWS_H
#define TP_OPTIMIZER_EVALUATE_WINDOWS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum tp_convention { TP_CONVENTION_HF_WINDOW, TP_CONVENTION_HF_STRIDE, TP_CONVENTION_LLAMA_CPP };
/* The names, by enum tp_convention, as requests and reports have them; ends with NULL. */
extern const char *const tp_convention_names[];
/*
 * The convention NAME, which is one of them, or NULL: by the stride. *STRIDE 0 becomes the default:
 * CONTEXT, with hf-stride half of it.
 */
enum tp_convention tp_convention_choose(const char *name, uint32_t context, uint32_t *stride);
/* One line that says which tokens are scored. */
const char *tp_convention_about(enum tp_convention convention);

struct tp_windows {
    enum tp_convention convention;
    uint32_t context, stride;
    uint64_t tokens;  /* of the text */
    uint64_t n;       /* windows that are evaluated */
    uint64_t scored;  /* tokens that are scored */
    uint64_t dropped; /* tokens that are in no window */
};

/* Tokens BEGIN to BEGIN + LEN - 1; scored are those from FIRST on, counted in the window. */
struct tp_window_place {
    uint64_t begin;
    uint32_t len, first;
};

/*
 * CONTEXT is at least 2, STRIDE 1 to CONTEXT; hf-window and llama.cpp want STRIDE equal to CONTEXT.
 * At most SAMPLES windows, the first ones; 0: all. -EINVAL: these do not fit, or the text has fewer
 * than CONTEXT tokens.
 */
int tp_windows_plan(enum tp_convention convention, uint64_t tokens, uint32_t context,
                    uint32_t stride, uint64_t samples, struct tp_windows *out,
                    struct tp_error *err);
/* The tokens that SAMPLES windows span; UINT64_MAX: more than 64 bits can say. */
uint64_t tp_windows_span(uint64_t samples, uint32_t context, uint32_t stride);
/* Window I, which is less than N. */
struct tp_window_place tp_windows_place(const struct tp_windows *windows, uint64_t i);

#endif
