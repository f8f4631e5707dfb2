/* SPDX-License-Identifier: MIT */
/* Searching the directory of a pack for copies of it. */
#include <config.h>

#include "store/pack/copies.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/dir.h"
#include "store/pack/bytes_file.h"
#include "store/pack/pack_internal.h"
#include "store/place.h"

static void add_copy(const struct tp_pack *pack, int dirfd, const char *name,
                     struct tp_mirrors *mirrors)
{
    struct tp_pack_id id;
    struct tp_bytes *bytes;

    /* Messages name the original pack, because the copy replaces it. */
    if (tp_bytes_file_open(dirfd, name, tp_pack_path(pack), O_NOFOLLOW, &bytes, NULL) < 0)
        return;
    if (tp_pack_identify_bytes(bytes, &id, NULL) == 0 &&
        memcmp(id.id, tp_pack_get_id(pack), sizeof id.id) == 0)
        tp_mirrors_add(mirrors, bytes);
    else
        tp_bytes_close(bytes);
}

void tp_copies_find(void *arg, struct tp_mirrors *mirrors)
{
    const struct tp_pack *pack = arg;
    const char *path = tp_pack_path(pack), *slash = strrchr(path, '/');
    tp_autofree char *parent =
        slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    const struct dirent *entry;
    struct tp_dir dir = {0};

    if (parent)
        tp_dir_open(&dir, AT_FDCWD, parent);
    while ((entry = tp_dir_next(&dir)))
        if (tp_place_is_pack_name(entry->d_name))
            add_copy(pack, tp_dir_fd(&dir), entry->d_name, mirrors);
    tp_dir_close(&dir);
}
