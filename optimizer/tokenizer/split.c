/* SPDX-License-Identifier: MIT */
/*
 * Dividing text into words: each step passes what it makes to the next one, and words are encoded
 * after the last. The first step works on a window, so that long texts need little memory.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "optimizer/tokenizer/tokenizer_impl.h"

#define WINDOW_MIN (64u << 10)  /* bytes */
#define SLICE ((size_t)1 << 20) /* bytes of a word that are encoded without a report */

/* A part of the text at a step. */
struct part {
    const char *text;
    size_t len;
    size_t begin; /* bytes of it that stand for the first character of the whole text */
    bool final;   /* otherwise it continues after LEN bytes */
};

/* What a pattern found and is not passed on yet. */
struct item {
    size_t start, end;
    bool match, any;
};

struct division {
    const struct tp_tokenizer *t;
    struct tp_encoder *e;
    struct tp_error *err;
};

static int64_t run_step(const struct division *d, unsigned i, const struct part *part);

/* Whether words are encoded after step I. */
static bool is_last(const struct tp_tokenizer *t, unsigned i)
{
    return i + 1 >= t->split_n ||
           (i + 2 == t->split_n && t->bpe.bytes && t->split[i + 1].kind == TP_SPLIT_BYTES);
}

static int64_t encode_slice(const struct division *d, const char *text, size_t len, bool final)
{
    struct tp_encoder *e = d->e;
    int64_t used =
        tp_bpe_encode(&d->t->bpe, e->work, text, len, e->continued, final, e->out, d->err);
    int rc;

    if (used < 0)
        return used;
    e->continued = !final && (used > 0 || e->continued);
    rc = tp_encoder_advance(e, (size_t)used, d->err);
    return rc < 0 ? rc : used;
}

/* A long word comes in slices, so that its progress is reported. */
static int64_t encode_word(const struct division *d, const char *text, size_t len, bool final)
{
    /* A word that may be a token as a whole comes as a whole. */
    size_t most = d->t->bpe.vocab.name_max > SLICE ? d->t->bpe.vocab.name_max : SLICE;
    size_t done = 0, slice = most;
    int64_t used;

    while (len - done > slice) {
        size_t n = slice;

        while (((uint8_t)text[done + n] & 0xc0) == 0x80 && n > slice - 3)
            n--;
        used = encode_slice(d, text + done, n, false);
        if (used < 0)
            return used;
        done += (size_t)used;
        slice = used > 0 ? most : 2 * slice;
    }
    used = encode_slice(d, text + done, len - done, final);
    return used < 0 ? used : (int64_t)done + used;
}

/* --- Patterns --- */

struct pattern_run {
    const struct division *d;
    const struct tp_split_step *step;
    const struct part *part;
    unsigned i;
    struct item pending;
    bool any; /* something was passed on */
};

static int pass_on(struct pattern_run *run, size_t start, size_t end)
{
    struct part part = {.text = run->part->text + start,
                        .len = end - start,
                        .begin = run->part->begin > start ? run->part->begin - start : 0,
                        .final = true};
    int64_t used = end > start ? run_step(run->d, run->i + 1, &part) : 0;

    return used < 0 ? (int)used : 0;
}

static int flush_pending(struct pattern_run *run)
{
    struct item item = run->pending;

    run->pending.any = false;
    return item.any ? pass_on(run, item.start, item.end) : 0;
}

/* A match, or what is between two; both can be empty. */
static int add_item(struct pattern_run *run, size_t start, size_t end, bool match)
{
    struct item *pending = &run->pending;
    bool joins = false;
    int rc;

    match ^= run->step->invert;
    switch (run->step->behavior) {
    case TP_SPLIT_REMOVED:
        return match ? 0 : pass_on(run, start, end);
    case TP_SPLIT_ISOLATED:
        return pass_on(run, start, end);
    case TP_SPLIT_CONTIGUOUS:
        joins = pending->any && pending->match == match;
        break;
    case TP_SPLIT_MERGED_WITH_PREVIOUS:
        joins = pending->any && match && !pending->match;
        break;
    case TP_SPLIT_MERGED_WITH_NEXT:
        joins = pending->any && !match && pending->match;
        break;
    }
    if (joins) {
        pending->end = end;
        pending->match = match;
        return 0;
    }
    rc = flush_pending(run);
    *pending = (struct item){.start = start, .end = end, .match = match, .any = true};
    return rc;
}

/*
 * The text ends within what may become a long word, because the literal that would end it is not
 * there: encode a part of it. DONE: the end of the last match. Returns how much of the text is done
 * with.
 */
static int64_t encode_beginning(struct pattern_run *run, size_t done)
{
    bool merged = run->pending.any && run->step->behavior == TP_SPLIT_MERGED_WITH_NEXT;
    size_t start = merged ? run->pending.start : done, end = run->part->len, hold;
    int64_t used;
    int rc = 0;

    tp_regex_literal(run->step->regex, &hold);
    /* The beginning of the literal can be at the end. */
    end = end > hold ? end - hold : 0;
    while (end > done && ((uint8_t)run->part->text[end] & 0xc0) == 0x80)
        end--;
    if (end <= done)
        return (int64_t)(run->pending.any ? run->pending.start : done);
    if (!merged)
        rc = flush_pending(run);
    if (rc < 0)
        return rc;
    used = encode_word(run->d, run->part->text + start, end - start, false);
    return used < 0 ? used : (int64_t)start + used;
}

static int64_t run_pattern(const struct division *d, unsigned i, const struct part *part)
{
    const struct tp_split_step *step = &d->t->split[i];
    struct pattern_run run = {.d = d, .step = step, .part = part, .i = i};
    struct tp_finder finder = {
        .regex = step->regex, .matcher = d->e->matcher, .text = part->text, .len = part->len};
    size_t done = 0, start, end, len;
    int rc = 0, found = TP_REGEX_FOUND;

    while (rc == 0 &&
           (found = tp_finder_next(&finder, part->final, &start, &end, d->err)) == TP_REGEX_FOUND) {
        if (start > done)
            rc = add_item(&run, done, start, false);
        if (rc == 0)
            rc = add_item(&run, start, end, true);
        done = end;
    }
    if (rc < 0 || found < 0)
        return rc < 0 ? rc : found;
    if (part->final) {
        if (done < part->len)
            rc = add_item(&run, done, part->len, false);
        if (rc == 0)
            rc = flush_pending(&run);
        return rc < 0 ? rc : (int64_t)part->len;
    }
    if (tp_regex_literal(step->regex, &len) && is_last(d->t, i) && !step->invert)
        return encode_beginning(&run, done);
    return (int64_t)(run.pending.any ? run.pending.start : done);
}

/* --- Steps that change the text --- */

static bool begins_with(const struct part *part, const char *text, size_t len)
{
    return part->len >= len && memcmp(part->text, text, len) == 0;
}

/* What comes before the text; START: the part begins here, and is not continued. */
static int put_before(const struct tp_split_step *step, const struct part *part, bool start,
                      struct tp_buffer *out)
{
    bool wanted = start && part->len && *part->text != ' ';

    if (step->kind == TP_SPLIT_SPACE)
        return wanted ? tp_buffer_append(out, " ", 1) : 0;
    wanted = wanted && step->kind == TP_SPLIT_META && step->prepend != TP_PREPEND_NEVER &&
             (step->prepend == TP_PREPEND_ALWAYS || part->begin > 0) &&
             !begins_with(part, step->meta.text, step->meta.len);
    return wanted ? tp_buffer_append(out, step->meta.text, step->meta.len) : 0;
}

static int replace_spaces(const struct tp_split_step *step, const char *text, size_t len,
                          struct tp_buffer *out)
{
    const char *p = text, *end = p + len;
    int rc = 0;

    while (rc == 0 && p < end) {
        const char *space = memchr(p, ' ', (size_t)(end - p));
        size_t n = (size_t)((space ? space : end) - p);

        rc = tp_buffer_append(out, p, n);
        if (rc == 0 && space)
            rc = tp_buffer_append(out, step->meta.text, step->meta.len);
        p += n + (space != NULL);
    }
    return rc;
}

static int put_changed(const struct division *d, const struct tp_split_step *step, const char *text,
                       size_t len, struct tp_buffer *out)
{
    if (step->kind == TP_SPLIT_META)
        return replace_spaces(step, text, len, out);
    if (step->kind == TP_SPLIT_BYTES && !d->t->bpe.bytes)
        return tp_append_alphabet(out, text, len);
    return tp_buffer_append(out, text, len);
}

/* Change the text of PART by a step, into the step's buffer. */
static int change(const struct division *d, unsigned i, struct part *part, bool start)
{
    const struct tp_split_step *step = &d->t->split[i];
    struct tp_buffer *out = &d->e->steps[i];
    size_t begin = part->begin < part->len ? part->begin : part->len;
    int rc = tp_buffer_reserve(out, part->len);

    out->len = 0;
    if (rc == 0)
        rc = put_before(step, part, start, out);
    if (rc == 0)
        rc = put_changed(d, step, part->text, begin, out);
    part->begin = begin ? out->len : 0;
    if (rc == 0)
        rc = put_changed(d, step, part->text + begin, part->len - begin, out);
    part->text = (const char *)out->data;
    part->len = out->len;
    return rc < 0 ? tp_oom(d->err) : 0;
}

/* Returns how much of the text is done with: all where it is final. */
static int64_t run_step(const struct division *d, unsigned i, const struct part *part)
{
    struct part changed = *part;
    int64_t rc;

    if (i == d->t->split_n || (d->t->bpe.bytes && d->t->split[i].kind == TP_SPLIT_BYTES))
        return encode_word(d, part->text, part->len, part->final);
    if (d->t->split[i].kind == TP_SPLIT_PATTERN)
        return run_pattern(d, i, part);
    rc = change(d, i, &changed, true);
    if (rc < 0)
        return rc;
    rc = run_step(d, i + 1, &changed);
    return rc < 0 ? rc : (int64_t)part->len;
}

/* --- Windows --- */

void tp_split_prepare(struct tp_tokenizer *t)
{
    const struct tp_split_step *step;
    size_t len;

    while (t->split_first < t->split_n && t->split[t->split_first].kind != TP_SPLIT_PATTERN &&
           !(t->bpe.bytes && t->split[t->split_first].kind == TP_SPLIT_BYTES))
        t->split_first++;
    step = &t->split[t->split_first];
    t->windowed = t->split_first == t->split_n || step->kind == TP_SPLIT_BYTES ||
                  (!tp_regex_looks_back(step->regex) &&
                   (step->behavior == TP_SPLIT_REMOVED || step->behavior == TP_SPLIT_ISOLATED ||
                    tp_regex_literal(step->regex, &len)));
}

/* Append text to the window, after the steps that only change it. */
static int fill_window(const struct division *d, struct part part)
{
    struct tp_encoder *e = d->e;
    int rc = 0;

    part.begin = e->started ? 0 : e->begin;
    for (unsigned i = 0; i < d->t->split_first && rc == 0; i++)
        rc = change(d, i, &part, !e->started);
    if (!e->started)
        e->begin = part.begin;
    if (rc == 0 && tp_buffer_append(&e->window, part.text, part.len) < 0)
        rc = tp_oom(d->err);
    e->started |= part.len > 0;
    return rc;
}

int tp_split_push(const struct tp_tokenizer *t, struct tp_encoder *e, const char *text, size_t len,
                  bool last, struct tp_error *err)
{
    struct division d = {.t = t, .e = e, .err = err};
    struct part part = {.text = text, .len = len, .begin = e->begin, .final = last};
    int64_t used = 0;
    int rc = 0;

    if (last && !e->started && t->split_first == 0) {
        used = len ? run_step(&d, 0, &part) : 0;
    } else {
        rc = fill_window(&d, part);
        part.text = (const char *)e->window.data;
        part.len = e->window.len;
        part.begin = e->begin;
        if (rc == 0 && (last || (t->windowed && part.len >= WINDOW_MIN && part.len >= e->wanted)))
            used = part.len ? run_step(&d, t->split_first, &part) : 0;
    }
    if (rc < 0 || used < 0)
        return rc < 0 ? rc : (int)used;
    if (last) {
        e->window.len = e->wanted = 0;
        e->started = e->continued = false;
        e->begin = 0;
    } else if (used > 0) {
        e->begin -= e->begin < (size_t)used ? e->begin : (size_t)used;
        e->window.len -= (size_t)used;
        memmove(e->window.data, e->window.data + used, e->window.len);
        e->wanted = 2 * e->window.len;
    } else if (part.len >= WINDOW_MIN && part.len >= e->wanted) {
        e->wanted = 2 * part.len;
    }
    return 0;
}
