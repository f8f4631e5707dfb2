/* SPDX-License-Identifier: MIT */
/*
 * Reading what is stored from the pack's own file or, where that is damaged, from another one of
 * the same id.
 */
#include <config.h>

#include "store/pack/copies.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "store/catalog.h"
#include "store/pack/pack_internal.h"

/* Seconds until the directory is looked through again: a copy may have come. */
enum { AGAIN = 5 };

void tp_copies_init(struct tp_copies *copies)
{
    pthread_mutex_init(&copies->lock, NULL);
}

void tp_copies_clear(struct tp_copies *copies)
{
    for (unsigned i = 0; i < copies->n; i++)
        close(copies->list[i].fd);
    pthread_mutex_destroy(&copies->lock);
}

static bool is_known(const struct tp_copies *copies, const struct stat *st)
{
    for (unsigned i = 0; i < copies->n; i++)
        if (copies->list[i].dev == st->st_dev && copies->list[i].ino == st->st_ino)
            return true;
    return false;
}

/* Keep the file PATH open when it is another one with the id of PACK. */
static void consider(struct tp_pack *pack, struct tp_copies *copies, const char *path)
{
    struct tp_pack_id id;
    struct stat own, st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);

    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && fstat(tp_pack_fd(pack), &own) == 0 &&
        (st.st_dev != own.st_dev || st.st_ino != own.st_ino) && !is_known(copies, &st) &&
        (uint64_t)st.st_size == tp_pack_stored_bytes(pack) &&
        tp_pack_identify(path, &id, NULL) == 0 &&
        memcmp(id.id, tp_pack_get_id(pack), sizeof id.id) == 0)
        copies->list[copies->n++] = (struct tp_copy){fd, st.st_dev, st.st_ino};
    else
        close(fd);
}

/* Under the copies' lock. */
static void look(struct tp_pack *pack, struct tp_copies *copies)
{
    const char *path = tp_pack_path(pack), *slash = strrchr(path, '/');
    char *parent = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    DIR *dir = parent ? opendir(parent) : NULL;
    const struct dirent *entry;

    while (dir && copies->n < TP_COPIES_MAX && (entry = readdir(dir))) {
        char *other = NULL;
        if (tp_catalog_is_pack(entry->d_name) &&
            asprintf(&other, "%s/%s", parent, entry->d_name) >= 0) {
            consider(pack, copies, other);
            free(other);
        }
    }
    if (dir)
        closedir(dir);
    free(parent);
}

/* The copies from number FROM on, as far as they are known; the directory is looked through when
 * none is left and that was not done lately. They stay open as long as the pack. */
static unsigned more(struct tp_pack *pack, struct tp_copies *copies, unsigned from)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    pthread_mutex_lock(&copies->lock);
    if (copies->n == from && (!copies->looked || now.tv_sec - copies->looked_at.tv_sec >= AGAIN)) {
        look(pack, copies);
        copies->looked = true;
        copies->looked_at = now;
    }
    unsigned n = copies->n;
    pthread_mutex_unlock(&copies->lock);
    return n;
}

/* An operator is to mend or remove the damaged one while the other is whole. */
static void tell(struct tp_pack *pack, struct tp_copies *copies, uint64_t off)
{
    pthread_mutex_lock(&copies->lock);
    bool told = copies->told;
    copies->told = true;
    pthread_mutex_unlock(&copies->lock);
    if (!told)
        tp_log(TP_LOG_WARNING,
               "'%s' is damaged at offset %llu: what it has lost is read from a copy beside it",
               tp_pack_path(pack), (unsigned long long)off);
}

int tp_copies_read(struct tp_pack *pack, void *dst, size_t len, uint64_t off, uint64_t hash,
                   bool others, struct tp_error *err)
{
    struct tp_copies *copies = tp_pack_copies(pack);
    int rc = tp_file_pread(tp_pack_fd(pack), dst, len, off, tp_pack_path(pack), err);

    if (rc == 0 && tp_xxh3(dst, len) == hash)
        return 0;
    if (rc == 0)
        rc = 1;
    if (!others || rc == -ENOMEM)
        return rc;
    for (unsigned i = 0; i < more(pack, copies, i); i++)
        if (tp_file_pread(copies->list[i].fd, dst, len, off, tp_pack_path(pack), NULL) == 0 &&
            tp_xxh3(dst, len) == hash) {
            tell(pack, copies, off);
            return 0;
        }
    return rc;
}
