/* SPDX-License-Identifier: MIT */
/* Whether a directory looks like a model: by names in it, or by how its files begin. */
#include <config.h>

#include "tensor/modeldir.h"
#include "tensor/is_model.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/dir.h"
#include "tensor/safetensors.h"

static bool ends_with(const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);
    return n > m && strcmp(name + n - m, suffix) == 0;
}

/*
 * A name that shows what the directory is: a model, an adapter, a pipeline of diffusers or of
 * sentence-transformers.
 */
static bool shows_model(const char *name)
{
    static const char *const names[] = {"config.json", "adapter_config.json", "model_index.json",
                                        "modules.json"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return ends_with(name, ".safetensors") || ends_with(name, ".gguf");
}

static bool names_show_model(struct tp_dir *dir)
{
    bool found = false, blobs = false, snapshots = false;
    const struct dirent *e;

    while (!found && (e = tp_dir_next(dir))) {
        blobs = blobs || strcmp(e->d_name, "blobs") == 0;
        snapshots = snapshots || strcmp(e->d_name, "snapshots") == 0;
        found = (blobs && snapshots) || shows_model(e->d_name);
    }
    return found;
}

static bool holds_tensors(int dirfd, const struct dirent *e)
{
    struct stat st;

    if (fstatat(dirfd, e->d_name, &st, 0) < 0 || !S_ISREG(st.st_mode))
        return false;
    tp_autoclose int fd = openat(dirfd, e->d_name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
           tp_safetensors_likely(fd, (uint64_t)st.st_size);
}

bool tp_modeldir_is_model(const char *path)
{
    const struct dirent *e;
    struct tp_dir dir;
    bool found;

    tp_dir_open(&dir, AT_FDCWD, path);
    found = names_show_model(&dir);
    tp_dir_rewind(&dir);
    while (!found && (e = tp_dir_next(&dir)))
        found = holds_tensors(tp_dir_fd(&dir), e);
    tp_dir_close(&dir);
    return found;
}
