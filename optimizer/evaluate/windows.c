/* SPDX-License-Identifier: MIT */
/* How the tokens of a text are divided into windows, and which of them are scored. */
#include <config.h>

#include "optimizer/evaluate/windows.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

const char *const tp_convention_names[] = {[TP_CONVENTION_HF_WINDOW] = "hf-window",
                                           [TP_CONVENTION_HF_STRIDE] = "hf-stride",
                                           [TP_CONVENTION_LLAMA_CPP] = "llama.cpp",
                                           NULL};

enum tp_convention tp_convention_choose(const char *name, uint32_t context, uint32_t *stride)
{
    enum tp_convention convention = TP_CONVENTION_HF_WINDOW;

    while (name && tp_convention_names[convention + 1] &&
           strcmp(name, tp_convention_names[convention]) != 0)
        convention++;
    if (!name && *stride > 0 && *stride < context)
        convention = TP_CONVENTION_HF_STRIDE;
    if (*stride == 0)
        *stride = convention == TP_CONVENTION_HF_STRIDE ? (context + 1) / 2 : context;
    return convention;
}

const char *tp_convention_about(enum tp_convention convention)
{
    static const char *const about[] = {
        [TP_CONVENTION_HF_WINDOW] = "non-overlapping windows, all tokens but the first of each are "
                                    "scored, a shorter last window is dropped",
        [TP_CONVENTION_HF_STRIDE] = "overlapping windows, each token is scored once, in the first "
                                    "window that has it",
        [TP_CONVENTION_LLAMA_CPP] = "non-overlapping windows, the second half of each is scored, a "
                                    "shorter last window is dropped",
    };

    return about[convention];
}

static uint64_t count_all(const struct tp_windows *w)
{
    uint64_t beyond = w->tokens - w->context;

    if (w->convention != TP_CONVENTION_HF_STRIDE)
        return w->tokens / w->context;
    return 1 + beyond / w->stride + (beyond % w->stride != 0);
}

struct tp_window_place tp_windows_place(const struct tp_windows *w, uint64_t i)
{
    struct tp_window_place place = {.begin = i * w->stride, .len = w->context, .first = 1};
    uint64_t left = w->tokens - place.begin;

    if (w->convention == TP_CONVENTION_LLAMA_CPP) {
        place.first = w->context / 2 + 1;
    } else if (i > 0 && w->convention == TP_CONVENTION_HF_STRIDE) {
        place.first = w->context - w->stride;
        if (left < w->context)
            place.len = (uint32_t)left;
        /* Of windows without an overlap no token predicts the first. */
        if (place.first == 0)
            place.first = 1;
    }
    return place;
}

uint64_t tp_windows_span(uint64_t samples, uint32_t context, uint32_t stride)
{
    if (samples == 0)
        return 0;
    if (samples - 1 > (UINT64_MAX - context) / stride)
        return UINT64_MAX;
    return (samples - 1) * stride + context;
}

int tp_windows_plan(enum tp_convention convention, uint64_t tokens, uint32_t context,
                    uint32_t stride, uint64_t samples, struct tp_windows *out, struct tp_error *err)
{
    *out = (struct tp_windows){
        .convention = convention, .tokens = tokens, .context = context, .stride = stride};
    if (context < 2 || (convention == TP_CONVENTION_LLAMA_CPP && context < 4))
        return tp_fail(err, EINVAL, "a context of %" PRIu32 " tokens has no token to score",
                       context);
    if (stride == 0 || stride > context)
        return tp_fail(err, EINVAL,
                       "'stride' must be from 1 to the context, %" PRIu32 ", not %" PRIu32, context,
                       stride);
    if (stride != context && convention != TP_CONVENTION_HF_STRIDE)
        return tp_fail(err, EINVAL,
                       "windows of the convention '%s' do not overlap: leave out "
                       "'stride'",
                       tp_convention_names[convention]);
    if (tokens < context)
        return tp_fail(err, EINVAL,
                       "the text has %" PRIu64 " tokens, fewer than the context of %" PRIu32,
                       tokens, context);
    out->n = count_all(out);
    if (samples > 0 && samples < out->n)
        out->n = samples;
    for (uint64_t i = 0; i < out->n; i++) {
        struct tp_window_place place = tp_windows_place(out, i);

        out->scored += place.len - place.first;
        if (i + 1 == out->n)
            out->dropped = tokens - place.begin - place.len;
    }
    return 0;
}
