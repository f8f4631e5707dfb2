/* SPDX-License-Identifier: MIT */
/*
 * Removing a pack: with the lock of its model and a claim on its file, after a search for dependent
 * packs.
 */
#include <config.h>

#include "store/remove.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "store/lock.h"
#include "store/names.h"
#include "store/original/original.h"

/* Bytes of names in a message. */
enum { LIST_MAX = 700 };

int tp_dependents_check(struct tp_store *store, const char *name, const struct tp_pack *pack,
                        struct tp_error *err)
{
    tp_auto(tp_buffer_clear) struct tp_buffer list = {0};
    char **names = NULL;
    size_t n = 0;
    int rc = tp_store_dependents(store, pack, &names, &n, err);

    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = tp_buffer_appendf(&list, "%s'%s'", i ? ", " : "", names[i]);
    if (rc == 0 && n > 0)
        rc =
            tp_fail(err, EBUSY, "'%s' is the base of %zu other%s: %.*s", name, n, n == 1 ? "" : "s",
                    (int)(list.len < LIST_MAX ? list.len : LIST_MAX), (const char *)list.data);
    tp_store_names_free(names, n);
    return rc;
}

/* After an interrupted packing, only the pack shows which files of the directory are its own. */
static int check_packed_wholly(const char *model, struct tp_error *err)
{
    return tp_original_is_half_removed(AT_FDCWD, model)
               ? tp_fail(err, EBUSY,
                         "'%s' is still being packed: the rest of its directory is there", model)
               : 0;
}

static int remove_claimed(struct tp_store *store, const char *name, struct tp_pack *pack,
                          bool for_good, struct tp_error *err)
{
    int rc = tp_dependents_check(store, name, pack, err);

    if (rc == 0 && for_good && unlink(tp_pack_path(pack)) < 0)
        rc = tp_fail_errno(err, "cannot remove '%s'", tp_pack_path(pack));
    return rc;
}

static int remove_locked(struct tp_store *store, const char *name, struct tp_pack *pack,
                         bool for_good, struct tp_error *err)
{
    int claim, rc = tp_pack_claim(pack, &claim, err);

    if (rc < 0)
        return rc;
    rc = remove_claimed(store, name, pack, for_good, err);
    close(claim);
    return rc;
}

static int remove_model(struct tp_store *store, const char *name, struct tp_pack *pack,
                        bool for_good, struct tp_error *err)
{
    tp_autofree char *model = tp_path_join(tp_store_dir(store), name, "");
    struct tp_model_lock lock;
    int rc = model ? tp_model_lock(model, &lock, err) : tp_oom(err);

    if (rc == 0) {
        rc = check_packed_wholly(model, err);
        if (rc == 0)
            rc = remove_locked(store, name, pack, for_good, err);
        tp_model_unlock(&lock);
    }
    return rc;
}

int tp_remove_check(struct tp_store *store, const char *name, struct tp_pack *pack,
                    struct tp_error *err)
{
    return remove_model(store, name, pack, false, err);
}

int tp_remove_pack(struct tp_store *store, const char *name, struct tp_pack *pack,
                   struct tp_error *err)
{
    return remove_model(store, name, pack, true, err);
}
