/* SPDX-License-Identifier: MIT */
/*
 * Encoding a word. A long word is divided where no merge can take place, so that its parts are
 * short and, mostly, in the cache.
 */
#include <config.h>

#include "optimizer/tokenizer/bpe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/progress.h"
#include "base/vector.h"
#include "optimizer/tokenizer/bpe_impl.h"
#include "optimizer/tokenizer/unicode.h"

#define FEW 48        /* symbols up to which a scan is faster than a heap */
#define CACHE_N 32768 /* words */
#define CACHE_KEY 28  /* bytes of a word */
#define CACHE_IDS 7   /* ids of a word */
#define CHECKED 65536 /* merges between two looks at the flag of cancelling */
#define SHORT_WORD 64 /* bytes of a word that is not divided */

struct cached {
    char key[CACHE_KEY];
    uint8_t len, id_n; /* LEN is 0 in a free entry */
    uint32_t ids[CACHE_IDS];
};

struct symbol {
    uint32_t id;
    uint32_t before, next; /* indices; NO_SYMBOL: none */
    bool merged;           /* it is a part of the one before */
};

#define NO_SYMBOL UINT32_MAX

/* A merge that may take place at symbol AT. */
struct candidate {
    uint32_t rank, at, id;
};

struct tp_bpe_work {
    struct cached *cache;
    struct tp_ids symbols; /* the ids of a word's characters */
    struct symbol *links;
    size_t link_cap;
    struct candidate *heap;
    size_t heap_n, heap_cap;
    struct tp_buffer text;
};

struct tp_bpe_work *tp_bpe_work_create(void)
{
    struct tp_bpe_work *work = calloc(1, sizeof *work);

    if (work)
        work->cache = calloc(CACHE_N, sizeof *work->cache);
    if (work && !work->cache) {
        free(work);
        return NULL;
    }
    return work;
}

void tp_bpe_work_destroy(struct tp_bpe_work *work)
{
    if (!work)
        return;
    free(work->cache);
    free(work->symbols.items);
    free(work->links);
    free(work->heap);
    tp_buffer_clear(&work->text);
    free(work);
}

/* --- The symbols of a word --- */

/* What has no token and is not written yet. */
struct unknown {
    uint32_t id; /* TP_TOKEN_NONE: nothing */
};

static int flush_unknown(struct unknown *unknown, struct tp_ids *out)
{
    int rc = unknown->id != TP_TOKEN_NONE ? tp_ids_add(out, unknown->id) : 0;

    unknown->id = TP_TOKEN_NONE;
    return rc;
}

/* A character that has no token: LEN bytes at TEXT, with prefix and suffix. */
static int add_unknown(const struct tp_bpe *bpe, const uint8_t *text, size_t len,
                       struct unknown *unknown, struct tp_ids *out)
{
    bool known = bpe->byte_fallback;
    int rc = 0;

    for (size_t i = 0; i < len && known; i++)
        known = bpe->fallback_ids[text[i]] != TP_TOKEN_NONE;
    if (known) {
        for (size_t i = 0; i < len && rc == 0; i++)
            rc = tp_ids_add(out, bpe->fallback_ids[text[i]]);
        return rc;
    }
    if (bpe->unk_missing)
        return -ENOENT;
    if (bpe->unk == TP_TOKEN_NONE)
        return 0;
    if (!bpe->fuse_unk)
        rc = flush_unknown(unknown, out);
    unknown->id = bpe->unk;
    return rc;
}

/* The characters of a word that stand in the vocabulary with a prefix or a suffix. */
static int add_affixed(const struct tp_bpe *bpe, struct tp_bpe_work *work, const char *p,
                       unsigned len, bool first, bool last, struct unknown *unknown)
{
    struct tp_buffer *text = &work->text;
    uint32_t id;
    int rc = 0;

    text->len = 0;
    if (!first && bpe->prefix)
        rc = tp_buffer_append(text, bpe->prefix, strlen(bpe->prefix));
    if (rc == 0)
        rc = tp_buffer_append(text, p, len);
    if (rc == 0 && last && bpe->suffix)
        rc = tp_buffer_append(text, bpe->suffix, strlen(bpe->suffix));
    if (rc < 0)
        return rc;
    id = tp_vocab_find(&bpe->vocab, (const char *)text->data, text->len);
    if (id == TP_TOKEN_NONE)
        return add_unknown(bpe, text->data, text->len, unknown, &work->symbols);
    rc = flush_unknown(unknown, &work->symbols);
    return rc < 0 ? rc : tp_ids_add(&work->symbols, id);
}

static int add_chars(const struct tp_bpe *bpe, struct tp_bpe_work *work, const char *word,
                     size_t len)
{
    struct unknown unknown = {.id = TP_TOKEN_NONE};
    bool affixed = bpe->prefix || bpe->suffix;
    const char *p = word, *end = word + len;
    int rc = 0;

    while (rc == 0 && p < end) {
        unsigned n;
        uint32_t c = tp_char_get(p, &n), id;

        if (affixed) {
            rc = add_affixed(bpe, work, p, n, p == word, p + n == end, &unknown);
        } else if ((id = tp_bpe_char(bpe, c)) != TP_TOKEN_NONE) {
            rc = flush_unknown(&unknown, &work->symbols);
            if (rc == 0)
                rc = tp_ids_add(&work->symbols, id);
        } else {
            rc = add_unknown(bpe, (const uint8_t *)p, n, &unknown, &work->symbols);
        }
        p += n;
    }
    return rc < 0 ? rc : flush_unknown(&unknown, &work->symbols);
}

static int add_bytes(const struct tp_bpe *bpe, struct tp_bpe_work *work, const char *word,
                     size_t len)
{
    struct unknown unknown = {.id = TP_TOKEN_NONE};
    int rc = 0;

    for (size_t i = 0; i < len && rc == 0; i++) {
        uint32_t id = bpe->byte_ids[(uint8_t)word[i]];

        if (id == TP_TOKEN_NONE) {
            rc = add_unknown(bpe, NULL, 0, &unknown, &work->symbols);
            continue;
        }
        rc = flush_unknown(&unknown, &work->symbols);
        if (rc == 0)
            rc = tp_ids_add(&work->symbols, id);
    }
    return rc < 0 ? rc : flush_unknown(&unknown, &work->symbols);
}

/* --- Merging --- */

/* Few symbols: look for the first merge of all pairs, again and again. */
static size_t merge_few(const struct tp_bpe *bpe, uint32_t *ids, size_t n)
{
    uint32_t ranks[FEW], merged[FEW];

    for (size_t i = 0; i + 1 < n; i++)
        ranks[i] = tp_bpe_find(bpe, ids[i], ids[i + 1], &merged[i]);
    while (n > 1) {
        size_t best = 0;

        for (size_t i = 1; i + 1 < n; i++)
            if (ranks[i] < ranks[best])
                best = i;
        if (ranks[best] == TP_BPE_NO_RANK)
            break;
        ids[best] = merged[best];
        n--;
        memmove(ids + best + 1, ids + best + 2, (n - best - 1) * sizeof *ids);
        if (best + 1 < n) {
            memmove(ranks + best + 1, ranks + best + 2, (n - best - 2) * sizeof *ranks);
            memmove(merged + best + 1, merged + best + 2, (n - best - 2) * sizeof *merged);
            ranks[best] = tp_bpe_find(bpe, ids[best], ids[best + 1], &merged[best]);
        }
        if (best > 0)
            ranks[best - 1] = tp_bpe_find(bpe, ids[best - 1], ids[best], &merged[best - 1]);
    }
    return n;
}

static bool is_before(const struct candidate *a, const struct candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static int push_candidate(const struct tp_bpe *bpe, struct tp_bpe_work *work, uint32_t at,
                          uint32_t next)
{
    struct candidate c = {.at = at};
    size_t i = work->heap_n;

    c.rank = tp_bpe_find(bpe, work->links[at].id, work->links[next].id, &c.id);
    if (c.rank == TP_BPE_NO_RANK)
        return 0;
    if (TP_VECTOR_GROW(work->heap, work->heap_n, work->heap_cap) < 0)
        return -ENOMEM;
    work->heap_n++;
    for (; i > 0 && is_before(&c, &work->heap[(i - 1) / 2]); i = (i - 1) / 2)
        work->heap[i] = work->heap[(i - 1) / 2];
    work->heap[i] = c;
    return 0;
}

static struct candidate pop_candidate(struct tp_bpe_work *work)
{
    struct candidate first = work->heap[0], last = work->heap[--work->heap_n];
    size_t i = 0, child;

    while ((child = 2 * i + 1) < work->heap_n) {
        if (child + 1 < work->heap_n && is_before(&work->heap[child + 1], &work->heap[child]))
            child++;
        if (!is_before(&work->heap[child], &last))
            break;
        work->heap[i] = work->heap[child];
        i = child;
    }
    if (work->heap_n)
        work->heap[i] = last;
    return first;
}

/* The symbols of the word as a list, and every merge that may take place. */
static int link_symbols(const struct tp_bpe *bpe, struct tp_bpe_work *work)
{
    size_t n = work->symbols.n;
    int rc = 0;

    if (work->link_cap < n) {
        struct symbol *links = realloc(work->links, n * sizeof *links);

        if (!links)
            return -ENOMEM;
        work->links = links;
        work->link_cap = n;
    }
    work->heap_n = 0;
    for (size_t i = 0; i < n; i++)
        work->links[i] = (struct symbol){.id = work->symbols.items[i],
                                         .before = i > 0 ? (uint32_t)i - 1 : NO_SYMBOL,
                                         .next = i + 1 < n ? (uint32_t)i + 1 : NO_SYMBOL};
    for (uint32_t i = 0; i + 1 < n && rc == 0; i++)
        rc = i % CHECKED == 0 && tp_cancel_check(NULL) < 0 ? -ECANCELED
                                                           : push_candidate(bpe, work, i, i + 1);
    return rc;
}

/* Many symbols: a heap of the merges that may take place. */
static int merge_many(const struct tp_bpe *bpe, struct tp_bpe_work *work)
{
    int rc = link_symbols(bpe, work);
    size_t n = 0;

    for (size_t popped = 1; rc == 0 && work->heap_n; popped++) {
        struct candidate c = pop_candidate(work);
        struct symbol *left = &work->links[c.at], *right;
        uint32_t id;

        if (popped % CHECKED == 0 && tp_cancel_check(NULL) < 0)
            return -ECANCELED;
        if (left->merged || left->next == NO_SYMBOL)
            continue;
        right = &work->links[left->next];
        /* The pair may have changed since. */
        if (tp_bpe_find(bpe, left->id, right->id, &id) == TP_BPE_NO_RANK || id != c.id)
            continue;
        left->id = c.id;
        left->next = right->next;
        right->merged = true;
        if (left->next != NO_SYMBOL) {
            work->links[left->next].before = c.at;
            rc = push_candidate(bpe, work, c.at, left->next);
        }
        if (rc == 0 && left->before != NO_SYMBOL)
            rc = push_candidate(bpe, work, left->before, c.at);
    }
    for (size_t i = 0; i < work->symbols.n && rc == 0; i++)
        if (!work->links[i].merged)
            work->symbols.items[n++] = work->links[i].id;
    work->symbols.n = n;
    return rc;
}

/* --- Words --- */

static struct cached *cache_entry(struct tp_bpe_work *work, const char *word, size_t len)
{
    return &work->cache[tp_xxh3(word, len) % CACHE_N];
}

static int append_ids(struct tp_ids *out, const uint32_t *ids, size_t n)
{
    int rc = 0;

    for (size_t i = 0; i < n && rc == 0; i++)
        rc = tp_ids_add(out, ids[i]);
    return rc;
}

/* The id of a word that is a token as a whole, or TP_TOKEN_NONE. */
static uint32_t find_whole(const struct tp_bpe *bpe, struct tp_bpe_work *work, const char *word,
                           size_t len)
{
    char c[4];

    if (len > bpe->vocab.name_max)
        return TP_TOKEN_NONE;
    if (!bpe->bytes)
        return tp_vocab_find(&bpe->vocab, word, len);
    work->text.len = 0;
    for (size_t i = 0; i < len; i++)
        if (tp_buffer_append(&work->text, c, tp_char_put(tp_byte_to_char((uint8_t)word[i]), c)) < 0)
            return TP_TOKEN_NONE;
    return tp_vocab_find(&bpe->vocab, (const char *)work->text.data, work->text.len);
}

/* A part of a word that is not divided; WHOLE: it is the word. */
static int encode_part(const struct tp_bpe *bpe, struct tp_bpe_work *work, const char *word,
                       size_t len, bool whole, struct tp_ids *out)
{
    /* A part may not be looked up as the word that it is not. */
    bool cacheable = len <= CACHE_KEY && (whole || !bpe->ignore_merges);
    struct cached *entry = cacheable ? cache_entry(work, word, len) : NULL;
    uint32_t id = TP_TOKEN_NONE;
    int rc;

    if (entry && entry->len == len && memcmp(entry->key, word, len) == 0)
        return append_ids(out, entry->ids, entry->id_n);
    work->symbols.n = 0;
    if (whole && bpe->ignore_merges)
        id = find_whole(bpe, work, word, len);
    if (id != TP_TOKEN_NONE)
        rc = tp_ids_add(&work->symbols, id);
    else
        rc = bpe->bytes ? add_bytes(bpe, work, word, len) : add_chars(bpe, work, word, len);
    if (rc == 0 && work->symbols.n > FEW)
        rc = merge_many(bpe, work);
    else if (rc == 0)
        work->symbols.n = merge_few(bpe, work->symbols.items, work->symbols.n);
    if (rc == 0 && entry && work->symbols.n <= CACHE_IDS) {
        entry->len = (uint8_t)len;
        entry->id_n = (uint8_t)work->symbols.n;
        memcpy(entry->key, word, len);
        if (entry->id_n)
            memcpy(entry->ids, work->symbols.items, entry->id_n * sizeof *entry->ids);
    }
    return rc < 0 ? rc : append_ids(out, work->symbols.items, work->symbols.n);
}

static int explain(int rc, size_t len, struct tp_error *err)
{
    if (rc == -ENOENT)
        return tp_fail(err, EBADMSG,
                       "the text has a character without a token, and the tokenizer's token for "
                       "unknown characters is not in its vocabulary");
    if (rc == -EFBIG)
        return tp_fail(err, EFBIG, "a word of %zu bytes cannot be divided", len);
    if (rc == -ECANCELED)
        return tp_fail(err, ECANCELED, "cancelled");
    return rc < 0 ? tp_oom(err) : 0;
}

int64_t tp_bpe_encode(const struct tp_bpe *bpe, struct tp_bpe_work *work, const char *word,
                      size_t len, bool continued, bool final, struct tp_ids *out,
                      struct tp_error *err)
{
    size_t done = 0, cut;
    int rc = 0;

    if (final && !continued && (len <= SHORT_WORD || len <= bpe->vocab.name_max)) {
        rc = len ? encode_part(bpe, work, word, len, true, out) : 0;
        return rc < 0 ? explain(rc, len, err) : (int64_t)len;
    }
    while (rc == 0 && done < len) {
        cut = bpe->divisible ? tp_bpe_cut(bpe, word, len, done) : len;
        if (cut == len && !final)
            break;
        if (cut - done > TP_TOKENIZER_WORD_MAX)
            return explain(-EFBIG, cut - done, err);
        rc = encode_part(bpe, work, word + done, cut - done,
                         final && !continued && done == 0 && cut == len, out);
        done = cut;
    }
    return rc < 0 ? explain(rc, len, err) : (int64_t)done;
}
