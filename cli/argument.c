/* SPDX-License-Identifier: MIT */
/* Finding the store, directory or pack that an argument names. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "cli/argument.h"
#include "cli/mounted_path.h"
#include "store/pack/layout.h"
#include "store/place.h"
#include "tensor/hub.h"
#include "tensor/is_model.h"

/* ARG without trailing slashes; "/" itself stays. */
static char *trim_slashes(const char *arg)
{
    size_t len = strlen(arg);
    while (len > 1 && arg[len - 1] == '/')
        len--;
    return strndup(arg, len);
}

/* "." and ".." are no names: use the path that they mean. */
static int resolve_dots(struct tp_argument *out, struct tp_error *err)
{
    const char *last = tp_path_name(out->path);
    if (strcmp(last, ".") && strcmp(last, ".."))
        return 0;
    char *full = realpath(out->path, NULL);
    if (!full)
        return tp_fail_errno(err, "cannot open '%s'", out->path);
    free(out->path);
    out->path = full;
    return 0;
}

static int leave_mount(struct tp_argument *out, struct tp_error *err)
{
    char *behind;
    int rc = tp_mounted_path_resolve(out->path, &behind, err);
    if (rc)
        return rc;
    free(out->path);
    out->path = behind;
    return 0;
}

/* A file is a pack if its name or its first bytes say so. */
static int check_pack(const char *path, struct tp_error *err)
{
    char magic[TP_PACK_MAGIC_LEN] = {0};

    if (path[tp_place_name_len(path)])
        return 0;
    tp_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return tp_fail_errno(err, "cannot open '%s'", path);
    if (pread(fd, magic, sizeof magic, 0) == (ssize_t)sizeof magic &&
        !memcmp(magic, TP_PACK_MAGIC, sizeof magic))
        return 0;
    return tp_fail(
        err, EINVAL,
        "'%s' is a single file and no pack: a model is a directory, so move it into one of its own",
        path);
}

/*
 * Whether the pack NAME.tnpk is beside the path, with status ST. Then the argument means the pack.
 */
static bool use_pack_beside(struct tp_argument *out, struct stat *st)
{
    char *pack = tp_format("%s%s", out->path, TP_PACK_SUFFIX);

    if (!pack || stat(pack, st) < 0 || !S_ISREG(st->st_mode)) {
        free(pack);
        errno = ENOENT;
        return false;
    }
    free(out->path);
    out->path = pack;
    return true;
}

static int find_argument(const char *arg, struct tp_argument *out, struct tp_error *err)
{
    struct stat st;
    if (!*arg)
        return tp_fail(err, ENOENT, "cannot open '': No such file or directory");
    out->path = trim_slashes(arg);
    if (!out->path)
        return tp_oom(err);
    int rc = resolve_dots(out, err);
    if (!rc)
        rc = leave_mount(out, err);
    if (rc)
        return rc;
    if (stat(out->path, &st) < 0 && (errno != ENOENT || !use_pack_beside(out, &st)))
        return tp_fail_errno(err, "cannot open '%s'", out->path);
    if (S_ISDIR(st.st_mode))
        out->kind = tp_modeldir_is_model(out->path) ? TP_ARGUMENT_PLAIN : TP_ARGUMENT_STORE;
    else if (S_ISREG(st.st_mode) && (rc = check_pack(out->path, err)) == 0)
        out->kind = TP_ARGUMENT_PACK;
    else if (S_ISREG(st.st_mode))
        return rc;
    else
        return tp_fail(err, EINVAL, "'%s' is neither a directory nor a regular file", out->path);
    out->parent = tp_path_parent(out->path);
    out->name = tp_path_model(out->path);
    return out->parent && out->name ? 0 : tp_oom(err);
}

int tp_argument_find(const char *arg, struct tp_argument *out, struct tp_error *err)
{
    *out = (struct tp_argument){0};
    int rc = find_argument(arg, out, err);
    /*
     * A directory that vanished while it was examined was replaced by its pack, which is the
     * result.
     */
    if (!rc && out->kind == TP_ARGUMENT_STORE && access(out->path, F_OK) < 0 && errno == ENOENT) {
        tp_argument_clear(out);
        *out = (struct tp_argument){0};
        rc = find_argument(arg, out, err);
    }
    if (rc)
        tp_argument_clear(out);
    return rc;
}

int tp_argument_find_pack(const char *arg, struct tp_argument *out, struct tp_error *err)
{
    struct stat st;
    int rc = tp_argument_find(arg, out, err);

    if (!rc && out->kind == TP_ARGUMENT_PLAIN && use_pack_beside(out, &st))
        out->kind = TP_ARGUMENT_PACK;
    return rc;
}

char *tp_argument_hub_folder(const char *arg)
{
    tp_autofree char *pack = tp_format("%s%s", arg, TP_PACK_SUFFIX);
    tp_autofree char *hub = NULL, *name = NULL;
    char *folder = NULL;

    if (!pack || access(arg, F_OK) == 0 || access(pack, F_OK) == 0 || !tp_hub_is_id(arg))
        return NULL;
    hub = tp_hub_directory();
    name = tp_hub_folder(arg);
    if (hub && name)
        folder = tp_path_join(hub, name, "");
    if (folder && access(folder, F_OK) < 0) {
        free(folder);
        folder = NULL;
    }
    return folder;
}

int tp_argument_find_model(const char *arg, struct tp_argument *out, struct tp_error *err)
{
    tp_autofree char *folder = tp_argument_hub_folder(arg);
    char *snapshot = NULL;
    int rc = tp_argument_find(folder ? folder : arg, out, err);

    if (rc == -ENOENT && strchr(arg, '/') && tp_hub_is_id(arg))
        return tp_fail(err, ENOENT, "there is no '%s' here, nor in the cache of the hub", arg);
    if (rc == 0)
        rc = tp_hub_snapshot(out->path, &snapshot, err);
    if (rc == 0 && snapshot) {
        free(out->path);
        out->path = snapshot;
        out->kind = TP_ARGUMENT_PLAIN;
    }
    if (rc == 0 && out->kind == TP_ARGUMENT_STORE)
        rc = tp_fail(err, EINVAL, "'%s' holds no model", out->path);
    if (rc < 0)
        tp_argument_clear(out);
    return rc;
}

void tp_argument_clear(struct tp_argument *out)
{
    free(out->path);
    free(out->parent);
    free(out->name);
    *out = (struct tp_argument){0};
}

int tp_argument_open(const struct tp_argument *out, struct tp_store **store, struct tp_pack **pack,
                     struct tp_error *err)
{
    *store = NULL;
    *pack = NULL;
    if (out->kind != TP_ARGUMENT_PACK)
        return tp_fail(err, EINVAL, "'%s' is a directory, not a pack", out->path);
    int rc = tp_store_open(out->parent, store, err);
    if (!rc)
        rc = tp_store_open_path(*store, out->path, pack, err);
    if (rc) {
        tp_store_close(*store);
        *store = NULL;
    }
    return rc;
}
