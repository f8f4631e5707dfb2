/* SPDX-License-Identifier: MIT */
/*
 * JSON, token by token. The grammar is a state for what may come next, and a bit for the kind of
 * each level.
 */
#include <config.h>

#include "base/lex.h"

#include <string.h>

#include "base/checked.h"

enum state {
    WANT_VALUE,        /* after ':' , at the beginning, after ',' in an array */
    WANT_VALUE_OR_END, /* after '[' */
    WANT_KEY,          /* after ',' in an object */
    WANT_KEY_OR_END,   /* after '{' */
    WANT_COLON,
    WANT_COMMA_OR_END,
    WANT_NOTHING,
    FAILED
};

void tp_lex_init(struct tp_lex *lex, const void *data, size_t len)
{
    *lex = (struct tp_lex){.data = data, .len = len, .state = WANT_VALUE};
}

static enum tp_lex_token lex_error(struct tp_lex *lex, const char *why)
{
    lex->why = why;
    lex->state = FAILED;
    return TP_LEX_ERROR;
}

size_t tp_utf8_len(const uint8_t *p, const uint8_t *end)
{
    size_t left = (size_t)(end - p);
    if (left == 0)
        return 0;
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        return left >= 2 && (p[1] & 0xc0) == 0x80 ? 2 : 0;
    if ((p[0] & 0xf0) == 0xe0) {
        if (left < 3 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80)
            return 0;
        /* No overlong form, no surrogate. */
        if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f))
            return 0;
        return 3;
    }
    if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        if (left < 4 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80 || (p[3] & 0xc0) != 0x80)
            return 0;
        if ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
            return 0;
        return 4;
    }
    return 0;
}

static int parse_hex4(const uint8_t *p)
{
    int v = 0;
    for (int i = 0; i < 4; i++) {
        int d;
        if (p[i] >= '0' && p[i] <= '9')
            d = p[i] - '0';
        else if (p[i] >= 'a' && p[i] <= 'f')
            d = p[i] - 'a' + 10;
        else if (p[i] >= 'A' && p[i] <= 'F')
            d = p[i] - 'A' + 10;
        else
            return -1;
        v = v * 16 + d;
    }
    return v;
}

/*
 * Check the escape at P (a backslash) and return its length; 0, with WHY set, when it is not valid.
 */
static size_t escape_len(const uint8_t *p, const uint8_t *end, const char **why)
{
    *why = "bad escape in a string";
    if (end - p < 2)
        return 0;
    if (p[1] != 'u')
        return p[1] && strchr("\"\\/bfnrt", p[1]) ? 2 : 0;
    int hi = end - p >= 6 ? parse_hex4(p + 2) : -1;
    if (hi < 0)
        return 0;
    *why = "lone surrogate in a string";
    if (hi >= 0xdc00 && hi <= 0xdfff)
        return 0;
    if (hi < 0xd800 || hi > 0xdbff)
        return 6;
    int lo = end - p >= 12 && p[6] == '\\' && p[7] == 'u' ? parse_hex4(p + 8) : -1;
    return lo >= 0xdc00 && lo <= 0xdfff ? 12 : 0;
}

/* pos is after the opening quote; leaves it after the closing one. */
static enum tp_lex_token lex_string(struct tp_lex *lex, enum tp_lex_token token)
{
    const uint8_t *end = lex->data + lex->len;
    const uint8_t *start = lex->data + lex->pos, *p = start;
    lex->escaped = false;
    while (p < end && *p != '"') {
        size_t n = 1;
        const char *why = "control character in a string";
        if (*p == '\\') {
            n = escape_len(p, end, &why);
            lex->escaped = true;
        } else if (*p < 0x20) {
            n = 0;
        } else if (*p >= 0x80) {
            n = tp_utf8_len(p, end);
            why = "invalid UTF-8 in a string";
        }
        if (n == 0) {
            lex->pos = (size_t)(p - lex->data);
            return lex_error(lex, why);
        }
        p += n;
    }
    if (p == end) {
        lex->pos = lex->len;
        return lex_error(lex, "string without an end");
    }
    lex->text = start;
    lex->text_len = (size_t)(p - start);
    lex->pos = (size_t)(p - lex->data) + 1;
    return token;
}

static size_t count_digits(const struct tp_lex *lex, size_t at)
{
    size_t n = 0;
    while (at + n < lex->len && lex->data[at + n] >= '0' && lex->data[at + n] <= '9')
        n++;
    return n;
}

static enum tp_lex_token lex_number(struct tp_lex *lex)
{
    size_t start = lex->pos, at = start;
    if (lex->data[at] == '-')
        at++;
    size_t n = count_digits(lex, at);
    if (n == 0 || (n > 1 && lex->data[at] == '0'))
        return lex_error(lex, "malformed number");
    at += n;
    if (at < lex->len && lex->data[at] == '.') {
        n = count_digits(lex, at + 1);
        if (n == 0)
            return lex_error(lex, "malformed number");
        at += 1 + n;
    }
    if (at < lex->len && (lex->data[at] == 'e' || lex->data[at] == 'E')) {
        at++;
        if (at < lex->len && (lex->data[at] == '+' || lex->data[at] == '-'))
            at++;
        n = count_digits(lex, at);
        if (n == 0)
            return lex_error(lex, "malformed number");
        at += n;
    }
    lex->text = lex->data + start;
    lex->text_len = at - start;
    lex->pos = at;
    return TP_LEX_NUMBER;
}

static enum tp_lex_token lex_word(struct tp_lex *lex, const char *word, enum tp_lex_token token)
{
    size_t n = strlen(word);
    if (lex->len - lex->pos < n || memcmp(lex->data + lex->pos, word, n) != 0)
        return lex_error(lex, "unknown word");
    lex->pos += n;
    return token;
}

static bool is_object(const struct tp_lex *lex)
{
    return lex->in_object >> (lex->depth - 1) & 1;
}

static enum tp_lex_token open_level(struct tp_lex *lex, bool object)
{
    if (lex->depth == TP_LEX_DEPTH_MAX)
        return lex_error(lex, "nested too deeply");
    uint64_t bit = (uint64_t)1 << lex->depth;
    lex->in_object = object ? lex->in_object | bit : lex->in_object & ~bit;
    lex->depth++;
    lex->pos++;
    lex->state = object ? WANT_KEY_OR_END : WANT_VALUE_OR_END;
    return object ? TP_LEX_OBJECT : TP_LEX_ARRAY;
}

static enum tp_lex_token close_level(struct tp_lex *lex)
{
    enum tp_lex_token token = is_object(lex) ? TP_LEX_OBJECT_END : TP_LEX_ARRAY_END;
    lex->depth--;
    lex->pos++;
    lex->state = lex->depth ? WANT_COMMA_OR_END : WANT_NOTHING;
    return token;
}

static enum tp_lex_token lex_value(struct tp_lex *lex, uint8_t c)
{
    enum tp_lex_token token;
    switch (c) {
    case '{':
        return open_level(lex, true);
    case '[':
        return open_level(lex, false);
    case '"':
        lex->pos++;
        token = lex_string(lex, TP_LEX_STRING);
        break;
    case 't':
        token = lex_word(lex, "true", TP_LEX_TRUE);
        break;
    case 'f':
        token = lex_word(lex, "false", TP_LEX_FALSE);
        break;
    case 'n':
        token = lex_word(lex, "null", TP_LEX_NULL);
        break;
    default:
        if (c != '-' && (c < '0' || c > '9'))
            return lex_error(lex, "a value is missing");
        token = lex_number(lex);
    }
    if (token != TP_LEX_ERROR)
        lex->state = lex->depth ? WANT_COMMA_OR_END : WANT_NOTHING;
    return token;
}

static enum tp_lex_token lex_key(struct tp_lex *lex, uint8_t c)
{
    if (c != '"')
        return lex_error(lex, "a key is missing");
    lex->pos++;
    enum tp_lex_token token = lex_string(lex, TP_LEX_KEY);
    if (token == TP_LEX_KEY)
        lex->state = WANT_COLON;
    return token;
}

enum tp_lex_token tp_lex_next(struct tp_lex *lex)
{
    if (lex->state == FAILED)
        return TP_LEX_ERROR;
    for (;;) {
        while (lex->pos < lex->len && (lex->data[lex->pos] == ' ' || lex->data[lex->pos] == '\n' ||
                                       lex->data[lex->pos] == '\r' || lex->data[lex->pos] == '\t'))
            lex->pos++;
        if (lex->pos == lex->len)
            return lex->state == WANT_NOTHING ? TP_LEX_END
                                              : lex_error(lex, "the text ends too soon");

        uint8_t c = lex->data[lex->pos];
        switch (lex->state) {
        case WANT_VALUE_OR_END:
            return c == ']' ? close_level(lex) : lex_value(lex, c);
        case WANT_VALUE:
            return lex_value(lex, c);
        case WANT_KEY_OR_END:
            return c == '}' ? close_level(lex) : lex_key(lex, c);
        case WANT_KEY:
            return lex_key(lex, c);
        case WANT_COLON:
            if (c != ':')
                return lex_error(lex, "a colon is missing");
            lex->pos++;
            lex->state = WANT_VALUE;
            break;
        case WANT_COMMA_OR_END:
            if (c == (is_object(lex) ? '}' : ']'))
                return close_level(lex);
            if (c != ',')
                return lex_error(lex, "a comma is missing");
            lex->pos++;
            lex->state = is_object(lex) ? WANT_KEY : WANT_VALUE;
            break;
        default:
            return lex_error(lex, "more than one value");
        }
    }
}

static size_t put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

size_t tp_lex_unescape(const struct tp_lex *lex, char *out)
{
    static const char names[] = "bfnrt", bytes[] = "\b\f\n\r\t";
    const uint8_t *p = lex->text, *end = p + lex->text_len;
    size_t n = 0;
    while (p < end) {
        const uint8_t *next = memchr(p, '\\', (size_t)(end - p));
        size_t plain = next ? (size_t)(next - p) : (size_t)(end - p);
        memcpy(out + n, p, plain);
        n += plain;
        p += plain;
        if (!next)
            break;
        if (p[1] != 'u') {
            const char *at = strchr(names, p[1]);
            out[n++] = at ? bytes[at - names] : (char)p[1];
            p += 2;
            continue;
        }
        uint32_t c = (uint32_t)parse_hex4(p + 2);
        p += 6;
        if (c >= 0xd800 && c <= 0xdbff) {
            c = 0x10000 + ((c - 0xd800) << 10) + ((uint32_t)parse_hex4(p + 2) - 0xdc00);
            p += 6;
        }
        n += put_utf8(out + n, c);
    }
    return n;
}

bool tp_lex_u64(const struct tp_lex *lex, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < lex->text_len; i++) {
        uint8_t c = lex->text[i];
        if (c < '0' || c > '9')
            return false;
        if (!tp_mul_u64(v, 10, &v) || !tp_add_u64(v, c - '0', &v))
            return false;
    }
    *out = v;
    return lex->text_len > 0;
}
