/* SPDX-License-Identifier: MIT */
/* Normalizing text, as a whole or in pieces. */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/lex.h"
#include "base/progress.h"
#include "optimizer/tokenizer/tokenizer_impl.h"

/* A step may make so many bytes of each byte of the text, and so many more. */
#define GROWTH 32u
#define GROWTH_MORE ((size_t)64 << 10)
#define BLOCK (1u << 20) /* bytes between two looks at the flag of cancelling */

int tp_append_alphabet(struct tp_buffer *out, const char *bytes, size_t len)
{
    int rc = tp_buffer_reserve(out, 2 * len);
    char c[4];

    for (size_t i = 0; i < len && rc == 0; i++)
        rc = tp_buffer_append(out, c, tp_char_put(tp_byte_to_char((uint8_t)bytes[i]), c));
    return rc;
}

static int fail_growth(size_t most, size_t len, struct tp_error *err)
{
    return tp_fail(err, EFBIG, "the tokenizer makes more than %zu bytes of a text of %zu", most,
                   len);
}

int tp_replace_all(const struct tp_regex *regex, struct tp_matcher *matcher, const char *text,
                   size_t len, const struct tp_name *content, size_t most, struct tp_buffer *out,
                   struct tp_error *err)
{
    struct tp_finder finder = {.regex = regex, .matcher = matcher, .text = text, .len = len};
    size_t done = 0, start, end;
    int rc = 0, found;

    while ((found = tp_finder_next(&finder, true, &start, &end, err)) == TP_REGEX_FOUND) {
        if (out->len > most || content->len > most - out->len)
            return fail_growth(most, len, err);
        if (start > done)
            rc = tp_buffer_append(out, text + done, start - done);
        if (rc == 0)
            rc = tp_buffer_append(out, content->text, content->len);
        if (rc < 0)
            return tp_oom(err);
        done = end;
    }
    if (found < 0)
        return found;
    return tp_buffer_append(out, text + done, len - done) < 0 ? tp_oom(err) : 0;
}

/* --- Steps that look at one character --- */

static bool is_chinese(uint32_t c)
{
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) ||
           (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2b73f) ||
           (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

/* C without what the step "Nmt" removes, and its blanks. */
static unsigned map_nmt(uint32_t c, uint32_t out[3])
{
    if ((c >= 1 && c <= 8) || c == 0xb || (c >= 0xe && c <= 0x1f) || c == 0x7f || c == 0x8f ||
        c == 0x9f)
        return 0;
    if (c == 9 || c == 0xa || c == 0xc || c == 0xd || c == 0x1680 || (c >= 0x200b && c <= 0x200f) ||
        c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xfeff || c == 0xfffd)
        c = ' ';
    *out = c;
    return 1;
}

static unsigned map_clean(uint32_t c, uint32_t out[3])
{
    bool space = tp_char_is_space(c);

    if (c == 0 || c == 0xfffd || (c != '\t' && c != '\n' && c != '\r' && tp_char_is_other(c)))
        return 0;
    *out = space ? ' ' : c;
    return 1;
}

/* What becomes of one character: up to 3, or none. */
static unsigned map_char(enum tp_normal_kind kind, uint32_t c, uint32_t out[3])
{
    *out = c;
    switch (kind) {
    case TP_NORMAL_LOWERCASE:
        return tp_char_lower(c, out);
    case TP_NORMAL_STRIP_MARKS:
        return !tp_char_is_mark(c);
    case TP_NORMAL_STRIP_NONSPACING_MARKS:
        return !tp_char_is_nonspacing_mark(c);
    case TP_NORMAL_NMT:
        return map_nmt(c, out);
    case TP_NORMAL_CLEAN:
        return map_clean(c, out);
    case TP_NORMAL_CHINESE:
        if (!is_chinese(c))
            return 1;
        out[0] = out[2] = ' ';
        out[1] = c;
        return 3;
    default:
        return 1;
    }
}

static int map_text(enum tp_normal_kind kind, const char *text, size_t len, struct tp_buffer *out)
{
    const char *p = text, *end = text + len;
    int rc = tp_buffer_reserve(out, len);

    while (p < end && rc == 0) {
        uint32_t chars[3];
        unsigned n, many;
        char bytes[4];

        many = map_char(kind, tp_char_get(p, &n), chars);
        for (unsigned i = 0; i < many && rc == 0; i++)
            rc = tp_buffer_append(out, bytes, tp_char_put(chars[i], bytes));
        p += n;
    }
    return rc;
}

/* --- All steps --- */

/* The bytes of white space that are removed at the beginning. */
static size_t strip_left(const struct tp_normal_step *step, const char *text, size_t len)
{
    const char *p = text, *end = text + len;
    unsigned n;

    while (step->left && p < end && tp_char_is_space(tp_char_get(p, &n)))
        p += n;
    return (size_t)(p - text);
}

static int strip(const struct tp_normal_step *step, const char *text, size_t len, bool first,
                 bool last, struct tp_buffer *out)
{
    const char *p = text + (first ? strip_left(step, text, len) : 0), *end = text + len;
    unsigned n;

    while (last && step->right && p < end && tp_char_is_space(tp_char_before(p, end, &n)))
        end -= n;
    return tp_buffer_append(out, p, (size_t)(end - p));
}

static int prepend(const struct tp_normal_step *step, const char *text, size_t len, bool first,
                   struct tp_buffer *out)
{
    int rc = first && len ? tp_buffer_append(out, step->content.text, step->content.len) : 0;

    return rc < 0 ? rc : tp_buffer_append(out, text, len);
}

/* How many bytes of TEXT can be normalized before the rest: up to a character like those of
 * tp_normalize_cut. */
static size_t next_block(const char *text, size_t len)
{
    for (size_t i = BLOCK; i < len; i++) {
        uint8_t c = (uint8_t)text[i];

        if (c < 0x80 || (c >= 0xe5 && c <= 0xe9))
            return i;
    }
    return len;
}

/* A step that does not look far: block by block. */
static int map_blocks(const struct tp_normal_step *step, const char *text, size_t len,
                      struct tp_buffer *out, struct tp_error *err)
{
    size_t n;
    int rc = 0;

    for (size_t at = 0; at < len; at += n) {
        n = next_block(text + at, len - at);
        if (tp_cancel_check(err) < 0)
            return -ECANCELED;
        if (step->kind == TP_NORMAL_FORM)
            rc = tp_text_normalize(text + at, n, step->form, out);
        else if (step->kind == TP_NORMAL_BYTES)
            rc = tp_append_alphabet(out, text + at, n);
        else
            rc = map_text(step->kind, text + at, n, out);
        if (rc < 0)
            return tp_oom(err);
    }
    return 0;
}

static int run_step(const struct tp_normal_step *step, struct tp_matcher *matcher, const char *text,
                    size_t len, bool first, bool last, size_t most, struct tp_buffer *out,
                    struct tp_error *err)
{
    switch (step->kind) {
    case TP_NORMAL_PREPEND:
        return prepend(step, text, len, first, out) < 0 ? tp_oom(err) : 0;
    case TP_NORMAL_REPLACE:
        return tp_replace_all(step->regex, matcher, text, len, &step->content, most, out, err);
    case TP_NORMAL_STRIP:
        return strip(step, text, len, first, last, out) < 0 ? tp_oom(err) : 0;
    default:
        return map_blocks(step, text, len, out, err);
    }
}

/* AT, or the end of the character that it is within: composed of two, it can be longer. */
static size_t end_char(const struct tp_buffer *text, size_t at)
{
    while (at < text->len && (text->data[at] & 0xc0) == 0x80)
        at++;
    return at < text->len ? at : text->len;
}

/*
 * How many bytes at the beginning of what a step makes stand for the beginning of the text, of
 * which BEGIN bytes at the beginning of TEXT stand for it. As in the library, what a match becomes
 * stands for the last character of the match.
 */
static int follow_replaced(const struct tp_normal_step *step, struct tp_matcher *matcher,
                           const char *text, size_t len, size_t *begin, struct tp_error *err)
{
    struct tp_finder finder = {.regex = step->regex, .matcher = matcher, .text = text, .len = len};
    size_t done = 0, sum = 0, start, end;
    int found;

    while ((found = tp_finder_next(&finder, true, &start, &end, err)) == TP_REGEX_FOUND) {
        if (start > *begin || end > *begin) {
            sum += (start < *begin ? start : *begin) - done;
            *begin = sum;
            return 0;
        }
        sum += start - done + step->content.len;
        done = end;
    }
    *begin = sum + *begin - done;
    return found < 0 ? found : 0;
}

static int follow_beginning(const struct tp_normal_step *step, struct tp_matcher *matcher,
                            const char *text, size_t len, size_t *begin, struct tp_error *err)
{
    tp_auto(tp_buffer_clear) struct tp_buffer made = {0};
    size_t stripped;
    int rc;

    switch (step->kind) {
    case TP_NORMAL_PREPEND:
        if (step->content.len)
            *begin += *begin ? step->content.len : 0;
        else if (*begin == 0 && len)
            *begin = tp_char_len((uint8_t)*text);
        return 0;
    case TP_NORMAL_REPLACE:
        return follow_replaced(step, matcher, text, len, begin, err);
    case TP_NORMAL_STRIP:
        stripped = strip_left(step, text, len);
        *begin -= *begin < stripped ? *begin : stripped;
        return 0;
    default:
        rc = map_blocks(step, text, *begin, &made, err);
        *begin = made.len;
        return rc;
    }
}

int tp_normalize(const struct tp_tokenizer *t, struct tp_matcher *matcher, const char *text,
                 size_t len, bool first, bool last, struct tp_buffer buffers[2],
                 struct tp_buffer **out, size_t *begin, struct tp_error *err)
{
    struct tp_buffer *from = NULL, *to = &buffers[0];
    size_t most = len < (SIZE_MAX - GROWTH_MORE) / GROWTH ? GROWTH * len + GROWTH_MORE : SIZE_MAX;
    int rc = 0;

    to->len = 0;
    if (t->normal_n == 0 && tp_buffer_append(to, text, len) < 0)
        return tp_oom(err);
    for (unsigned i = 0; i < t->normal_n && rc == 0; i++) {
        const char *now = from ? (const char *)from->data : text;
        size_t now_len = from ? from->len : len;

        to = &buffers[i % 2];
        to->len = 0;
        rc = run_step(&t->normal[i], matcher, now, now_len, first, last, most, to, err);
        if (rc == 0 && to->len > most)
            rc = fail_growth(most, len, err);
        if (rc == 0 && begin)
            rc = follow_beginning(&t->normal[i], matcher, now, now_len, begin, err);
        if (rc == 0 && begin)
            *begin = end_char(to, *begin);
        from = to;
    }
    *out = to;
    return rc;
}

/* --- Pieces --- */

static void forbid_all(struct tp_tokenizer *t)
{
    memset(t->cut_ascii, 0, sizeof t->cut_ascii);
    t->cut_chinese = false;
}

/* No cut before a character of TEXT from its byte FROM on, in any case. */
static void forbid(struct tp_tokenizer *t, const char *text, size_t len, size_t from)
{
    for (size_t i = from; i < len; i++) {
        uint8_t c = (uint8_t)text[i];

        if (c >= 0x80) {
            t->cut_chinese = false;
            continue;
        }
        t->cut_ascii[c] = false;
        if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))
            t->cut_ascii[c ^ 0x20] = false;
    }
}

void tp_normalize_prepare(struct tp_tokenizer *t)
{
    bool strips = false;

    for (unsigned c = 0; c < 128; c++)
        t->cut_ascii[c] =
            (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    t->cut_chinese = true;
    for (unsigned i = 0; i < t->normal_n; i++) {
        const struct tp_normal_step *step = &t->normal[i];
        size_t len;
        const char *literal = step->regex ? tp_regex_literal(step->regex, &len) : NULL;

        if (step->regex && !literal)
            forbid_all(t);
        if (literal)
            forbid(t, literal, len, 0);
        strips |= step->regex && step->content.len == 0;
        strips |= step->kind == TP_NORMAL_STRIP || step->kind == TP_NORMAL_CLEAN ||
                  step->kind == TP_NORMAL_NMT || step->kind == TP_NORMAL_STRIP_MARKS;
        /* What is before the first character that remains cannot be known in pieces. */
        if (step->kind == TP_NORMAL_PREPEND && strips)
            forbid_all(t);
        if (step->kind == TP_NORMAL_STRIP && strips && i > 0)
            forbid_all(t);
        if (step->kind == TP_NORMAL_BYTES || step->kind == TP_NORMAL_CHINESE)
            t->cut_chinese = false;
    }
    for (size_t i = 0; i < t->added.n; i++) {
        const struct tp_added_token *token = &t->added.tokens[i];

        if (!token->normalized)
            continue;
        if (token->single_word || token->lstrip || token->rstrip)
            forbid_all(t);
        forbid(t, token->name, token->name_len, 1);
        if (token->normal)
            forbid(t, token->normal, token->normal_len, 1);
    }
}

size_t tp_normalize_cut(const struct tp_tokenizer *t, const char *text, size_t len)
{
    const uint8_t *p = (const uint8_t *)text;

    for (size_t i = len; i-- > 1;) {
        if (p[i] < 0x80
                ? t->cut_ascii[p[i]]
                : t->cut_chinese && p[i] >= 0xe5 && p[i] <= 0xe9 && tp_utf8_len(p + i, p + len))
            return i;
    }
    return 0;
}
