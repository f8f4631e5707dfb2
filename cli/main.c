/* SPDX-License-Identifier: MIT */
/* The program: finds the command that the first words name, and runs it. */
#include <config.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/options.h"
#include "cli/report.h"
#include "control/jobs/jobs.h"

static const struct tp_command *const commands[] = {
    &tp_command_mount,   &tp_command_umount,   &tp_command_status,   &tp_command_pack,
    &tp_command_unpack,  &tp_command_estimate, &tp_command_ls,       &tp_command_info,
    &tp_command_verify,  &tp_command_eval,     &tp_command_generate, &tp_command_optimize,
    &tp_command_jobs,    &tp_command_cancel,   &tp_command_serve,    &tp_command_doctor,
    &tp_command_version, &tp_command_help,
};
#define COMMAND_N (sizeof commands / sizeof commands[0])

const struct tp_command *tp_command_at(size_t i)
{
    return i < COMMAND_N ? commands[i] : tp_aliases[i - COMMAND_N];
}

const struct tp_command *tp_command_find(const char *name)
{
    const struct tp_command *command;

    for (size_t i = 0; (command = tp_command_at(i)); i++)
        if (!strcmp(command->name, name))
            return command;
    return NULL;
}

/* Whether WORD begins commands of two words, as "delta" does. */
static bool is_group(const char *word)
{
    const struct tp_command *command;
    size_t len = strlen(word);

    for (size_t i = 0; (command = tp_command_at(i)); i++)
        if (!strncmp(command->name, word, len) && command->name[len] == ' ')
            return true;
    return false;
}

static int unknown_command(const char *name)
{
    fprintf(stderr, "tenpak: unknown command '%s'\ntry 'tenpak help'\n", tp_report_name(name));
    return TP_EXIT_USAGE;
}

static int run_command(const struct tp_command *command, int argc, char **argv)
{
    struct tp_options options = {.command = command, .argc = argc, .argv = argv};
    bool has_output = false;
    for (const struct tp_option *o = command->options; o && o->name; o++)
        has_output |= !strcmp(o->name, "output");
    tp_report_output(has_output);
    tp_report_log(false);
    return command->run(&options);
}

static int run_group(const char *group, int argc, char **argv)
{
    char name[64];
    if (argc < 2) {
        fprintf(stderr, "tenpak: '%s' needs one of its commands\ntry 'tenpak help'\n", group);
        return TP_EXIT_USAGE;
    }
    if (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help")) {
        tp_command_list(group);
        return tp_report_flush();
    }
    snprintf(name, sizeof name, "%s %.30s", group, argv[1]);
    const struct tp_command *command = tp_command_find(name);
    return command ? run_command(command, argc - 1, argv + 1) : unknown_command(name);
}

/* The process of a job, started by this program itself; not listed and not in the manual. */
static int run_job(int argc, char **argv)
{
    if (argc < 3)
        return unknown_command("job");
    return tp_job_main(argv[2], argc > 3 ? strtol(argv[3], NULL, 10) : 0);
}

static void list_names(void)
{
    const struct tp_command *command;

    for (size_t i = 0; (command = tp_command_at(i)); i++)
        printf("%s\t%s\n", command->name, command->summary);
}

/*
 * Open those of descriptors 0 to 2 that the caller has closed, with the wrong direction: files that
 * are opened later must not get messages, and writing to a closed standard output must fail.
 */
static bool open_standard_streams(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_RDONLY : O_WRONLY) != fd)
            return false;
    return true;
}

int main(int argc, char **argv)
{
    if (!open_standard_streams())
        return TP_EXIT_FAILURE;
    /* A reader that closes a pipe (head) must not kill the process during a job. */
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2) {
        fputs("usage: tenpak COMMAND [OPTION...] [ARGUMENT...]\ntry 'tenpak help'\n", stderr);
        return TP_EXIT_USAGE;
    }
    const char *word = argv[1];
    if (!strcmp(word, "-h") || !strcmp(word, "--help"))
        word = "help";
    else if (!strcmp(word, "-V") || !strcmp(word, "--version"))
        word = "version";
    else if (!strcmp(word, "--list-commands"))
        return list_names(), tp_report_flush();
    else if (!strcmp(word, "job"))
        return run_job(argc, argv);
    const struct tp_command *command = tp_command_find(word);
    if (command)
        return run_command(command, argc - 1, argv + 1);
    return is_group(word) ? run_group(word, argc - 1, argv + 1) : unknown_command(word);
}
