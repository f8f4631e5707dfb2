/* SPDX-License-Identifier: MIT */
/* Characters that must not be written as they are. */
#include <config.h>

#include "base/printable.h"

#include <string.h>

#include "base/lex.h"

static const struct {
    uint32_t first, last;
} unsafe[] = {
    {0x0000, 0x001f}, {0x007f, 0x009f}, {0x061c, 0x061c},
    {0x200e, 0x200f}, {0x2028, 0x202e}, {0x2066, 0x2069},
};

static uint32_t decode_utf8(const uint8_t *p, size_t len)
{
    static const uint8_t bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t code = p[0] & bits[len];

    for (size_t i = 1; i < len; i++)
        code = code << 6 | (p[i] & 0x3f);
    return code;
}

bool tp_char_is_unsafe(const uint8_t *p, const uint8_t *end, uint32_t *code, size_t *len)
{
    size_t n = tp_utf8_len(p, end);

    *len = n ? n : 1;
    *code = n ? decode_utf8(p, n) : *p;
    for (size_t i = 0; n && i < sizeof unsafe / sizeof unsafe[0]; i++)
        if (*code >= unsafe[i].first && *code <= unsafe[i].last)
            return true;
    return n == 0;
}

void tp_text_make_printable(char *text)
{
    const uint8_t *p = (const uint8_t *)text, *end = p + strlen(text);
    char *out = text;

    while (p < end) {
        uint32_t code;
        size_t n;

        if (*p >= 0x20 && *p < 0x7f) {
            *out++ = (char)*p++;
            continue;
        }
        if (tp_char_is_unsafe(p, end, &code, &n)) {
            *out++ = '?';
        } else {
            memmove(out, p, n);
            out += n;
        }
        p += n;
    }
    *out = '\0';
}
