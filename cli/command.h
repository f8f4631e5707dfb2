/* SPDX-License-Identifier: MIT */
/*
 * What a subcommand is: one entry in main.c's table, one file here, and what help and completion
 * show of it.
 */
#ifndef TP_CLI_COMMAND_H
#define TP_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* Exit codes: in tenpak(1); never renumbered. Scripts treat those they do not know as a failure. */
enum tp_exit {
    TP_EXIT_OK = 0,
    TP_EXIT_FAILURE = 1,
    TP_EXIT_USAGE = 2,
    TP_EXIT_PARTIAL = 3,  /* some of the operations succeeded */
    TP_EXIT_DAMAGED = 4,  /* data that was read does not match its hashes or its format */
    TP_EXIT_NONE = 5,     /* all is done, and nothing is as it was wanted */
    TP_EXIT_BUSY = 11,    /* held by another process, or needed by another pack */
    TP_EXIT_VERSION = 12, /* written by a newer version of the format */
    TP_EXIT_BASE = 14,    /* the base that a pack needs is absent */
    TP_EXIT_INTERRUPTED = 130
};

struct tp_options;

/* An option. tp_options_next returns LETTER; a value above 255 has no short form. */
struct tp_option {
    int letter;
    const char *name;
    const char *arg;  /* name of its argument in the help; NULL: no argument */
    const char *help; /* one line */
    /*
     * Possible arguments, the default first, with a NULL at the end; NULL: any. tp_options_next
     * refuses others; help and completion list these.
     */
    const char *const *words;
};

/* Options that commands share, each if its bit is set. */
enum { TP_WITH_JSON = 1, TP_WITH_THREADS = 2, TP_WITH_QUIET = 4 };

struct tp_command {
    const char *name;                /* "pack", "delta estimate" */
    const char *args;                /* "[OPTION...] DIR/MODEL" */
    const char *summary;             /* one line, for the list of commands */
    const char *about;               /* a paragraph; may be NULL */
    const char *examples;            /* lines as they are printed */
    const struct tp_option *options; /* ends with a NULL name; NULL: no options of its own */
    unsigned with;                   /* bits: options that it shares with others */
    int min_args, max_args;
    /* Parse with tp_options_next, do the work and print. Returns the exit code. */
    int (*run)(struct tp_options *options);
};

extern const struct tp_command tp_command_mount, tp_command_umount, tp_command_status,
    tp_command_pack, tp_command_unpack, tp_command_estimate, tp_command_ls, tp_command_info,
    tp_command_verify, tp_command_eval, tp_command_generate, tp_command_optimize, tp_command_jobs,
    tp_command_cancel, tp_command_serve, tp_command_doctor, tp_command_version, tp_command_help;

/* Aliases of commands (alias.c); ends with NULL. */
extern const struct tp_command *const tp_aliases[];

/* --- main.c --- */

/* Command I in the order of the list, aliases last; NULL: there are no more. */
const struct tp_command *tp_command_at(size_t i);

/* The command with this name, or NULL; "delta" alone is not a command. */
const struct tp_command *tp_command_find(const char *name);

/* --- help.c --- */

/* Print the list of commands for `tenpak help`; with GROUP, those whose names begin with it. */
void tp_command_list(const char *group);

#endif
