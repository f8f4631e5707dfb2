/* SPDX-License-Identifier: MIT */
/* From an argument to the store, directory or pack that it names. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/mounted_path.h"
#include "cli/place.h"
#include "store/names.h"
#include "store/pack/layout.h"
#include "tensor/modeldir.h"
#include "tensor/is_model.h"

/* ARG without the slashes that end it, but "/" itself stays. */
static char *trim_slashes(const char *arg)
{
    size_t len = strlen(arg);
    while (len > 1 && arg[len - 1] == '/')
        len--;
    return strndup(arg, len);
}

/* "." and ".." say no name: take the path that they mean. */
static int resolve_dots(struct tp_place *place, struct tp_error *err)
{
    const char *last = tp_path_name(place->path);
    if (strcmp(last, ".") && strcmp(last, ".."))
        return 0;
    char *full = realpath(place->path, NULL);
    if (!full)
        return tp_fail_errno(err, "cannot open '%s'", place->path);
    free(place->path);
    place->path = full;
    return 0;
}

static int leave_mount(struct tp_place *place, struct tp_error *err)
{
    char *behind;
    int rc = tp_mounted_path_resolve(place->path, &behind, err);
    if (rc)
        return rc;
    free(place->path);
    place->path = behind;
    return 0;
}

/* A file is a pack, by its name or its first bytes. */
static int check_pack(const char *path, struct tp_error *err)
{
    char magic[TP_PACK_MAGIC_LEN] = {0};
    size_t len = strlen(path), suffix = strlen(TP_PACK_SUFFIX);
    int fd;
    if (len > suffix && !strcmp(path + len - suffix, TP_PACK_SUFFIX))
        return 0;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return tp_fail_errno(err, "cannot open '%s'", path);
    bool is = pread(fd, magic, sizeof magic, 0) == (ssize_t)sizeof magic &&
              !memcmp(magic, TP_PACK_MAGIC, sizeof magic);
    close(fd);
    if (is)
        return 0;
    return tp_fail(
        err, EINVAL,
        "'%s' is a single file and no pack: a model is a directory, so move it into one of its own",
        path);
}

static int find_place(const char *arg, struct tp_place *place, struct tp_error *err)
{
    struct stat st;
    if (!*arg)
        return tp_fail(err, ENOENT, "cannot open '': No such file or directory");
    place->path = trim_slashes(arg);
    if (!place->path)
        return tp_oom(err);
    int rc = resolve_dots(place, err);
    if (!rc)
        rc = leave_mount(place, err);
    if (rc)
        return rc;
    if (stat(place->path, &st) < 0 && errno == ENOENT) {
        char *pack;
        if (asprintf(&pack, "%s%s", place->path, TP_PACK_SUFFIX) < 0)
            return tp_oom(err);
        rc = stat(pack, &st);
        if (rc)
            rc = tp_fail_errno(err, "cannot open '%s'", place->path);
        else
            free(place->path);
        if (rc) {
            free(pack);
            return rc;
        }
        place->path = pack;
    } else if (stat(place->path, &st) < 0) {
        return tp_fail_errno(err, "cannot open '%s'", place->path);
    }
    if (S_ISDIR(st.st_mode))
        place->kind = tp_modeldir_is_model(place->path) ? TP_PLACE_PLAIN : TP_PLACE_STORE;
    else if (S_ISREG(st.st_mode) && (rc = check_pack(place->path, err)) == 0)
        place->kind = TP_PLACE_PACK;
    else if (S_ISREG(st.st_mode))
        return rc;
    else
        return tp_fail(err, EINVAL, "'%s' is neither a directory nor a regular file", place->path);
    place->parent = tp_path_parent(place->path);
    place->name = tp_path_model(place->path);
    return place->parent && place->name ? 0 : tp_oom(err);
}

int tp_place_find(const char *arg, struct tp_place *out, struct tp_error *err)
{
    *out = (struct tp_place){0};
    int rc = find_place(arg, out, err);
    /* A directory that vanished while it was examined was replaced by its pack: that is the answer.
     */
    if (!rc && out->kind == TP_PLACE_STORE && access(out->path, F_OK) < 0 && errno == ENOENT) {
        tp_place_clear(out);
        *out = (struct tp_place){0};
        rc = find_place(arg, out, err);
    }
    if (rc)
        tp_place_clear(out);
    return rc;
}

int tp_place_find_pack(const char *arg, struct tp_place *out, struct tp_error *err)
{
    struct stat st;
    char *pack;
    int rc = tp_place_find(arg, out, err);
    if (rc || out->kind != TP_PLACE_PLAIN)
        return rc;
    if (asprintf(&pack, "%s%s", out->path, TP_PACK_SUFFIX) < 0) {
        tp_place_clear(out);
        return tp_oom(err);
    }
    if (stat(pack, &st) == 0 && S_ISREG(st.st_mode)) {
        free(out->path);
        out->path = pack;
        out->kind = TP_PLACE_PACK;
    } else {
        free(pack);
    }
    return 0;
}

void tp_place_clear(struct tp_place *place)
{
    free(place->path);
    free(place->parent);
    free(place->name);
    *place = (struct tp_place){0};
}

int tp_place_open(const struct tp_place *place, struct tp_store **store, struct tp_pack **pack,
                  struct tp_error *err)
{
    *store = NULL;
    *pack = NULL;
    if (place->kind != TP_PLACE_PACK)
        return tp_fail(err, EINVAL, "'%s' is a directory, not a pack", place->path);
    int rc = tp_store_open(place->parent, store, err);
    if (!rc)
        rc = tp_store_open_path(*store, place->path, pack, err);
    if (rc) {
        if (*store)
            tp_store_close(*store);
        *store = NULL;
    }
    return rc;
}
