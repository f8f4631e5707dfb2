/* SPDX-License-Identifier: MIT */
/* Options of a subcommand: parsed by its table, help printed from the same table. */
#ifndef TP_CLI_OPTIONS_H
#define TP_CLI_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/command.h"

struct tp_options {
    const struct tp_command *command;
    int argc; /* after parsing: the arguments that are no options */
    char **argv;
    const char *arg; /* of the option just returned */
    int exit;        /* when parsing ended early: with this code */
    bool json, quiet;
    unsigned threads;   /* -j, or TENPAK_THREADS; 0: one for each CPU */
    bool threads_given; /* by -j */
    bool prepared;
    char short_options[64];
};

/* The next option's letter; 0 when all are read, argc and argv are then the arguments, counted
 * against the command's bounds; -1 when there is nothing more to do: return options->exit. */
int tp_options_next(struct tp_options *options);

/* Say what is wrong and how to learn more, and return TP_EXIT_USAGE. */
int tp_options_bad(const struct tp_options *options, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Whether O->arg is one of the words of OPTION; false, and the complaint is printed. */
bool tp_options_check_word(struct tp_options *o, const struct tp_option *option);
/* Whole numbers within bounds; false, and the complaint is printed. */
bool tp_options_number(struct tp_options *options, const char *what, uint64_t low, uint64_t high,
                       uint64_t *out);

/* The option that COMMAND has with this letter. */
const struct tp_option *tp_option_find(const struct tp_command *command, int letter);

void tp_options_help(const struct tp_command *command);
/* Its options, a line each, for completion: "-o\t--output\tFILE\thelp". */
void tp_options_list(const struct tp_command *command);

#endif
