/* SPDX-License-Identifier: MIT */
/*
 * getopt_long by a command's table, with messages that say what to do; help and completion from the
 * same table.
 */
#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/printable.h"
#include "cli/options.h"
#include "cli/report.h"

enum { OPT_LIST = 1000, COMMON_N = 6, OPTIONS_MAX = 32, WORDS_MAX = 256 };

/* The options of getopt_long. */
static struct option table[OPTIONS_MAX];

static const struct {
    unsigned with; /* 0: every command has it */
    struct tp_option option;
} common[COMMON_N] = {
    {TP_WITH_THREADS, {'j', "threads", "N", "threads to use (default: one for each CPU)"}},
    {TP_WITH_JSON, {'J', "json", NULL, "print one JSON document instead of text"}},
    {TP_WITH_QUIET, {'q', "quiet", NULL, "print only errors"}},
    {0, {'h', "help", NULL, "show this help"}},
    {0, {OPT_LIST, "list-options", NULL, NULL}},
    {0, {0, NULL, NULL, NULL}},
};

static bool has_common(const struct tp_command *command, unsigned i)
{
    return common[i].option.name && (!common[i].with || (command->with & common[i].with));
}

/* Letters that exist on the command line; 'J' and numbers above 255 have a long name only. */
static bool has_letter(const struct tp_option *option)
{
    return option->letter < 256 && option->letter != 'J';
}

int tp_options_bad(const struct tp_options *options, const char *fmt, ...)
{
    char text[TP_ERROR_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    tp_text_make_printable(text);
    fprintf(stderr, "tenpak: %s\ntry 'tenpak %s --help'\n", text, options->command->name);
    va_end(ap);
    return TP_EXIT_USAGE;
}

static void add_option(struct tp_options *o, size_t i, const struct tp_option *option)
{
    table[i] = (struct option){option->name, option->arg ? required_argument : no_argument, NULL,
                               option->letter};
    size_t used = strlen(o->short_options);
    if (has_letter(option) && used + 3 < sizeof o->short_options)
        snprintf(o->short_options + used, sizeof o->short_options - used, "%c%s", option->letter,
                 option->arg ? ":" : "");
}

static void prepare_getopt(struct tp_options *o)
{
    const struct tp_option *own = o->command->options;
    size_t n = 0;
    memset(table, 0, sizeof table); /* an alias has used it before its target */
    while (own && own[n].name && n < OPTIONS_MAX - COMMON_N)
        n++;
    snprintf(o->short_options, sizeof o->short_options, ":");
    for (size_t i = 0; i < n; i++)
        add_option(o, i, &own[i]);
    for (unsigned i = 0; i < COMMON_N; i++)
        if (has_common(o->command, i))
            add_option(o, n++, &common[i].option);
    optind = 1;
    opterr = 0;
    o->prepared = true;
}

static int stop_parsing(struct tp_options *o, int code)
{
    o->exit = code;
    return -1;
}

/* TENPAK_THREADS stands where -j is not given. */
static bool default_threads(struct tp_options *o)
{
    const char *text = getenv("TENPAK_THREADS");
    uint64_t n;
    if (o->threads || !text || !*text || !(o->command->with & TP_WITH_THREADS))
        return true;
    o->arg = text;
    if (!tp_options_number(o, "TENPAK_THREADS", 1, 1024, &n))
        return false;
    o->threads = (unsigned)n;
    return true;
}

static int end_parsing(struct tp_options *o)
{
    o->argc -= optind;
    o->argv += optind;
    if (!default_threads(o))
        return stop_parsing(o, TP_EXIT_USAGE);
    if (o->argc < o->command->min_args)
        return stop_parsing(
            o, tp_options_bad(o, "%s: too few arguments: %s", o->command->name, o->command->args));
    if (o->argc > o->command->max_args)
        return stop_parsing(o, tp_options_bad(o, "%s: unexpected argument '%s'", o->command->name,
                                              o->argv[o->command->max_args]));
    return 0;
}

static int complain_of_option(struct tp_options *o, int opt)
{
    const char *word = o->argv[optind - 1];
    if (opt == ':')
        return tp_options_bad(o, "%s: option '%s' needs an argument", o->command->name, word);
    /*
     * For a long option getopt returns the value from the table, for a short one the unknown
     * letter.
     */
    for (const struct option *known = table; optopt && known->name; known++)
        if (known->val == optopt)
            return tp_options_bad(o, "%s: option '%.*s' takes no argument", o->command->name,
                                  (int)strcspn(word, "="), word);
    if (optopt)
        return tp_options_bad(o, "%s: unknown option '-%c'", o->command->name, optopt);
    return tp_options_bad(o, "%s: unknown or ambiguous option '%s'", o->command->name, word);
}

const struct tp_option *tp_option_find(const struct tp_command *command, int letter)
{
    const struct tp_option *option = command->options;

    while (option->letter != letter)
        option++;
    return option;
}

/* The words of an option: "a (the default), b or c" with DEFAULT_NOTED, else "a, b or c". */
static void list_words(const struct tp_option *option, bool default_noted, char *out, size_t len)
{
    size_t used = 0;

    *out = '\0';
    for (size_t i = 0; option->words[i] && used < len; i++) {
        const char *before = option->words[i + 1] ? ", " : " or ";

        used += (size_t)snprintf(out + used, len - used, "%s%s%s", i ? before : "",
                                 option->words[i], !i && default_noted ? " (the default)" : "");
    }
}

bool tp_options_check_word(struct tp_options *o, const struct tp_option *option)
{
    char words[WORDS_MAX];

    for (size_t i = 0; option->words && option->words[i]; i++)
        if (!strcmp(option->words[i], o->arg))
            return true;
    if (!option->words)
        return true;
    list_words(option, false, words, sizeof words);
    tp_options_bad(o, "%s: unknown %s '%s': use %s", o->command->name, option->name, o->arg, words);
    return false;
}

int tp_options_next(struct tp_options *o)
{
    uint64_t n;
    if (!o->prepared)
        prepare_getopt(o);
    for (;;) {
        int opt = getopt_long(o->argc, o->argv, o->short_options, table, NULL);
        o->arg = optarg;
        switch (opt) {
        case -1:
            return end_parsing(o);
        case 'h':
            tp_options_help(o->command);
            return stop_parsing(o, tp_report_flush());
        case OPT_LIST:
            tp_options_list(o->command);
            return stop_parsing(o, tp_report_flush());
        case 'J':
            o->json = true;
            break;
        case '?':
        case ':':
            return stop_parsing(o, complain_of_option(o, opt));
        default:
            if (opt == 'q' && (o->command->with & TP_WITH_QUIET)) {
                o->quiet = true;
                tp_report_log(true);
            } else if (opt == 'j' && (o->command->with & TP_WITH_THREADS)) {
                if (!tp_options_number(o, "-j", 1, 1024, &n))
                    return stop_parsing(o, TP_EXIT_USAGE);
                o->threads = (unsigned)n;
                o->threads_given = true;
            } else if (!tp_options_check_word(o, tp_option_find(o->command, opt))) {
                return stop_parsing(o, TP_EXIT_USAGE);
            } else {
                return opt;
            }
        }
    }
}

bool tp_options_number(struct tp_options *o, const char *what, uint64_t low, uint64_t high,
                       uint64_t *out)
{
    char *rest;
    errno = 0;
    *out = strtoull(o->arg, &rest, 10);
    if (errno || rest == o->arg || *rest || o->arg[0] == '-' || *out < low || *out > high) {
        tp_options_bad(o, "%s: %s is a number from %llu to %llu, not '%s'", o->command->name, what,
                       (unsigned long long)low, (unsigned long long)high, o->arg);
        return false;
    }
    return true;
}

static void print_option(const struct tp_option *option)
{
    char left[64], words[WORDS_MAX] = "";
    if (!option->help)
        return;
    int n = has_letter(option)
                ? snprintf(left, sizeof left, "-%c, --%s", option->letter, option->name)
                : snprintf(left, sizeof left, "    --%s", option->name);
    if (option->arg && n > 0 && (size_t)n < sizeof left)
        snprintf(left + n, sizeof left - (size_t)n, "=%s", option->arg);
    if (option->words)
        list_words(option, true, words, sizeof words);
    printf("  %-24s  %s%s%s\n", left, option->help, *words ? ": " : "", words);
}

void tp_options_help(const struct tp_command *command)
{
    printf("usage: tenpak %s %s\n\n%s\n", command->name, command->args, command->summary);
    if (command->about)
        printf("\n%s\n", command->about);
    puts("\noptions:");
    for (const struct tp_option *o = command->options; o && o->name; o++)
        print_option(o);
    for (unsigned i = 0; i < COMMON_N; i++)
        if (has_common(command, i))
            print_option(&common[i].option);
    if (command->examples)
        printf("\nexamples:\n%s", command->examples);
}

static void list_option(const struct tp_option *option)
{
    char letter[3] = "";
    if (!option->help)
        return;
    if (has_letter(option))
        snprintf(letter, sizeof letter, "-%c", option->letter);
    printf("%s\t--%s\t%s\t%s", letter, option->name, option->arg ? option->arg : "", option->help);
    for (size_t i = 0; option->words && option->words[i]; i++)
        printf("%c%s", i ? ' ' : '\t', option->words[i]);
    putchar('\n');
}

void tp_options_list(const struct tp_command *command)
{
    for (const struct tp_option *o = command->options; o && o->name; o++)
        list_option(o);
    for (unsigned i = 0; i < COMMON_N; i++)
        if (has_common(command, i))
            list_option(&common[i].option);
}
