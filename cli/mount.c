/* SPDX-License-Identifier: MIT */
/* tenpak mount: shows a directory of models at a mount point, and continues in the background. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <syslog.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/log.h"
#include "base/size.h"
#include "cli/options.h"
#include "cli/report.h"
#include "fs/daemon.h"
#include "fs/mount.h"

/* Maximal time to wait for the end of a daemon whose starter is interrupted. */
enum { END_SECONDS = 5 };

static const struct tp_option options[] = {
    {'f', "foreground", NULL, "stay in the foreground and log to standard error"},
    {'o', "options", "OPT,...", "ro, allow_other, cache=SIZE, hot=SIZE, ...; see tenpak-mount(1)"},
    {0, NULL, NULL, NULL},
};

/* What the daemon reports to its starter, once. */
struct outcome {
    int code; /* 0: the mount answers; otherwise a negative errno */
    char message[TP_ERROR_MAX];
};

struct daemon {
    struct tp_mount_options mount;
    bool quiet, foreground;
    int pipe; /* to the parent; -1: in the foreground, or already reported */
};

static bool replace_value(const char **text, const char *value)
{
    free((char *)*text);
    *text = strdup(value);
    return *text != NULL;
}

static bool is_one_of(const char *text, const char *const *words)
{
    while (*words && strcmp(text, *words))
        words++;
    return *words != NULL;
}

/* Options of fstab and mount(8) that are meant for other programs. */
static bool is_for_others(const char *text, const char *value)
{
    static const char *const words[] = {"auto",
                                        "noauto",
                                        "user",
                                        "nouser",
                                        "users",
                                        "nousers",
                                        "owner",
                                        "noowner",
                                        "group",
                                        "nogroup",
                                        "nofail",
                                        "_netdev",
                                        "defaults",
                                        "async",
                                        "atime",
                                        "diratime",
                                        "relatime",
                                        "norelatime",
                                        "lazytime",
                                        "nolazytime",
                                        "strictatime",
                                        "nostrictatime",
                                        "silent",
                                        "loud",
                                        "mand",
                                        "nomand",
                                        "iversion",
                                        "noiversion",
                                        "default_permissions",
                                        NULL};
    return (!value && is_one_of(text, words)) || !strncasecmp(text, "x-", 2) ||
           (value && (!strcmp(text, "comment") || !strcmp(text, "user")));
}

/* Options that the kernel handles for all file systems. */
static bool is_flag(const char *text)
{
    static const char *const words[] = {"suid",       "nosuid", "dev",     "nodev",
                                        "exec",       "noexec", "noatime", "dirsync",
                                        "nodiratime", "sync",   NULL};
    return is_one_of(text, words);
}

static bool add_flag(const char **flags, const char *flag)
{
    char *all = tp_format("%s%s%s", *flags ? *flags : "", *flags ? "," : "", flag);
    if (!all)
        return false;
    free((char *)*flags);
    *flags = all;
    return true;
}

/* Read a group, given by its number or name. */
static bool read_group(struct tp_options *o, const char *value, struct tp_mount_options *mount)
{
    const struct group *group;
    char *end;
    errno = 0;
    unsigned long id = strtoul(value, &end, 10);
    mount->control_group = true;
    mount->control_gid = (gid_t)id;
    if (*value >= '0' && *value <= '9' && !*end && !errno && id < (gid_t)-1)
        return true;
    group = getgrnam(value);
    if (group)
        mount->control_gid = group->gr_gid;
    else
        tp_options_bad(o, "mount: control_gid= takes a group, and there is no '%s'", value);
    return group != NULL;
}

static bool read_control(struct tp_options *o, const char *value, struct tp_mount_options *mount)
{
    if (!strcmp(value, "yes"))
        mount->control = TP_CONTROL_HIDDEN;
    else if (!strcmp(value, "visible"))
        mount->control = TP_CONTROL_VISIBLE;
    else if (!strcmp(value, "no"))
        mount->control = TP_CONTROL_NONE;
    else
        return tp_options_bad(o, "mount: control= is yes, visible or no, not '%s'", value), false;
    return true;
}

/* Read a number as the value of the mount option NAME. */
static bool read_number(struct tp_options *o, char *value, const char *name, uint64_t max,
                        unsigned *out)
{
    const char *whole = o->arg;
    uint64_t n = 0;
    o->arg = value;
    bool good = tp_options_number(o, name, 1, max, &n);
    o->arg = whole;
    *out = good ? (unsigned)n : 0;
    return good;
}

static bool read_cache(struct tp_options *o, const char *value, struct tp_mount_options *mount)
{
    bool good = !tp_size_parse(value, &mount->cache_bytes) && mount->cache_bytes >= 1u << 20;

    if (!good)
        tp_options_bad(o, "mount: cache=SIZE is at least 1M, such as 512M or 2GiB, not '%s'",
                       value);
    return good;
}

static bool read_hot(struct tp_options *o, const char *value, struct tp_mount_options *mount)
{
    bool good = !tp_size_parse(value, &mount->hot_bytes);

    if (!good)
        tp_options_bad(o, "mount: hot=SIZE is a size, such as 8GiB, or 0, not '%s'", value);
    return good;
}

#define MEMBER(name) offsetof(struct tp_mount_options, name)

static const struct mount_word {
    const char *name;
    enum { SETS, CLEARS, COUNT, TEXT, PARSED } kind; /* the first two take no value */
    size_t member;
    unsigned max; /* of a COUNT */
    bool (*read)(struct tp_options *o, const char *value, struct tp_mount_options *mount);
} mount_words[] = {
    {"allow_other", SETS, MEMBER(allow_other), 0, NULL},
    {"debug", SETS, MEMBER(debug), 0, NULL},
    {"ro", SETS, MEMBER(read_only), 0, NULL},
    {"rw", CLEARS, MEMBER(read_only), 0, NULL},
    {"threads", COUNT, MEMBER(threads), 1024, NULL},
    {"jobs", COUNT, MEMBER(jobs), 64, NULL},
    {"hot_dir", TEXT, MEMBER(hot_dir), 0, NULL},
    {"pin", TEXT, MEMBER(pins), 0, NULL},
    {"cache", PARSED, 0, 0, read_cache},
    {"hot", PARSED, 0, 0, read_hot},
    {"control", PARSED, 0, 0, read_control},
    {"control_gid", PARSED, 0, 0, read_group},
};

static const struct mount_word *find_word(const char *text)
{
    for (size_t i = 0; i < sizeof mount_words / sizeof mount_words[0]; i++)
        if (!strcmp(mount_words[i].name, text))
            return &mount_words[i];
    return NULL;
}

static bool refuse_option(struct tp_options *o, const char *text, const char *value)
{
    const struct mount_word *word = find_word(text);

    if (!strcmp(text, "remount"))
        tp_options_bad(
            o, "mount: a mount cannot be changed: unmount it, and mount it with other options");
    else if (value && (is_flag(text) || (word && word->kind <= CLEARS)))
        tp_options_bad(o, "mount: the mount option '%s' takes no value", text);
    else if (word)
        tp_options_bad(o, "mount: the mount option '%s' needs a value, %s=...", text, text);
    else
        tp_options_bad(o, "mount: unknown mount option '%s'", text);
    return false;
}

static bool mount_option(struct tp_options *o, struct tp_mount_options *mount, char *text)
{
    char *value = strchr(text, '=');
    const struct mount_word *word;
    void *member;

    if (value)
        *value++ = '\0';
    if (is_for_others(text, value))
        return true;
    if (is_flag(text) && !value)
        return add_flag(&mount->flags, text);
    word = find_word(text);
    if (!word || (word->kind <= CLEARS) != !value || (word->kind == TEXT && !*value))
        return refuse_option(o, text, value);
    member = (char *)mount + word->member;
    switch (word->kind) {
    case SETS:
    case CLEARS:
        *(bool *)member = word->kind == SETS;
        return true;
    case COUNT:
        return read_number(o, value, word->name, word->max, member);
    case TEXT:
        return replace_value(member, value);
    default:
        return word->read(o, value, mount);
    }
}

static bool mount_options(struct tp_options *o, struct tp_mount_options *mount)
{
    char *all = strdup(o->arg), *rest = all, *one;
    bool good = all != NULL;
    while (good && (one = strsep(&rest, ",")))
        if (*one)
            good = mount_option(o, mount, one);
    free(all);
    return good;
}

static void log_to_syslog(void *arg, enum tp_log_level level, const char *line)
{
    static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
    (void)arg;
    syslog(priorities[level], "%s", line);
}

static void log_to_stderr(void *arg, enum tp_log_level level, const char *line)
{
    static const char *const words[] = {"error: ", "warning: ", "", "debug: "};
    (void)arg;
    fprintf(stderr, "tenpak: %s%s\n", words[level], line);
}

static void notify_parent(struct daemon *d, int code, const char *message)
{
    struct outcome outcome = {.code = code};
    if (d->pipe < 0)
        return;
    snprintf(outcome.message, sizeof outcome.message, "%s", message);
    /* Less than PIPE_BUF, so it is written as a whole. */
    if (write(d->pipe, &outcome, sizeof outcome) != (ssize_t)sizeof outcome)
        tp_log(TP_LOG_WARNING, "cannot tell the mount's starter: %s", strerror(errno));
    close(d->pipe);
    d->pipe = -1;
}

/*
 * Called by the mount when it answers. From here on a daemon has no terminal and no working
 * directory.
 */
static void report_ready(void *arg, const struct tp_mount_ready *status)
{
    struct daemon *d = arg;
    char text[TP_ERROR_MAX] = "";
    if (status->slow[0])
        snprintf(text, sizeof text,
                 "hint: could be faster: %s; 'tenpak doctor %s' shows what to do", status->slow,
                 tp_report_name(status->mountpoint));
    if (d->foreground) {
        /* One write, for readers that wait for the first line only. */
        if (!d->quiet)
            fprintf(stderr, "tenpak: '%s' is mounted at '%s'\n%s%s", tp_report_name(status->dir),
                    tp_report_name(status->mountpoint), text, text[0] ? "\n" : "");
        return;
    }
    tp_log_set_sink(log_to_syslog, NULL, d->mount.debug ? TP_LOG_DEBUG : TP_LOG_INFO);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; null >= 0 && fd <= 2; fd++)
        dup2(null, fd);
    if (null > 2)
        close(null);
    if (chdir("/"))
        tp_log(TP_LOG_WARNING, "cannot leave the working directory: %s", strerror(errno));
    notify_parent(d, 0, text);
}

static int serve_mount(struct daemon *d)
{
    struct tp_error err = {0};
    d->mount.ready = report_ready;
    d->mount.ready_arg = d;
    int rc = tp_mount_run(&d->mount, &err);
    if (rc && d->pipe >= 0)
        notify_parent(d, rc, err.message);
    else if (rc && d->foreground)
        return tp_report_error(&err);
    else if (rc)
        tp_log(TP_LOG_ERROR, "%s", err.message);
    return tp_report_exit(rc);
}

/*
 * What would end this process, as a file to wait for: the daemon must not be left behind. What is
 * ignored stays so.
 */
static int block_signals(void)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction was;
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (!sigaction(ends[i], NULL, &was) && was.sa_handler != SIG_IGN)
            sigaddset(&set, ends[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

/* Whether a signal came before the daemon's word. */
static bool is_interrupted(int fd, int signals)
{
    struct pollfd fds[2] = {{fd, POLLIN, 0}, {signals, POLLIN, 0}};

    while (poll(fds, 2, -1) < 0 && errno == EINTR)
        ;
    return fds[1].revents & POLLIN;
}

/*
 * The daemon, which has signals blocked from its first moment, unmounts what it has mounted, or
 * will have by then.
 */
static int interrupt_daemon(pid_t child)
{
    int process = (int)syscall(SYS_pidfd_open, child, 0);

    kill(child, SIGTERM);
    tp_daemon_wait(process, END_SECONDS);
    /* The mount was not reported: a process that uses it by now loses it. */
    if (waitpid(child, NULL, WNOHANG) == 0)
        kill(child, SIGTERM);
    fputs("tenpak: interrupted\n", stderr);
    return TP_EXIT_INTERRUPTED;
}

/* Wait for the daemon's word; when it says none, it died. */
static int await_daemon(int fd, int signals, pid_t child, const struct tp_options *o)
{
    struct outcome outcome;
    ssize_t n;
    int status = 0;
    if (is_interrupted(fd, signals))
        return interrupt_daemon(child);
    do
        n = read(fd, &outcome, sizeof outcome);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof outcome) {
        waitpid(child, &status, 0);
        fprintf(stderr, "tenpak: the mount's daemon died before it answered (%s %d)\n",
                WIFSIGNALED(status) ? "signal" : "exit",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        return TP_EXIT_FAILURE;
    }
    if (outcome.code) {
        struct tp_error err = {.code = outcome.code};
        memcpy(err.message, outcome.message, sizeof err.message);
        err.message[sizeof err.message - 1] = '\0';
        waitpid(child, NULL, 0);
        return tp_report_error(&err);
    }
    if (!o->quiet && outcome.message[0])
        fprintf(stderr, "%s\n", tp_report_name(outcome.message));
    return TP_EXIT_OK;
}

/* What the starter had open is none of the daemon's: a lock, or a pipe that someone reads to its
 * end, would be held as long as the mount lasts. KEPT and the standard streams stay, the latter
 * until the mount answers. */
static void close_inherited(int kept)
{
    if (kept > 3)
        close_range(3, (unsigned)kept - 1, 0);
    close_range((unsigned)kept + 1, ~0u, 0);
}

static int start_daemon(struct daemon *d, const struct tp_options *o)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC)) {
        fprintf(stderr, "tenpak: cannot make a pipe: %s\n", strerror(errno));
        return TP_EXIT_FAILURE;
    }
    fflush(NULL);
    int signals = block_signals();
    pid_t child = fork();
    if (child < 0) {
        fprintf(stderr, "tenpak: cannot start the daemon: %s\n", strerror(errno));
        close(signals);
        close(fds[0]);
        close(fds[1]);
        return TP_EXIT_FAILURE;
    }
    if (!child) {
        close_inherited(fds[1]);
        setsid();
        openlog("tenpak", LOG_PID, LOG_DAEMON);
        d->pipe = fds[1];
        _exit(serve_mount(d));
    }
    close(fds[1]);
    int code = await_daemon(fds[0], signals, child, o);
    close(signals);
    close(fds[0]);
    return code;
}

/* 0, or what to exit with and why. */
static int read_options(struct daemon *d, struct tp_options *o, bool *go_on)
{
    int opt;
    *go_on = false;
    while ((opt = tp_options_next(o)) > 0) {
        if (opt == 'f')
            d->foreground = true;
        else if (opt == 'o' && !mount_options(o, &d->mount))
            return TP_EXIT_USAGE;
    }
    if (opt < 0)
        return o->exit;
    if (d->mount.hot_bytes == 0 && (d->mount.hot_dir || d->mount.pins)) {
        tp_options_bad(o, "mount: %s needs hot=SIZE, too", d->mount.hot_dir ? "hot_dir=" : "pin=");
        return TP_EXIT_USAGE;
    }
    *go_on = true;
    return 0;
}

static int run_mount(struct tp_options *o)
{
    struct daemon d = {.pipe = -1};
    bool go_on;
    int code = read_options(&d, o, &go_on);
    if (go_on) {
        d.quiet = o->quiet;
        d.mount.dir = o->argv[0];
        d.mount.mountpoint = o->argv[1];
        if (!d.mount.threads)
            d.mount.threads = o->threads;
        /* A daemon's warnings before it answers go to the terminal, too. */
        tp_log_set_sink(log_to_stderr, NULL,
                        d.mount.debug && d.foreground ? TP_LOG_DEBUG
                        : d.quiet                     ? TP_LOG_ERROR
                        : d.foreground                ? TP_LOG_INFO
                                                      : TP_LOG_WARNING);
        code = d.foreground ? serve_mount(&d) : start_daemon(&d, o);
    }
    free((char *)d.mount.hot_dir);
    free((char *)d.mount.pins);
    free((char *)d.mount.flags);
    return code;
}

const struct tp_command tp_command_mount = {
    .name = "mount",
    .args = "[OPTION...] DIR MNT",
    .summary = "Show a directory of models at a mount point.",
    .about = "Packs appear as read-only model directories, decoded when they are read. Plain "
             "directories\n"
             "appear unchanged and are writable. The command returns when the mount answers;\n"
             "'tenpak umount MNT' ends the mount.",
    .examples = "  tenpak mount models /mnt/models\n"
                "  tenpak mount -o cache=4G,allow_other models /mnt/models\n"
                "  tenpak mount -f models /mnt/models        # in a container, or under systemd\n",
    .options = options,
    .with = TP_WITH_THREADS | TP_WITH_QUIET,
    .min_args = 2,
    .max_args = 2,
    .run = run_mount,
};
