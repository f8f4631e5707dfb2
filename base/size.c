/* SPDX-License-Identifier: MIT */
/*
 * Numbers of bytes as people write and read them. Integers only: no size is rounded on its way in.
 */
#include <config.h>

#include "base/size.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/checked.h"

static bool unit_of(const char *text, uint64_t *out)
{
    static const char letters[] = "kmgtpe";
    if (*text == '\0' || strcasecmp(text, "b") == 0) {
        *out = 1;
        return true;
    }
    char lower = *text >= 'A' && *text <= 'Z' ? (char)(*text - 'A' + 'a') : *text;
    const char *at = strchr(letters, lower);
    if (!at)
        return false;
    unsigned power = (unsigned)(at - letters) + 1;
    bool decimal = strcasecmp(text + 1, "b") == 0;
    if (!decimal && text[1] != '\0' && strcasecmp(text + 1, "ib") != 0)
        return false;
    uint64_t unit = 1;
    for (unsigned i = 0; i < power; i++)
        unit *= decimal ? 1000 : 1024;
    *out = unit;
    return true;
}

int tp_size_parse(const char *text, uint64_t *out)
{
    const char *p = text;
    uint64_t whole = 0;
    if (*p < '0' || *p > '9')
        return -EINVAL;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (!tp_mul_u64(whole, 10, &whole) || !tp_add_u64(whole, (uint64_t)(*p - '0'), &whole))
            return -ERANGE;
    }
    const char *fraction = NULL;
    if (*p == '.') {
        fraction = ++p;
        while (*p >= '0' && *p <= '9')
            p++;
        if (p == fraction)
            return -EINVAL;
    }
    const char *fraction_end = p;
    if (*p == ' ')
        p++;
    uint64_t unit;
    if (!unit_of(p, &unit))
        return -EINVAL;

    uint64_t total;
    if (!tp_mul_u64(whole, unit, &total))
        return -ERANGE;
    /*
     * Long division in base ten, from the last digit: exact to 18 digits; further digits cannot add
     * a byte.
     */
    uint64_t part = 0;
    if (fraction) {
        if (fraction_end - fraction > 18)
            fraction_end = fraction + 18;
        unsigned __int128 scaled = 0, scale = 1;
        for (const char *d = fraction; d < fraction_end; d++) {
            scaled = scaled * 10 + (unsigned)(*d - '0');
            scale *= 10;
        }
        part = (uint64_t)(scaled * unit / scale);
    }
    if (!tp_add_u64(total, part, &total))
        return -ERANGE;
    *out = total;
    return 0;
}

char *tp_size_print(uint64_t bytes, char out[TP_SIZE_TEXT])
{
    static const char letters[] = "KMGTPE";
    if (bytes < 1024) {
        snprintf(out, TP_SIZE_TEXT, "%u B", (unsigned)bytes);
        return out;
    }
    unsigned power = 0;
    double v = (double)bytes / 1024;
    /* 1023.5 would be printed as 1024 of its unit. */
    while (v >= 1023.5 && power + 1 < sizeof letters - 1) {
        v /= 1024;
        power++;
    }
    int digits = v < 9.995 ? 2 : v < 99.95 ? 1 : 0;
    snprintf(out, TP_SIZE_TEXT, "%.*f %ciB", digits, v, letters[power]);
    return out;
}
