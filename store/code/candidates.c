/* SPDX-License-Identifier: MIT */
/* Choosing the codecs that may code a tensor, and those whose training promises enough. */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "store/code/code.h"

int tp_code_options_set(struct tp_code_options *out, const char *codec, int level, bool has_base,
                        struct tp_error *err)
{
    const struct tp_codec *general = tp_codec_general();
    bool all = !codec || strcmp(codec, "auto") == 0;
    bool raw = !all && strcmp(codec, tp_codec_name(TP_CODEC_RAW)) == 0;
    const struct tp_codec *only = all || raw ? NULL : tp_codec_find(codec);

    *out = (struct tp_code_options){.level = level ? level : TP_LEVEL_DEFAULT};
    if (!all && !raw && !only)
        return tp_fail(err, EINVAL, "there is no codec '%s'", codec);
    if (only && only->needs_base && !has_base)
        return tp_fail(err, EINVAL, "the codec '%s' needs a base", codec);
    if (out->level < 1 || out->level > general->level_max)
        return tp_fail(err, ERANGE, "%s has no level %d", general->name, out->level);
    for (unsigned id = 0; id < TP_CODEC_COUNT; id++)
        out->allowed[id] = all || (only && only->id == id);
    out->allowed[general->id] |= !raw;
    return 0;
}

void tp_candidate_clear(struct tp_candidate *candidate)
{
    if (candidate->tables)
        candidate->codec->tables_destroy(candidate->tables);
    tp_buffer_clear(&candidate->blob);
    *candidate = (struct tp_candidate){0};
}

void tp_trained_clear(struct tp_trained *trained)
{
    for (unsigned i = 0; i < trained->n; i++)
        tp_candidate_clear(&trained->candidates[i]);
    trained->n = 0;
}

/*
 * A codec whose promise is far from the best is dropped. A codec that was trained only on the
 * samples that suit it is kept: most tensors have some chunks that suit it.
 */
double tp_candidates_choose(const struct tp_code_source *source, struct tp_promise *promises,
                            struct tp_trained *out)
{
    double elements = (double)source->len * 8 / tp_dtype_bits(source->dtype);
    double best = (double)source->len, cost[TP_CODEC_COUNT];

    for (unsigned id = 0; id < TP_CODEC_COUNT; id++) {
        const struct tp_promise *p = &promises[id];

        cost[id] = p->bits * elements / 8 + (double)p->candidate.blob.len;
        if (p->candidate.codec && !p->partial && cost[id] < best)
            best = cost[id];
    }
    for (unsigned id = 0; id < TP_CODEC_COUNT; id++) {
        struct tp_candidate *c = &promises[id].candidate;
        bool loose = tp_code_chunk_n(source) == 1 || (c->codec && c->codec->worth);

        if (c->codec && cost[id] <= (loose ? 1.5 * best + 256 : 1.02 * best))
            out->candidates[out->n++] = *c;
        else
            tp_candidate_clear(c);
    }
    return best;
}
