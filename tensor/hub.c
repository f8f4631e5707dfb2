/* SPDX-License-Identifier: MIT */
/* Finding models in the cache of the Hugging Face hub. */
#include <config.h>

#include "tensor/hub.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"

#define FOLDER_PREFIX "models--"
#define REVISION_MAX 128

/* Letters, digits, '.', '_' and '-', and at the start no '.' or '-'. */
static bool is_part(const char *text, size_t len)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789._-";

    return len > 0 && text[0] != '.' && text[0] != '-' && strspn(text, allowed) >= len;
}

bool tp_hub_is_id(const char *text)
{
    size_t len = strcspn(text, "/");

    if (!is_part(text, len))
        return false;
    return !text[len] || (is_part(text + len + 1, strlen(text + len + 1)));
}

char *tp_hub_folder(const char *id)
{
    size_t len = strcspn(id, "/");

    return id[len] ? tp_format(FOLDER_PREFIX "%.*s--%s", (int)len, id, id + len + 1)
                   : tp_format(FOLDER_PREFIX "%s", id);
}

static const char *environment(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

char *tp_hub_directory(void)
{
    const char *hub = environment("HF_HUB_CACHE"), *home = environment("HF_HOME"),
               *cache = environment("XDG_CACHE_HOME"), *user = environment("HOME");
    const struct passwd *entry;

    if (hub)
        return strdup(hub);
    if (home)
        return tp_format("%s/hub", home);
    if (cache)
        return tp_format("%s/huggingface/hub", cache);
    if (!user && (entry = getpwuid(geteuid())))
        user = entry->pw_dir;
    return user ? tp_format("%s/.cache/huggingface/hub", user) : NULL;
}

static bool is_directory(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* The name of a revision in the file PATH; false: there is none. */
static bool read_revision(const char *path, char out[REVISION_MAX])
{
    tp_autoclose int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, out, REVISION_MAX - 1);

    if (n <= 0)
        return false;
    out[n] = '\0';
    out[strcspn(out, "\r\n")] = '\0';
    return is_part(out, strlen(out));
}

int tp_hub_snapshot(const char *folder, char **out, struct tp_error *err)
{
    const char *name = strrchr(folder, '/');
    tp_autofree char *snapshots = tp_format("%s/snapshots", folder),
                     *main_ref = tp_format("%s/refs/main", folder);
    char revision[REVISION_MAX];

    *out = NULL;
    if (!snapshots || !main_ref)
        return tp_oom(err);
    name = name ? name + 1 : folder;
    if (strncmp(name, FOLDER_PREFIX, strlen(FOLDER_PREFIX)) != 0 || !is_directory(snapshots))
        return 0;
    if (!read_revision(main_ref, revision))
        return tp_fail(err, ENOENT, "'%s' does not name a revision", main_ref);
    *out = tp_format("%s/%s", snapshots, revision);
    if (!*out)
        return tp_oom(err);
    if (is_directory(*out))
        return 0;
    tp_fail(err, ENOENT, "'%s' is not there: its download is not complete", *out);
    free(*out);
    *out = NULL;
    return -ENOENT;
}
