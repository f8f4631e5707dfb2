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
    const uint8_t *p = len ? text : (const void *)"", *end = p + len;

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
    const uint8_t *p = len ? text : (const void *)"", *end = p + len, *begin = p;

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

struct range {
    uint32_t first, last;
};

/*
 * The library has the normal forms and marks of Unicode 9: marks, and characters with a
 * decomposition, that came later.
 */
/* clang-format off */
static const struct range later[] = {
    {0x007fd, 0x007fd}, {0x00897, 0x0089f},
    {0x008ca, 0x008d3}, {0x009fe, 0x009fe}, {0x00afa, 0x00aff}, {0x00b55, 0x00b55},
    {0x00c04, 0x00c04}, {0x00c3c, 0x00c3c}, {0x00cf3, 0x00cf3}, {0x00d00, 0x00d00},
    {0x00d3b, 0x00d3c}, {0x00d81, 0x00d81}, {0x00eba, 0x00eba}, {0x00ece, 0x00ece},
    {0x01715, 0x01715}, {0x0180f, 0x0180f}, {0x01abf, 0x01ace}, {0x01cf7, 0x01cf7},
    {0x01df6, 0x01dfa}, {0x032ff, 0x032ff}, {0x0a7f2, 0x0a7f4}, {0x0a82c, 0x0a82c},
    {0x0a8ff, 0x0a8ff}, {0x0ab69, 0x0ab69}, {0x105c9, 0x105c9}, {0x105e4, 0x105e4},
    {0x10781, 0x10785}, {0x10787, 0x107b0}, {0x107b2, 0x107ba}, {0x10d24, 0x10d27},
    {0x10d69, 0x10d6d}, {0x10eab, 0x10eac}, {0x10efc, 0x10eff}, {0x10f46, 0x10f50},
    {0x10f82, 0x10f85}, {0x11070, 0x11070}, {0x11073, 0x11074}, {0x110c2, 0x110c2},
    {0x11145, 0x11146}, {0x111c9, 0x111c9}, {0x111ce, 0x111cf}, {0x11241, 0x11241},
    {0x1133b, 0x1133b}, {0x11383, 0x11383}, {0x11385, 0x11385}, {0x1138e, 0x1138e},
    {0x11391, 0x11391}, {0x113b8, 0x113c0}, {0x113c2, 0x113c2}, {0x113c5, 0x113c5},
    {0x113c7, 0x113ca}, {0x113cc, 0x113d0}, {0x113d2, 0x113d2}, {0x113e1, 0x113e2},
    {0x1145e, 0x1145e}, {0x1182c, 0x1183a}, {0x11930, 0x11935}, {0x11937, 0x11938},
    {0x1193b, 0x1193e}, {0x11940, 0x11940}, {0x11942, 0x11943}, {0x119d1, 0x119d7},
    {0x119da, 0x119e0}, {0x119e4, 0x119e4}, {0x11a01, 0x11a0a}, {0x11a33, 0x11a39},
    {0x11a3b, 0x11a3e}, {0x11a47, 0x11a47}, {0x11a51, 0x11a5b}, {0x11a8a, 0x11a99},
    {0x11d31, 0x11d36}, {0x11d3a, 0x11d3a}, {0x11d3c, 0x11d3d}, {0x11d3f, 0x11d45},
    {0x11d47, 0x11d47}, {0x11d8a, 0x11d8e}, {0x11d90, 0x11d91}, {0x11d93, 0x11d97},
    {0x11ef3, 0x11ef6}, {0x11f00, 0x11f01}, {0x11f03, 0x11f03}, {0x11f34, 0x11f3a},
    {0x11f3e, 0x11f42}, {0x11f5a, 0x11f5a}, {0x13440, 0x13440}, {0x13447, 0x13455},
    {0x1611e, 0x1612f}, {0x16d68, 0x16d6a}, {0x16f4f, 0x16f4f}, {0x16f7f, 0x16f87},
    {0x16fe4, 0x16fe4}, {0x16ff0, 0x16ff1}, {0x1ccd6, 0x1ccf9}, {0x1cf00, 0x1cf2d},
    {0x1cf30, 0x1cf46}, {0x1e030, 0x1e06d}, {0x1e08f, 0x1e08f}, {0x1e130, 0x1e136},
    {0x1e2ae, 0x1e2ae}, {0x1e2ec, 0x1e2ef}, {0x1e4ec, 0x1e4ef}, {0x1e5ee, 0x1e5ef},
    {0x1f16c, 0x1f16c}, {0x1fbf0, 0x1fbf9},
};
/* The marks for which BERT's normalizer has those of Unicode 8: what came with Unicode 9. */
static const struct range later_marks[] = {
    {0x008d4, 0x008e1}, {0x01885, 0x01886}, {0x01dfb, 0x01dfb}, {0x0a8c5, 0x0a8c5},
    {0x0a9bd, 0x0a9bd}, {0x1123e, 0x1123e}, {0x11438, 0x1143f}, {0x11442, 0x11444},
    {0x11446, 0x11446}, {0x11c30, 0x11c36}, {0x11c38, 0x11c3d}, {0x11c3f, 0x11c3f},
    {0x11c92, 0x11ca7}, {0x11caa, 0x11cb0}, {0x11cb2, 0x11cb3}, {0x11cb5, 0x11cb6},
    {0x1e000, 0x1e006}, {0x1e008, 0x1e018}, {0x1e01b, 0x1e021}, {0x1e023, 0x1e024},
    {0x1e026, 0x1e02a}, {0x1e944, 0x1e94a},
};
/* clang-format on */

static bool is_in(const struct range *ranges, size_t n, uint32_t c)
{
    size_t low = 0, high = n;

    while (low < high) {
        size_t i = (low + high) / 2;

        if (c > ranges[i].last)
            low = i + 1;
        else
            high = i;
    }
    return low < n && c >= ranges[low].first;
}

/* Whether the library does not know a mark, or a decomposition. */
static bool is_later(uint32_t c)
{
    return c >= later[0].first && is_in(later, sizeof later / sizeof *later, c);
}

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

    /* These two were marks in Unicode 9. */
    if (c == 0x1cf2 || c == 0x1cf3)
        return true;
    return (k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_MC || k == UTF8PROC_CATEGORY_ME) &&
           !is_later(c);
}

bool tp_char_is_nonspacing_mark(uint32_t c)
{
    /* These two were such marks in Unicode 8. */
    if (c == 0x1734 || c == 0x1171e)
        return true;
    return category(c) == UTF8PROC_CATEGORY_MN && !is_later(c) &&
           !is_in(later_marks, sizeof later_marks / sizeof *later_marks, c);
}

bool tp_char_is_other(uint32_t c)
{
    /* These came after Unicode 8. */
    if (c == 0x890 || c == 0x891 || c == 0x8e2 || c == 0x110cd || (c >= 0x13430 && c <= 0x1343f))
        return false;
    switch (category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
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

/* Letters with a lower case that Unicode 16 and 17 added. */
static const struct {
    uint32_t first, last;
    int32_t distance;
} lower_cases[] = {
    {0x1c89, 0x1c89, 1},      {0xa7cb, 0xa7cb, 0x264 - 0xa7cb},
    {0xa7cc, 0xa7cc, 1},      {0xa7ce, 0xa7ce, 1},
    {0xa7d2, 0xa7d2, 1},      {0xa7d4, 0xa7d4, 1},
    {0xa7da, 0xa7da, 1},      {0xa7dc, 0xa7dc, 0x19b - 0xa7dc},
    {0x10d50, 0x10d65, 0x20}, {0x16ea0, 0x16eb8, 0x1b},
};

unsigned tp_char_lower(uint32_t c, uint32_t out[2])
{
    if (c < 0x80) {
        out[0] = c >= 'A' && c <= 'Z' ? c | 0x20 : c;
        return 1;
    }
    /* The only character with a lower case of two. */
    if (c == 0x130) {
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    for (size_t i = 0; i < sizeof lower_cases / sizeof *lower_cases; i++) {
        if (c >= lower_cases[i].first && c <= lower_cases[i].last) {
            out[0] = c + (uint32_t)lower_cases[i].distance;
            return 1;
        }
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

/* Text without later characters. */
static int normalize_known(const char *text, size_t len, utf8proc_option_t options,
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

/*
 * Text that is not only ASCII, between two characters that nothing combines with. Nothing combines
 * with later characters either: they are copied.
 */
static int normalize_span(const char *text, size_t len, utf8proc_option_t options,
                          struct tp_buffer *out)
{
    const char *p = text, *end = text + len, *known = text;
    unsigned n;
    int rc = 0;

    for (; rc == 0 && p < end; p += n) {
        if (!is_later(tp_char_get(p, &n)))
            continue;
        if (p > known)
            rc = normalize_known(known, (size_t)(p - known), options, out);
        if (rc == 0)
            rc = tp_buffer_append(out, p, n);
        known = p + n;
    }
    return rc == 0 && end > known ? normalize_known(known, (size_t)(end - known), options, out)
                                  : rc;
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
