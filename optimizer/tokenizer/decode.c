/* SPDX-License-Identifier: MIT */
/*
 * Ids to text, one id at a time. Each step of the decoder gets tokens and passes tokens on; after a
 * step that fuses them there is one token, which comes in pieces. A step that cannot work on pieces
 * keeps them until the end.
 */
#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "optimizer/tokenizer/tokenizer_impl.h"

#define REPLACEMENT "\xef\xbf\xbd"
#define TOKEN_MAX ((size_t)1 << 20) /* bytes that a step makes of a token, at most */

/* A step at work. */
struct decoding {
    struct tp_buffer held; /* what is not passed on yet */
    struct tp_buffer text; /* what is passed on */
    bool fused;            /* it gets one token, in pieces */
    bool waits;            /* it needs this token as a whole */
    bool any;              /* it has had a token, or a piece */
    size_t stripped;
};

struct tp_detokenizer {
    const struct tp_tokenizer *t;
    struct tp_encoder *encoder; /* for its matcher */
    bool skip_special;
    bool any; /* a token was decoded */
    struct tp_buffer *out;
    struct tp_error *err;
    struct decoding steps[TP_STEPS_MAX];
};

static int push(struct tp_detokenizer *d, unsigned i, const char *text, size_t len);

static int pass_on(struct tp_detokenizer *d, unsigned i, const void *text, size_t len)
{
    return push(d, i + 1, len ? text : "", len);
}

static int hold(struct tp_detokenizer *d, struct decoding *s, const void *text, size_t len)
{
    return tp_buffer_append(&s->held, text, len) < 0 ? tp_oom(d->err) : 0;
}

/* Append the bytes of a token in GPT-2's alphabet; a token of other characters stays. */
static int append_bytes(const char *text, size_t len, struct tp_buffer *out)
{
    size_t before = out->len;
    const char *p = text, *end = text + len;
    int rc = tp_buffer_reserve(out, len);

    while (p < end && rc == 0) {
        unsigned n;
        int byte = tp_char_to_byte(tp_char_get(p, &n));

        if (byte < 0) {
            out->len = before;
            return tp_buffer_append(out, text, len);
        }
        rc = tp_buffer_append_u8(out, (uint8_t)byte);
        p += n;
    }
    return rc;
}

/* Pass on what is complete of the held bytes; FINAL: all. */
static int pass_valid(struct tp_detokenizer *d, unsigned i, bool final)
{
    struct decoding *s = &d->steps[i];
    int64_t used;

    s->text.len = 0;
    used = tp_text_make_valid(s->held.data, s->held.len, final, &s->text);
    if (used < 0)
        return tp_oom(d->err);
    s->held.len -= (size_t)used;
    if (s->held.len)
        memmove(s->held.data, s->held.data + used, s->held.len);
    return s->text.len ? pass_on(d, i, s->text.data, s->text.len) : 0;
}

/* The byte that a token "<0x..>" is, or -1. */
static int fallback_byte(const char *text, size_t len)
{
    char digits[3];

    if (len != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>' ||
        !isxdigit((unsigned char)text[3]) || !isxdigit((unsigned char)text[4]))
        return -1;
    memcpy(digits, text + 3, 2);
    digits[2] = 0;
    return (int)strtoul(digits, NULL, 16);
}

/* The end of a run of bytes: its text if it is valid as a whole, otherwise U+FFFD for each byte. */
static int pass_run(struct tp_detokenizer *d, unsigned i)
{
    struct decoding *s = &d->steps[i];
    size_t n = s->held.len;
    int rc = 0;

    s->held.len = 0;
    if (n && tp_text_is_valid(s->held.data, n))
        return pass_on(d, i, s->held.data, n);
    for (size_t k = 0; k < n && rc == 0; k++)
        rc = pass_on(d, i, REPLACEMENT, strlen(REPLACEMENT));
    return rc;
}

static int push_fallback(struct tp_detokenizer *d, unsigned i, const char *text, size_t len)
{
    int byte = fallback_byte(text, len), rc;
    char c = (char)byte;

    if (byte >= 0)
        return hold(d, &d->steps[i], &c, 1);
    rc = pass_run(d, i);
    return rc < 0 ? rc : pass_on(d, i, text, len);
}

static int push_replace(struct tp_detokenizer *d, unsigned i, const char *text, size_t len,
                        const struct tp_name *content)
{
    struct decoding *s = &d->steps[i];
    int rc;

    s->text.len = 0;
    rc = tp_replace_all(d->t->decode[i].regex, d->encoder->matcher, text, len, content, TOKEN_MAX,
                        &s->text, d->err);
    return rc < 0 ? rc : pass_on(d, i, s->text.data, s->text.len);
}

/* How many bytes of the beginning, or of the end, a step strips: N times CONTENT at most. */
static size_t leading(const char *text, size_t len, const struct tp_name *content, size_t n)
{
    size_t at = 0;

    while (n-- > 0 && len - at >= content->len &&
           memcmp(text + at, content->text, content->len) == 0)
        at += content->len;
    return at;
}

static size_t trailing(const char *text, size_t len, const struct tp_name *content, size_t n)
{
    size_t at = 0;

    while (n-- > 0 && len - at >= content->len &&
           memcmp(text + len - at - content->len, content->text, content->len) == 0)
        at += content->len;
    return at;
}

/* A piece: what may be at the end is held. */
static int push_strip(struct tp_detokenizer *d, unsigned i, const char *text, size_t len)
{
    const struct tp_decode_step *step = &d->t->decode[i];
    struct decoding *s = &d->steps[i];
    size_t n, end;
    int rc;

    if (!s->fused) {
        n = leading(text, len, &step->content, step->start);
        return pass_on(d, i, text + n,
                       len - n - trailing(text + n, len - n, &step->content, step->stop));
    }
    if (s->stripped < step->start) {
        n = leading(text, len, &step->content, step->start - s->stripped);
        /* Another character ends it. */
        s->stripped = n < len ? step->start : s->stripped + n / step->content.len;
        text += n;
        len -= n;
    }
    if (step->stop == 0)
        return pass_on(d, i, text, len);
    if (hold(d, s, text, len) < 0)
        return -ENOMEM;
    end = s->held.len - trailing((char *)s->held.data, s->held.len, &step->content, step->stop);
    s->text.len = 0;
    if (tp_buffer_append(&s->text, s->held.data, end) < 0)
        return tp_oom(d->err);
    s->held.len -= end;
    if (s->held.len)
        memmove(s->held.data, s->held.data + end, s->held.len);
    rc = s->text.len ? pass_on(d, i, s->text.data, s->text.len) : 0;
    return rc;
}

static int push_meta(struct tp_detokenizer *d, unsigned i, const char *text, size_t len, bool first)
{
    const struct tp_decode_step *step = &d->t->decode[i];
    struct decoding *s = &d->steps[i];
    const char *end = text + len;
    int rc = 0;

    s->text.len = 0;
    while (rc == 0 && text < end) {
        size_t n = tp_char_len((uint8_t)*text);

        if (n != step->content.len || memcmp(text, step->content.text, n) != 0)
            rc = tp_buffer_append(&s->text, text, n);
        else if (!first || step->keeps_first)
            rc = tp_buffer_append(&s->text, " ", 1);
        text += n;
    }
    return rc < 0 ? tp_oom(d->err) : pass_on(d, i, s->text.data, s->text.len);
}

static const struct tp_name blank = {.text = (char[]){" "}, .len = 1},
                            nothing = {.text = (char[]){""}};

/* The token before this one was not the last. */
static int push_suffix(struct tp_detokenizer *d, unsigned i, const char *text, size_t len,
                       bool first)
{
    struct decoding *s = &d->steps[i];
    int rc = first ? 0 : push_replace(d, i, (char *)s->held.data, s->held.len, &blank);

    s->held.len = 0;
    return rc < 0 ? rc : hold(d, s, text, len);
}

static int push_bytes(struct tp_detokenizer *d, unsigned i, const char *text, size_t len)
{
    if (append_bytes(text, len, &d->steps[i].held) < 0)
        return tp_oom(d->err);
    return pass_valid(d, i, false);
}

/* A whole token for step I, or a piece that it can work on. */
static int run_step(struct tp_detokenizer *d, unsigned i, const char *text, size_t len, bool first)
{
    switch (d->t->decode[i].kind) {
    case TP_DECODE_BYTES:
        return push_bytes(d, i, text, len);
    case TP_DECODE_FALLBACK:
        return push_fallback(d, i, text, len);
    case TP_DECODE_FUSE:
        return pass_on(d, i, text, len);
    case TP_DECODE_REPLACE:
        return push_replace(d, i, text, len, &d->t->decode[i].content);
    case TP_DECODE_STRIP:
        return push_strip(d, i, text, len);
    case TP_DECODE_META:
        return push_meta(d, i, text, len, first || d->steps[i].fused);
    case TP_DECODE_SUFFIX:
        return push_suffix(d, i, text, len, first);
    }
    return 0;
}

/* A token, or a piece of one, for step I. */
static int push(struct tp_detokenizer *d, unsigned i, const char *text, size_t len)
{
    struct decoding *s = &d->steps[i];
    bool first;

    if (i == d->t->decode_n)
        return tp_buffer_append(d->out, text, len) < 0 ? tp_oom(d->err) : 0;
    if (s->waits)
        return hold(d, s, text, len);
    first = !s->any;
    s->any = true;
    return run_step(d, i, text, len, first);
}

/* The text ends: what step I holds. */
static int finish_step(struct tp_detokenizer *d, unsigned i)
{
    enum tp_decode_kind kind = d->t->decode[i].kind;
    struct decoding *s = &d->steps[i];
    struct tp_buffer whole;
    int rc = 0;

    if (s->waits) {
        /* Steps hold other things there. */
        whole = s->held;
        s->held = (struct tp_buffer){0};
        rc = run_step(d, i, whole.len ? (char *)whole.data : "", whole.len, true);
        tp_buffer_clear(&whole);
        s->any = true;
    }
    if (rc == 0 && kind == TP_DECODE_BYTES)
        rc = pass_valid(d, i, true);
    else if (rc == 0 && kind == TP_DECODE_FALLBACK)
        rc = pass_run(d, i);
    else if (rc == 0 && kind == TP_DECODE_SUFFIX && s->any)
        rc = push_replace(d, i, (char *)s->held.data, s->held.len, &nothing);
    s->held.len = 0;
    return rc;
}

/* Which steps get one token in pieces, and which of them cannot work on pieces. */
static void plan(struct tp_detokenizer *d)
{
    bool fused = false;

    for (unsigned i = 0; i < d->t->decode_n; i++) {
        const struct tp_decode_step *step = &d->t->decode[i];
        struct decoding *s = &d->steps[i];
        size_t len;

        s->fused = fused;
        s->waits = fused && (step->kind == TP_DECODE_BYTES || step->kind == TP_DECODE_FALLBACK ||
                             step->kind == TP_DECODE_SUFFIX);
        /* One character is in one piece. */
        if (fused && step->kind == TP_DECODE_REPLACE) {
            const char *literal = tp_regex_literal(step->regex, &len);

            s->waits = !literal || len != tp_char_len((uint8_t)*literal);
        }
        fused |= step->kind == TP_DECODE_BYTES || step->kind == TP_DECODE_FUSE;
    }
}

static void restart(struct tp_detokenizer *d)
{
    d->any = false;
    for (unsigned i = 0; i < TP_STEPS_MAX; i++) {
        d->steps[i].held.len = 0;
        d->steps[i].any = false;
        d->steps[i].stripped = 0;
    }
}

int tp_detokenizer_create(const struct tp_tokenizer *tokenizer, bool skip_special,
                          struct tp_detokenizer **out, struct tp_error *err)
{
    struct tp_detokenizer *d = calloc(1, sizeof *d);

    *out = NULL;
    if (!d)
        return tp_oom(err);
    d->t = tokenizer;
    d->skip_special = skip_special;
    d->encoder = tp_encoder_get(tokenizer, err);
    if (!d->encoder) {
        free(d);
        return -ENOMEM;
    }
    plan(d);
    *out = d;
    return 0;
}

void tp_detokenizer_destroy(struct tp_detokenizer *detokenizer)
{
    if (!detokenizer)
        return;
    tp_encoder_put(detokenizer->t, detokenizer->encoder);
    for (unsigned i = 0; i < TP_STEPS_MAX; i++) {
        tp_buffer_clear(&detokenizer->steps[i].held);
        tp_buffer_clear(&detokenizer->steps[i].text);
    }
    free(detokenizer);
}

/* The name that a token is decoded from. */
static const char *name_to_decode(const struct tp_tokenizer *t, uint32_t id, size_t *len)
{
    const struct tp_added_token *added = tp_added_get(&t->added, id);

    if (!added || !added->normal)
        return tp_tokenizer_name(t, id, len);
    *len = added->normal_len;
    return added->normal;
}

int tp_detokenizer_push(struct tp_detokenizer *detokenizer, uint32_t id, struct tp_buffer *out,
                        struct tp_error *err)
{
    struct tp_detokenizer *d = detokenizer;
    size_t len;
    const char *name = name_to_decode(d->t, id, &len);

    if (!name || (d->skip_special && tp_tokenizer_is_special(d->t, id)))
        return 0;
    d->out = out;
    d->err = err;
    if (!d->t->has_decoder && d->any && tp_buffer_append(out, " ", 1) < 0)
        return tp_oom(err);
    d->any = true;
    return push(d, 0, name, len);
}

int tp_detokenizer_finish(struct tp_detokenizer *detokenizer, struct tp_buffer *out,
                          struct tp_error *err)
{
    int rc = 0;

    detokenizer->out = out;
    detokenizer->err = err;
    for (unsigned i = 0; i < detokenizer->t->decode_n && rc == 0; i++)
        rc = finish_step(detokenizer, i);
    restart(detokenizer);
    return rc;
}

int tp_tokenizer_decode(const struct tp_tokenizer *tokenizer, const uint32_t *ids, size_t n,
                        bool skip_special, struct tp_buffer *out, struct tp_error *err)
{
    struct tp_detokenizer *d;
    int rc = tp_detokenizer_create(tokenizer, skip_special, &d, err);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = tp_detokenizer_push(d, ids[i], out, err);
    if (rc == 0)
        rc = tp_detokenizer_finish(d, out, err);
    tp_detokenizer_destroy(d);
    return rc;
}
