/* SPDX-License-Identifier: MIT */
/*
 * UTF-8 and Unicode, by utf8proc: it is small, has the properties and normal forms that are needed,
 * and nothing that depends on a locale.
 */
#include <config.h>

#include "optimizer/tokenizer/unicode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/lex.h"

uint32_t tp_char_get(const char *p, unsigned *len)
{
    const uint8_t *b = (const uint8_t *)p;

    *len = tp_char_len(*b);
    switch (*len) {
    case 1:
        return b[0];
    case 2:
        return (b[0] & 0x1fu) << 6 | (b[1] & 0x3fu);
    case 3:
        return (b[0] & 0xfu) << 12 | (b[1] & 0x3fu) << 6 | (b[2] & 0x3fu);
    default:
        return (b[0] & 7u) << 18 | (b[1] & 0x3fu) << 12 | (b[2] & 0x3fu) << 6 | (b[3] & 0x3fu);
    }
}

uint32_t tp_char_before(const char *begin, const char *end, unsigned *len)
{
    const char *p = end - 1;

    while (p > begin && ((uint8_t)*p & 0xc0) == 0x80)
        p--;
    return tp_char_get(p, len);
}

unsigned tp_char_put(uint32_t c, char out[4])
{
    uint8_t *b = (uint8_t *)out;

    if (c < 0x80) {
        b[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        b[0] = (uint8_t)(0xc0 | c >> 6);
        b[1] = (uint8_t)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        b[0] = (uint8_t)(0xe0 | c >> 12);
        b[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        b[2] = (uint8_t)(0x80 | (c & 0x3f));
        return 3;
    }
    b[0] = (uint8_t)(0xf0 | c >> 18);
    b[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
    b[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
    b[3] = (uint8_t)(0x80 | (c & 0x3f));
    return 4;
}

/* --- UTF-8 --- */

/* How many of the bytes at P, up to END, are ASCII; at least a multiple of 8 where many are. */
static size_t ascii_run(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *begin = p;
    uint64_t word;

    while (end - p >= 8) {
        memcpy(&word, p, 8);
        if (word & UINT64_C(0x8080808080808080))
            break;
        p += 8;
    }
    while (p < end && *p < 0x80)
        p++;
    return (size_t)(p - begin);
}

bool tp_text_is_valid(const void *text, size_t len)
{
    const uint8_t *p = text, *end = p + len;

    while (p < end) {
        size_t n = ascii_run(p, end);

        if (n == 0)
            n = tp_utf8_len(p, end);
        if (n == 0)
            return false;
        p += n;
    }
    return true;
}

/*
 * The length of the maximal ill-formed part at P: the bytes that can begin a character, but at
 * least one. *OPEN: it reaches END and could be continued.
 */
static size_t ill_formed(const uint8_t *p, const uint8_t *end, bool *open)
{
    uint8_t least = 0x80, most = 0xbf;
    size_t n = 1, wanted;

    *open = false;
    if (*p < 0xc2 || *p > 0xf4)
        return 1;
    wanted = tp_char_len(*p);
    if (*p == 0xe0)
        least = 0xa0;
    else if (*p == 0xed)
        most = 0x9f;
    else if (*p == 0xf0)
        least = 0x90;
    else if (*p == 0xf4)
        most = 0x8f;
    for (; n < wanted; n++, least = 0x80, most = 0xbf) {
        if (p + n == end) {
            *open = true;
            break;
        }
        if (p[n] < least || p[n] > most)
            break;
    }
    return n;
}

int64_t tp_text_make_valid(const void *text, size_t len, bool final, struct tp_buffer *out)
{
    const uint8_t *p = text, *end = p + len, *begin = p;

    if (tp_buffer_reserve(out, len) < 0)
        return -ENOMEM;
    while (p < end) {
        const uint8_t *good = p;
        size_t n;
        bool open;

        while (p < end && ((n = ascii_run(p, end)) > 0 || (n = tp_utf8_len(p, end)) > 0))
            p += n;
        if (tp_buffer_append(out, good, (size_t)(p - good)) < 0)
            return -ENOMEM;
        if (p == end)
            break;
        n = ill_formed(p, end, &open);
        if (open && !final)
            break;
        if (tp_buffer_append(out, "\xef\xbf\xbd", 3) < 0)
            return -ENOMEM;
        p += n;
    }
    return p - begin;
}

/* --- Properties --- */

bool tp_char_is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

static utf8proc_category_t category(uint32_t c)
{
    return utf8proc_category((utf8proc_int32_t)c);
}

bool tp_char_is_mark(uint32_t c)
{
    utf8proc_category_t k = category(c);

    return k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_MC || k == UTF8PROC_CATEGORY_ME;
}

bool tp_char_is_nonspacing_mark(uint32_t c)
{
    return category(c) == UTF8PROC_CATEGORY_MN;
}

bool tp_char_is_other(uint32_t c)
{
    switch (category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CS:
        return true;
    default:
        return false;
    }
}

bool tp_char_is_word(uint32_t c)
{
    switch (category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
        return true;
    default:
        /* Letters in circles and squares, and what joins. */
        return (c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) ||
               (c >= 0x1f150 && c <= 0x1f169) || (c >= 0x1f170 && c <= 0x1f189) || c == 0x200c ||
               c == 0x200d;
    }
}

unsigned tp_char_lower(uint32_t c, uint32_t out[2])
{
    /* The only character with a lower case of two. */
    if (c == 0x130) {
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    out[0] = (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
    return 1;
}

/* --- Normal forms --- */

static utf8proc_option_t options_of(enum tp_normal_form form)
{
    utf8proc_option_t options = UTF8PROC_STABLE;

    options |= form == TP_NFC || form == TP_NFKC ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
    if (form == TP_NFKC || form == TP_NFKD)
        options |= UTF8PROC_COMPAT;
    return options;
}

static int append_chars(struct tp_buffer *out, const utf8proc_int32_t *chars, size_t n)
{
    char bytes[4];
    int rc = tp_buffer_reserve(out, 3 * n);

    for (size_t i = 0; i < n && rc == 0; i++)
        rc = tp_buffer_append(out, bytes, tp_char_put((uint32_t)chars[i], bytes));
    return rc;
}

/* Text that is not only ASCII, between two characters that nothing combines with. */
static int normalize_span(const char *text, size_t len, utf8proc_option_t options,
                          struct tp_buffer *out)
{
    utf8proc_int32_t few[256], *chars = few;
    utf8proc_ssize_t n, cap = sizeof few / sizeof *few;
    int rc = -ENOMEM;

    n = utf8proc_decompose((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)len, chars, cap,
                           options);
    if (n > cap) {
        chars = malloc((size_t)n * sizeof *chars);
        if (!chars)
            return -ENOMEM;
        n = utf8proc_decompose((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)len, chars, n,
                               options);
    }
    if (n >= 0)
        n = utf8proc_normalize_utf32(chars, n, options);
    if (n >= 0)
        rc = append_chars(out, chars, (size_t)n);
    if (chars != few)
        free(chars);
    return rc;
}

int tp_text_normalize(const char *text, size_t len, enum tp_normal_form form, struct tp_buffer *out)
{
    const char *p = text, *end = text + len;
    utf8proc_option_t options = options_of(form);
    int rc = tp_buffer_reserve(out, len);

    while (rc == 0 && p < end) {
        size_t n = ascii_run((const uint8_t *)p, (const uint8_t *)end);
        const char *span;

        /* The last of them can combine with what follows. */
        if (n > 0 && p + n < end)
            n--;
        rc = tp_buffer_append(out, p, n);
        p += n;
        /* Nothing combines with an ASCII character before it. */
        span = p;
        if (p < end)
            p++;
        while (p < end && (uint8_t)*p >= 0x80)
            p++;
        if (rc == 0 && p > span)
            rc = normalize_span(span, (size_t)(p - span), options, out);
    }
    return rc;
}
