/* SPDX-License-Identifier: MIT */
/* A stalled download, or a training between two checkpoints, changes no file for hours. */
#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/file.h"
#include "base/json.h"
#include "control/jobs/unfinished.h"
#include "store/names.h"
#include "store/original/leases.h"

#define STATE_MAX                                                                                  \
    ((size_t)64 << 20) /* of trainer_state.json: it has an entry for each logged step */

static bool has_suffix(const char *name, const char *suffix)
{
    size_t len = strlen(name), suffix_len = strlen(suffix);

    return len > suffix_len && strcmp(name + len - suffix_len, suffix) == 0;
}

/* Whether a program holds a lock on the file, by flock(2) or fcntl(2). */
static bool is_locked(int fd)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if (fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK)
        return true;
    if (flock(fd, LOCK_SH | LOCK_NB) < 0)
        return errno == EWOULDBLOCK;
    flock(fd, LOCK_UN);
    return false;
}

static bool is_busy_file(const char *path, const char *shown, char *why, size_t size)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    bool busy = false;

    if (fd < 0)
        return false;
    if (has_suffix(path, ".lock") && is_locked(fd))
        busy = snprintf(why, size, "'%s' is locked", shown) > 0;
    else if (tp_lease_probe(fd) == -EAGAIN)
        busy = snprintf(why, size, "'%s' is open for writing", shown) > 0;
    close(fd);
    return busy;
}

/* The number of "checkpoint-NUMBER", or -1. */
static long checkpoint_number(const char *name)
{
    static const char prefix[] = "checkpoint-";
    char *end;
    long number;

    if (strncmp(name, prefix, sizeof prefix - 1) != 0 ||
        !isdigit((unsigned char)name[sizeof prefix - 1]))
        return -1;
    number = strtol(name + sizeof prefix - 1, &end, 10);
    return *end ? -1 : number;
}

/* The state of a trainer holds the number of steps that are done, and of all steps. */
static bool has_reached_its_end(const char *checkpoint)
{
    struct tp_buffer text = {0};
    struct tp_json *json = NULL;
    uint64_t step, last;
    char *path;
    bool ended;

    if (asprintf(&path, "%s/trainer_state.json", checkpoint) < 0)
        return false;
    ended = tp_file_read_all(AT_FDCWD, path, STATE_MAX, &text, NULL) == 0 &&
            tp_json_parse(text.data, text.len, &json, NULL) == 0 &&
            tp_json_u64(tp_json_get(json, "global_step"), &step) &&
            tp_json_u64(tp_json_get(json, "max_steps"), &last) && step >= last;
    tp_json_free(json);
    tp_buffer_clear(&text);
    free(path);
    return ended;
}

/* A training adds and removes checkpoints in its directory until it ends. */
static bool is_in_training(const char *path, long latest, char *why, size_t size)
{
    char *checkpoint;
    bool in_training;

    if (latest < 0 || asprintf(&checkpoint, "%s/checkpoint-%ld", path, latest) < 0)
        return false;
    in_training = !has_reached_its_end(checkpoint);
    free(checkpoint);
    if (in_training)
        snprintf(why, size,
                 "'checkpoint-%ld' does not state that the training has reached its last step",
                 latest);
    return in_training;
}

static bool is_busy_directory(const char *path, char *why, size_t size)
{
    char *const paths[] = {(char *)path, NULL};
    FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    bool busy = false;
    long latest = -1;
    FTSENT *e;

    while (walk && !busy && (e = fts_read(walk))) {
        const char *shown = e->fts_path + strlen(path) + (e->fts_level > 0);

        if (e->fts_info == FTS_D && e->fts_level == 1 && checkpoint_number(e->fts_name) > latest)
            latest = checkpoint_number(e->fts_name);
        if (e->fts_info == FTS_F && tp_is_partial(e->fts_name))
            busy = snprintf(why, size, "'%s' has the name of an incomplete file", shown) > 0;
        else if (e->fts_info == FTS_F)
            busy = is_busy_file(e->fts_path, shown, why, size);
    }
    if (walk)
        fts_close(walk);
    return busy || is_in_training(path, latest, why, size);
}

/* A download into the hub's cache holds a lock in DIR/.locks/NAME. */
static bool is_locked_beside(const char *dir, const char *name, char *why, size_t size)
{
    const struct dirent *entry;
    struct tp_dir locks;
    bool busy = false;
    char *path;

    if (asprintf(&path, "%s/.locks/%s", dir, name) < 0)
        return false;
    tp_dir_open(&locks, AT_FDCWD, path);
    while (!busy && (entry = tp_dir_next(&locks))) {
        int fd = has_suffix(entry->d_name, ".lock")
                     ? openat(tp_dir_fd(&locks), entry->d_name,
                              O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
                     : -1;

        busy = fd >= 0 && is_locked(fd);
        if (busy)
            snprintf(why, size, "'.locks/%s/%s' is locked", name, entry->d_name);
        if (fd >= 0)
            close(fd);
    }
    tp_dir_close(&locks);
    free(path);
    return busy;
}

bool tp_is_unfinished(const char *dir, const char *name, char *why, size_t size)
{
    bool unfinished = is_locked_beside(dir, name, why, size);
    char *path;

    if (unfinished || asprintf(&path, "%s/%s", dir, name) < 0)
        return unfinished;
    unfinished = is_busy_directory(path, why, size);
    free(path);
    return unfinished;
}
