/* SPDX-License-Identifier: MIT */
/* Text to ids: added tokens are found, what is between them is normalized and divided. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "optimizer/tokenizer/tokenizer_impl.h"

#define BLOCK (256u << 10)    /* bytes that are normalized together, if they can be cut */
#define REPORTED (256u << 10) /* bytes of words between two reports */
#define CHECKED (16u << 20)   /* bytes that are examined without a look at the flag of cancelling */

struct encoding {
    const struct tp_tokenizer *t;
    const char *begin; /* of the text */
    struct tp_encoder *e;
    struct tp_error *err;
};

static void destroy_encoder(struct tp_encoder *e)
{
    if (!e)
        return;
    tp_matcher_destroy(e->matcher);
    tp_bpe_work_destroy(e->work);
    tp_buffer_clear(&e->normal[0]);
    tp_buffer_clear(&e->normal[1]);
    tp_buffer_clear(&e->valid);
    tp_buffer_clear(&e->window);
    for (unsigned i = 0; i < TP_STEPS_MAX; i++)
        tp_buffer_clear(&e->steps[i]);
    free(e);
}

void tp_encoders_destroy(struct tp_encoder *list)
{
    while (list) {
        struct tp_encoder *next = list->next;

        destroy_encoder(list);
        list = next;
    }
}

static struct tp_encoder *create_encoder(struct tp_error *err)
{
    struct tp_encoder *e = calloc(1, sizeof *e);

    if (e)
        e->work = tp_bpe_work_create();
    if (!e || !e->work || tp_matcher_create(&e->matcher, err) < 0) {
        destroy_encoder(e);
        tp_oom(err);
        return NULL;
    }
    return e;
}

struct tp_encoder *tp_encoder_get(const struct tp_tokenizer *t, struct tp_error *err)
{
    /* Callers do not see the list, which has a lock. */
    struct tp_tokenizer *shared = (struct tp_tokenizer *)t;
    struct tp_encoder *e;

    pthread_mutex_lock(&shared->lock);
    e = shared->idle;
    if (e)
        shared->idle = e->next;
    pthread_mutex_unlock(&shared->lock);
    return e ? e : create_encoder(err);
}

/* Large buffers are not kept. */
static void shrink(struct tp_buffer *buf)
{
    buf->len = 0;
    if (buf->cap > 16 * BLOCK)
        tp_buffer_clear(buf);
}

void tp_encoder_put(const struct tp_tokenizer *t, struct tp_encoder *e)
{
    struct tp_tokenizer *shared = (struct tp_tokenizer *)t;

    shrink(&e->normal[0]);
    shrink(&e->normal[1]);
    shrink(&e->valid);
    shrink(&e->window);
    for (unsigned i = 0; i < TP_STEPS_MAX; i++)
        shrink(&e->steps[i]);
    e->started = e->continued = false;
    e->begin = 0;
    e->wanted = e->unreported = 0;
    e->out = NULL;
    e->progress = NULL;
    pthread_mutex_lock(&shared->lock);
    e->next = shared->idle;
    shared->idle = e;
    pthread_mutex_unlock(&shared->lock);
}

int tp_encoder_advance(struct tp_encoder *e, size_t bytes, struct tp_error *err)
{
    int rc;

    e->words += bytes;
    e->unreported += bytes;
    if (e->unreported < REPORTED)
        return 0;
    e->unreported = 0;
    /* What was normalized can be longer. */
    tp_progress_update(e->progress, "tokenize", e->at + (e->words < e->len ? e->words : e->len),
                       e->text_len);
    rc = tp_progress_check(e->progress, err);
    return rc < 0 ? rc : tp_cancel_check(err);
}

static void begin_piece(const struct encoding *x, const char *text, size_t len)
{
    x->e->at = (size_t)(text - x->begin);
    x->e->len = len;
    x->e->words = 0;
}

static int add_id(struct tp_ids *ids, uint32_t id, struct tp_error *err)
{
    return tp_ids_add(ids, id) < 0 ? tp_oom(err) : 0;
}

/* The text for the splitter that begins at AT; BEGIN as in tp_normalize. */
static int push_text(const struct encoding *x, const char *text, size_t at, size_t end,
                     size_t begin, bool last)
{
    if (!x->e->started)
        x->e->begin = begin > at ? begin - at : 0;
    return tp_split_push(x->t, x->e, text + at, end - at, last, x->err);
}

/* Normalized text: the added tokens in it, and what is between them. LAST: the section ends. */
static int encode_normal(const struct encoding *x, const char *text, size_t len, size_t begin,
                         bool last)
{
    struct tp_added_match match;
    size_t from = 0, floor = 0;
    int rc = 0;

    while (rc == 0 && tp_added_find(&x->t->added, true, text, len, floor, &from, &match)) {
        size_t end = match.start > floor ? match.start : floor;

        rc = push_text(x, text, floor, end, begin, true);
        if (rc == 0)
            rc = add_id(x->e->out, match.id, x->err);
        floor = match.end;
    }
    if (rc == 0 && (last || floor < len))
        rc = push_text(x, text, floor, len, begin, last);
    return rc;
}

/*
 * How many bytes of TEXT to normalize next: all, or a piece that can be normalized by itself.
 * CHARS: it can be cut between any two characters.
 */
static size_t next_piece(const struct tp_tokenizer *t, const char *text, size_t len, bool chars)
{
    for (size_t piece = BLOCK; piece < len; piece *= 2) {
        size_t cut = chars ? piece : tp_normalize_cut(t, text, piece);

        if (cut > 0)
            return cut;
    }
    return len;
}

/* Whether it is valid: 1 or 0, or -ECANCELED. */
static int check_text(const char *text, size_t len, struct tp_error *err)
{
    size_t at = 0, n;

    for (; at < len; at += n) {
        n = len - at < CHECKED ? len - at : CHECKED;
        if (tp_cancel_check(err) < 0)
            return -ECANCELED;
        for (int i = 0; i < 3 && at + n < len && ((uint8_t)text[at + n] & 0xc0) == 0x80; i++)
            n--;
        if (!tp_text_is_valid(text + at, n))
            return 0;
    }
    return 1;
}

/* The text between two added tokens. FIRST: the whole text begins with it. */
static int encode_section(const struct encoding *x, const char *text, size_t len, bool first)
{
    const struct tp_tokenizer *t = x->t;
    struct tp_encoder *e = x->e;
    bool chars = t->normal_n == 0 && !t->added.normalized.n;
    struct tp_buffer *normal = &e->valid;
    size_t at = 0, begin = 0;
    int rc = 0;

    begin_piece(x, text, len);
    if (t->normal_n == 0 && t->split_first == 0)
        rc = check_text(text, len, x->err);
    if (rc != 0)
        return rc < 0 ? rc
                      : encode_normal(x, text, len, first && len ? tp_char_len((uint8_t)*text) : 0,
                                      true);
    while (rc == 0 && at < len) {
        size_t piece = next_piece(t, text + at, len - at, chars);
        bool last = at + piece == len;
        int64_t used;

        begin_piece(x, text + at, piece);
        e->valid.len = 0;
        used = tp_text_make_valid(text + at, piece, last || !chars, &e->valid);
        if (used < 0)
            return tp_oom(x->err);
        begin = first && at == 0 && e->valid.len ? tp_char_len(*e->valid.data) : 0;
        if (t->normal_n)
            rc = tp_normalize(t, e->matcher, (const char *)e->valid.data, e->valid.len, at == 0,
                              last, e->normal, &normal, first && at == 0 ? &begin : NULL, x->err);
        if (rc == 0)
            rc = encode_normal(x, (const char *)normal->data, normal->len, begin, last);
        at += (size_t)used;
    }
    return rc;
}

static int encode_text(const struct encoding *x, const char *text, size_t len)
{
    struct tp_added_match match;
    size_t from = 0, floor = 0;
    int rc = 0;

    while (rc == 0 && tp_added_find(&x->t->added, false, text, len, floor, &from, &match)) {
        if (match.start > floor)
            rc = encode_section(x, text + floor, match.start - floor, floor == 0);
        if (rc == 0)
            rc = add_id(x->e->out, match.id, x->err);
        floor = match.end;
    }
    if (rc == 0 && floor < len)
        rc = encode_section(x, text + floor, len - floor, floor == 0);
    return rc;
}

static int add_ids(struct tp_ids *out, const struct tp_ids *ids, struct tp_error *err)
{
    int rc = 0;

    for (size_t i = 0; i < ids->n && rc == 0; i++)
        rc = add_id(out, ids->items[i], err);
    return rc;
}

int tp_tokenizer_encode(const struct tp_tokenizer *tokenizer, const void *text, size_t len,
                        bool add_special, const struct tp_progress *progress, struct tp_ids *out,
                        struct tp_error *err)
{
    struct encoding x = {
        .t = tokenizer, .begin = len ? text : "", .e = tp_encoder_get(tokenizer, err), .err = err};
    int rc = 0;

    if (!x.e)
        return -ENOMEM;
    x.e->out = out;
    x.e->progress = progress;
    x.e->text_len = len;
    if (add_special)
        rc = add_ids(out, &tokenizer->before, err);
    if (rc == 0)
        rc = encode_text(&x, x.begin, len);
    if (rc == 0 && add_special)
        rc = add_ids(out, &tokenizer->after, err);
    tp_encoder_put(tokenizer, x.e);
    return rc;
}
