/* SPDX-License-Identifier: MIT */
/*
 * Named sets of characters. Oniguruma has those of Unicode 16; the ranges below are added for a
 * PCRE2 that is older. Scripts and binary properties are those of PCRE2.
 */
#include <config.h>

#include "optimizer/tokenizer/regex_sets.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <ctype.h>
#include <errno.h>
#include <pcre2.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#define NAME_MAX_LEN 40

/* What Unicode 15, 15.1 and 16 added to Unicode 14, with the general category. */
/* clang-format off */
static const struct {
    uint32_t first, last;
    char category[3];
} added[] = {
    {0x00897, 0x00897, "Mn"}, {0x00cf3, 0x00cf3, "Mc"}, {0x00ece, 0x00ece, "Mn"},
    {0x01b4e, 0x01b4f, "Po"}, {0x01b7f, 0x01b7f, "Po"}, {0x01c89, 0x01c89, "Lu"},
    {0x01c8a, 0x01c8a, "Ll"}, {0x02427, 0x02429, "So"}, {0x02ffc, 0x02fff, "So"},
    {0x031e4, 0x031e5, "So"}, {0x031ef, 0x031ef, "So"}, {0x0a7cb, 0x0a7cc, "Lu"},
    {0x0a7cd, 0x0a7cd, "Ll"}, {0x0a7da, 0x0a7da, "Lu"}, {0x0a7db, 0x0a7db, "Ll"},
    {0x0a7dc, 0x0a7dc, "Lu"}, {0x105c0, 0x105f3, "Lo"}, {0x10d40, 0x10d49, "Nd"},
    {0x10d4a, 0x10d4d, "Lo"}, {0x10d4e, 0x10d4e, "Lm"}, {0x10d4f, 0x10d4f, "Lo"},
    {0x10d50, 0x10d65, "Lu"}, {0x10d69, 0x10d6d, "Mn"}, {0x10d6e, 0x10d6e, "Pd"},
    {0x10d6f, 0x10d6f, "Lm"}, {0x10d70, 0x10d85, "Ll"}, {0x10d8e, 0x10d8f, "Sm"},
    {0x10ec2, 0x10ec4, "Lo"}, {0x10efc, 0x10eff, "Mn"}, {0x1123f, 0x11240, "Lo"},
    {0x11241, 0x11241, "Mn"}, {0x11380, 0x11389, "Lo"}, {0x1138b, 0x1138b, "Lo"},
    {0x1138e, 0x1138e, "Lo"}, {0x11390, 0x113b5, "Lo"}, {0x113b7, 0x113b7, "Lo"},
    {0x113b8, 0x113ba, "Mc"}, {0x113bb, 0x113c0, "Mn"}, {0x113c2, 0x113c2, "Mc"},
    {0x113c5, 0x113c5, "Mc"}, {0x113c7, 0x113ca, "Mc"}, {0x113cc, 0x113cd, "Mc"},
    {0x113ce, 0x113ce, "Mn"}, {0x113cf, 0x113cf, "Mc"}, {0x113d0, 0x113d0, "Mn"},
    {0x113d1, 0x113d1, "Lo"}, {0x113d2, 0x113d2, "Mn"}, {0x113d3, 0x113d3, "Lo"},
    {0x113d4, 0x113d5, "Po"}, {0x113d7, 0x113d8, "Po"}, {0x113e1, 0x113e2, "Mn"},
    {0x116d0, 0x116e3, "Nd"}, {0x11b00, 0x11b09, "Po"}, {0x11bc0, 0x11be0, "Lo"},
    {0x11be1, 0x11be1, "Po"}, {0x11bf0, 0x11bf9, "Nd"}, {0x11f00, 0x11f01, "Mn"},
    {0x11f02, 0x11f02, "Lo"}, {0x11f03, 0x11f03, "Mc"}, {0x11f04, 0x11f10, "Lo"},
    {0x11f12, 0x11f33, "Lo"}, {0x11f34, 0x11f35, "Mc"}, {0x11f36, 0x11f3a, "Mn"},
    {0x11f3e, 0x11f3f, "Mc"}, {0x11f40, 0x11f40, "Mn"}, {0x11f41, 0x11f41, "Mc"},
    {0x11f42, 0x11f42, "Mn"}, {0x11f43, 0x11f4f, "Po"}, {0x11f50, 0x11f59, "Nd"},
    {0x11f5a, 0x11f5a, "Mn"}, {0x1342f, 0x1342f, "Lo"}, {0x13439, 0x1343f, "Cf"},
    {0x13440, 0x13440, "Mn"}, {0x13441, 0x13446, "Lo"}, {0x13447, 0x13455, "Mn"},
    {0x13460, 0x143fa, "Lo"}, {0x16100, 0x1611d, "Lo"}, {0x1611e, 0x16129, "Mn"},
    {0x1612a, 0x1612c, "Mc"}, {0x1612d, 0x1612f, "Mn"}, {0x16130, 0x16139, "Nd"},
    {0x16d40, 0x16d42, "Lm"}, {0x16d43, 0x16d6a, "Lo"}, {0x16d6b, 0x16d6c, "Lm"},
    {0x16d6d, 0x16d6f, "Po"}, {0x16d70, 0x16d79, "Nd"}, {0x18cff, 0x18cff, "Lo"},
    {0x1b132, 0x1b132, "Lo"}, {0x1b155, 0x1b155, "Lo"}, {0x1cc00, 0x1ccef, "So"},
    {0x1ccf0, 0x1ccf9, "Nd"}, {0x1cd00, 0x1ceb3, "So"}, {0x1d2c0, 0x1d2d3, "No"},
    {0x1df25, 0x1df2a, "Ll"}, {0x1e030, 0x1e06d, "Lm"}, {0x1e08f, 0x1e08f, "Mn"},
    {0x1e4d0, 0x1e4ea, "Lo"}, {0x1e4eb, 0x1e4eb, "Lm"}, {0x1e4ec, 0x1e4ef, "Mn"},
    {0x1e4f0, 0x1e4f9, "Nd"}, {0x1e5d0, 0x1e5ed, "Lo"}, {0x1e5ee, 0x1e5ef, "Mn"},
    {0x1e5f0, 0x1e5f0, "Lo"}, {0x1e5f1, 0x1e5fa, "Nd"}, {0x1e5ff, 0x1e5ff, "Po"},
    {0x1f6dc, 0x1f6dc, "So"}, {0x1f774, 0x1f776, "So"}, {0x1f77b, 0x1f77f, "So"},
    {0x1f7d9, 0x1f7d9, "So"}, {0x1f8b2, 0x1f8bb, "So"}, {0x1f8c0, 0x1f8c1, "So"},
    {0x1fa75, 0x1fa77, "So"}, {0x1fa87, 0x1fa89, "So"}, {0x1fa8f, 0x1fa8f, "So"},
    {0x1faad, 0x1faaf, "So"}, {0x1fabb, 0x1fabf, "So"}, {0x1fac6, 0x1fac6, "So"},
    {0x1face, 0x1facf, "So"}, {0x1fada, 0x1fadc, "So"}, {0x1fadf, 0x1fadf, "So"},
    {0x1fae8, 0x1fae9, "So"}, {0x1faf7, 0x1faf8, "So"}, {0x1fbcb, 0x1fbef, "So"},
    {0x2b739, 0x2b739, "Lo"}, {0x2ebf0, 0x2ee5d, "Lo"}, {0x31350, 0x323af, "Lo"},
};
/* clang-format on */

#define SPACES                                                                                     \
    "\\t-\\r "                                                                                     \
    "\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"

/* Letters by derivation, lower case and emoji of Unicode 16 that PCRE2 may not have as such. */
#define ALPHA_16                                                                                   \
    "\\x{363}-\\x{36f}\\x{897}\\x{c04}\\x{cf3}\\x{f82}-\\x{f83}\\x{1dd3}-\\x{1de6}"                \
    "\\x{10d69}\\x{10efc}\\x{11080}-\\x{11081}\\x{11241}\\x{113b8}-\\x{113c0}"                     \
    "\\x{113c2}\\x{113c5}\\x{113c7}-\\x{113ca}\\x{113cc}-\\x{113cd}\\x{11f00}-"                    \
    "\\x{11f01}\\x{11f03}\\x{11f34}-\\x{11f3a}\\x{11f3e}-\\x{11f40}\\x{1611e}-"                    \
    "\\x{1612e}\\x{1e08f}"
#define LOWER_16 "\\x{10fc}\\x{a7f2}-\\x{a7f4}\\x{ab69}\\x{1e030}-\\x{1e06d}"
#define EMOJI_16                                                                                   \
    "\\x{1f6dc}\\x{1fa75}-\\x{1fa77}\\x{1fa87}-\\x{1fa89}\\x{1fa8f}\\x{1faad}-"                    \
    "\\x{1faaf}\\x{1fabb}-\\x{1fabf}\\x{1fac6}\\x{1face}-\\x{1facf}\\x{1fada}-"                    \
    "\\x{1fadc}\\x{1fadf}\\x{1fae8}-\\x{1fae9}\\x{1faf7}-\\x{1faf8}"

/*
 * Sets by name, in lower case without blanks, '_' and '-': items of a class, and the categories
 * whose added characters belong to it, separated by blanks.
 */
static const struct {
    const char *name, *items, *categories;
} sets[] = {
    {"any", "\\x{0}-\\x{10ffff}", ""},
    {"ascii", "\\x{0}-\\x{7f}", ""},
    {"alnum", "\\p{Alphabetic}\\p{Nd}" ALPHA_16, "L Nl Nd"},
    {"alpha", "\\p{Alphabetic}" ALPHA_16, "L Nl"},
    {"alphabetic", "\\p{Alphabetic}" ALPHA_16, "L Nl"},
    {"blank", "\\p{Zs}\\t", ""},
    {"cntrl", "\\p{Cc}", ""},
    {"digit", "\\p{Nd}", "Nd"},
    {"graph", "\\p{L}\\p{M}\\p{N}\\p{P}\\p{S}\\p{Cf}\\p{Co}", "L M N P S C"},
    {"lower", "\\p{Lowercase}" LOWER_16, "Ll"},
    {"lowercase", "\\p{Lowercase}" LOWER_16, "Ll"},
    {"print", "\\p{L}\\p{M}\\p{N}\\p{P}\\p{S}\\p{Cf}\\p{Co}\\p{Zs}", "L M N P S C"},
    {"punct", "\\p{P}\\p{S}", "P S"},
    {"space", SPACES, ""},
    {"whitespace", SPACES, ""},
    {"upper", "\\p{Uppercase}", "Lu"},
    {"uppercase", "\\p{Uppercase}", "Lu"},
    {"emoji", "\\p{Emoji}" EMOJI_16, ""},
    {"word", "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}", "L Nl M Nd Pc"},
    {"xdigit", "0-9A-Fa-f", ""},
    {"han", "\\p{sc:han}\\x{2b739}\\x{2ebf0}-\\x{2ee5d}\\x{31350}-\\x{323af}", ""},
    {"hiragana", "\\p{sc:hiragana}\\x{1b132}", ""},
    {"katakana", "\\p{sc:katakana}\\x{1b155}", ""},
    {"latin", "\\p{sc:latin}\\x{a7cb}-\\x{a7cd}\\x{a7da}-\\x{a7dc}\\x{1df25}-\\x{1df2a}", ""},
    {"cyrillic", "\\p{sc:cyrillic}\\x{1c89}-\\x{1c8a}\\x{1e030}-\\x{1e06d}\\x{1e08f}", ""},
    {"arabic", "\\p{sc:arabic}\\x{897}\\x{10ec2}-\\x{10ec4}\\x{10efc}-\\x{10eff}", ""},
    {"lc", "\\p{L&}", "Lu Ll Lt"},
    {"casedletter", "\\p{L&}", "Lu Ll Lt"},
};

/* General categories: two letters or one, and the long name. */
static const struct {
    const char *category, *name;
} categories[] = {
    {"L", "letter"},
    {"Lu", "uppercaseletter"},
    {"Ll", "lowercaseletter"},
    {"Lt", "titlecaseletter"},
    {"Lm", "modifierletter"},
    {"Lo", "otherletter"},
    {"M", "mark"},
    {"Mn", "nonspacingmark"},
    {"Mc", "spacingmark"},
    {"Me", "enclosingmark"},
    {"N", "number"},
    {"Nd", "decimalnumber"},
    {"Nl", "letternumber"},
    {"No", "othernumber"},
    {"P", "punctuation"},
    {"Pc", "connectorpunctuation"},
    {"Pd", "dashpunctuation"},
    {"Ps", "openpunctuation"},
    {"Pe", "closepunctuation"},
    {"Pi", "initialpunctuation"},
    {"Pf", "finalpunctuation"},
    {"Po", "otherpunctuation"},
    {"S", "symbol"},
    {"Sm", "mathsymbol"},
    {"Sc", "currencysymbol"},
    {"Sk", "modifiersymbol"},
    {"So", "othersymbol"},
    {"Z", "separator"},
    {"Zs", "spaceseparator"},
    {"Zl", "lineseparator"},
    {"Zp", "paragraphseparator"},
    {"Cc", "control"},
    {"Cf", "format"},
    {"Co", "privateuse"},
};

static int put(struct tp_buffer *out, const char *text)
{
    return tp_buffer_append(out, text, strlen(text));
}

static bool is_old_pcre2(void)
{
    char version[32] = "";

    pcre2_config(PCRE2_CONFIG_UNICODE_VERSION, version);
    return strncmp(version, "14.", 3) == 0;
}

/* Whether CATEGORY, as "Lu", is in LIST, as "L Nd": by its first letter or both. */
static bool is_in(const char *category, const char *list)
{
    for (const char *at = list; *at; at += strcspn(at, " "), at += *at == ' ') {
        size_t len = strcspn(at, " ");

        if (strncmp(category, at, len) == 0)
            return true;
    }
    return false;
}

static int put_added(struct tp_buffer *out, const char *list)
{
    int rc = 0;

    if (!is_old_pcre2())
        return 0;
    for (size_t i = 0; i < sizeof added / sizeof *added && rc == 0; i++)
        if (is_in(added[i].category, list))
            rc = tp_buffer_appendf(out, "\\x{%x}-\\x{%x}", added[i].first, added[i].last);
    return rc;
}

/* Whether PCRE2 knows the property. */
static bool is_known(const char *property)
{
    PCRE2_SIZE at;
    int code;
    pcre2_code *pattern = pcre2_compile((PCRE2_SPTR)property, PCRE2_ZERO_TERMINATED,
                                        PCRE2_UTF | PCRE2_UCP, &code, &at, NULL);

    pcre2_code_free(pattern);
    return pattern != NULL;
}

/* A script, or a binary property: \p{Han} of Oniguruma is not extended to shared characters. */
static int put_property(const char *name, struct tp_buffer *items)
{
    struct tp_buffer property = {0};
    int rc = tp_buffer_appendf(&property, "\\p{sc:%s}", name);

    if (rc == 0 && !is_known((const char *)property.data)) {
        property.len = 0;
        rc = tp_buffer_appendf(&property, "\\p{%s}", name);
        if (rc == 0 && !is_known((const char *)property.data))
            rc = -ENOENT;
    }
    if (rc == 0)
        rc = tp_buffer_append(items, property.data, property.len);
    tp_buffer_clear(&property);
    return rc;
}

int tp_regex_set(const char *name, size_t len, struct tp_buffer *items)
{
    char word[NAME_MAX_LEN + 1];
    size_t n = 0;
    int rc;

    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];

        if (c == ' ' || c == '_' || c == '-')
            continue;
        if (!isalnum(c) || c > 0x7f || n == NAME_MAX_LEN)
            return -ENOENT;
        word[n++] = (char)tolower(c);
    }
    word[n] = 0;
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        if (strcmp(word, sets[i].name) != 0)
            continue;
        rc = put(items, sets[i].items);
        return rc < 0 ? rc : put_added(items, sets[i].categories);
    }
    for (size_t i = 0; i < sizeof categories / sizeof *categories; i++) {
        if (strcasecmp(word, categories[i].category) != 0 && strcmp(word, categories[i].name) != 0)
            continue;
        rc = tp_buffer_appendf(items, "\\p{%s}", categories[i].category);
        return rc < 0 ? rc : put_added(items, categories[i].category);
    }
    /* Unassigned characters are what the added ones are not: not offered. */
    if (n == 0 || strcmp(word, "c") == 0 || strcmp(word, "cn") == 0)
        return -ENOENT;
    return put_property(word, items);
}

int tp_regex_escape_set(char letter, bool in_class, struct tp_buffer *items)
{
    const char *name = letter == 'd'   ? "digit"
                       : letter == 'w' ? "word"
                       : letter == 's' ? "space"
                                       : "xdigit";

    int rc = tp_regex_set(name, strlen(name), items);

    /* Superscripts and fractions of Latin-1 are parts of a word for \w alone. */
    if (rc == 0 && letter == 'w' && !in_class)
        rc = put(items, "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}");
    return rc;
}
