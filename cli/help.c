/* SPDX-License-Identifier: MIT */
/* tenpak help: prints the list of commands, the exit codes, or the help of a command. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "cli/options.h"
#include "cli/report.h"

void tp_command_list(const char *group)
{
    const struct tp_command *command;

    printf("usage: tenpak %s%sCOMMAND [OPTION...] [ARGUMENT...]\n\ncommands:\n", group ? group : "",
           group ? " " : "");
    for (size_t i = 0; (command = tp_command_at(i)); i++)
        if (!group || !strncmp(command->name, group, strlen(group)))
            printf("  %-18s %s\n", command->name, command->summary);
    puts("\n'tenpak COMMAND --help' shows options and examples of a command, 'tenpak help "
         "exit-codes' the\n"
         "exit codes.");
}

static void print_exit_codes(void)
{
    puts("0    all is done\n"
         "1    a failure; standard error has the message\n"
         "2    the command line is wrong\n"
         "3    some of the arguments are done, some failed\n"
         "4    something read is damaged\n"
         "5    all is done, and nothing is as it was wanted\n"
         "11   held by another process, in use, or needed by another pack\n"
         "12   written by a newer version of the format\n"
         "14   the base that a pack needs is absent\n"
         "130  interrupted; no partial result is left\n"
         "\n"
         "Treat codes that are not listed as a failure.");
}

static int run_help(struct tp_options *o)
{
    char name[64];
    if (tp_options_next(o) < 0)
        return o->exit;
    if (!o->argc) {
        tp_command_list(NULL);
        return tp_report_flush();
    }
    if (o->argc == 1 && !strcmp(o->argv[0], "exit-codes")) {
        print_exit_codes();
        return tp_report_flush();
    }
    snprintf(name, sizeof name, "%.30s%s%.30s", o->argv[0], o->argc > 1 ? " " : "",
             o->argc > 1 ? o->argv[1] : "");
    const struct tp_command *command = tp_command_find(name);
    if (!command)
        return tp_options_bad(o, "unknown command '%s'", name);
    tp_options_help(command);
    return tp_report_flush();
}

const struct tp_command tp_command_help = {
    .name = "help",
    .args = "[COMMAND|exit-codes]",
    .summary = "Show the commands, or the help of one.",
    .examples = "  tenpak help pack\n"
                "  tenpak help exit-codes\n",
    .with = 0,
    .min_args = 0,
    .max_args = 2,
    .run = run_help,
};
