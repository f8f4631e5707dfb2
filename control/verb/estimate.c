/* SPDX-License-Identifier: MIT */
/* Which base a model would be compressed against, and what that would save. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "control/verb/result.h"
#include "store/names.h"

/* Where model NAME lies in DIR: its directory, or its pack. */
static int by_name(const char *dir, const char *name, struct tp_base_choice *choice,
                   struct tp_error *err)
{
    struct stat st;
    int n = snprintf(choice->path, sizeof choice->path, "%s/%s", dir, name);

    if (n > 0 && stat(choice->path, &st) < 0)
        n = snprintf(choice->path, sizeof choice->path, "%s/%s%s", dir, name, TP_PACK_SUFFIX);
    if (n < 0 || (size_t)n >= sizeof choice->path)
        return tp_fail(err, ENAMETOOLONG, "'%s/%s' is too long", dir, name);
    if (stat(choice->path, &st) < 0)
        return tp_fail(err, ENOENT, "there is no model '%s' in '%s' to be the base", name, dir);
    snprintf(choice->name, sizeof choice->name, "%s", name);
    return 0;
}

static int by_match(struct tp_store *store, const char *name, const char *path, enum tp_links links,
                    struct tp_base_choice *choice, struct tp_error *err)
{
    struct tp_error why = {0};
    struct tp_match match;
    int rc = tp_match_base(store, path, &(struct tp_match_query){.self = name, .links = links},
                           &match, &why);

    snprintf(choice->why, sizeof choice->why, "%s", rc ? why.message : match.why);
    if (rc == -ENOENT)
        return 0;
    if (rc < 0)
        return tp_fail(err, -rc, "%s", why.message);
    return by_name(tp_store_dir(store), match.name, choice, err);
}

/* NAME ends before ".tnpk". */
static void bare(char *name)
{
    size_t suffix = strlen(TP_PACK_SUFFIX), len = strlen(name);

    if (len > suffix && strcmp(name + len - suffix, TP_PACK_SUFFIX) == 0)
        name[len - suffix] = '\0';
}

/* Another model of the store, ".tnpk" said or not. */
static int by_other_name(const char *dir, const char *self, const char *spec,
                         struct tp_base_choice *choice, struct tp_error *err)
{
    char name[256];

    snprintf(name, sizeof name, "%s", spec);
    bare(name);
    if (strcmp(name, self) == 0)
        return tp_fail(err, EINVAL, "'%s' cannot be its own base", name);
    return by_name(dir, name, choice, err);
}

/* A directory or a pack anywhere, ".tnpk" said or not. */
static int by_path(const char *spec, struct tp_base_choice *choice, struct tp_error *err)
{
    size_t len = strlen(spec);
    char *clean, *parent = NULL;
    int rc;

    while (len > 1 && spec[len - 1] == '/')
        len--;
    clean = strndup(spec, len);
    parent = clean ? tp_path_parent(clean) : NULL;
    if (!parent) {
        free(clean);
        return tp_fail(err, ENOMEM, "out of memory for a name");
    }
    bare(clean);
    rc = by_name(parent, tp_path_name(clean), choice, err);
    free(parent);
    free(clean);
    return rc;
}

static int choose(struct tp_store *store, const char *name, const char *path, enum tp_links links,
                  const char *base, struct tp_base_choice *choice, struct tp_error *err)
{
    if (!base || strcmp(base, "auto") == 0)
        return by_match(store, name, path, links, choice, err);
    if (strcmp(base, "none") == 0) {
        snprintf(choice->why, sizeof choice->why, "asked for none");
        return 0;
    }
    snprintf(choice->why, sizeof choice->why, "asked for");
    return strchr(base, '/') ? by_path(base, choice, err)
                             : by_other_name(tp_store_dir(store), name, base, choice, err);
}

int tp_estimate_against(const char *dir, const char *name, const char *path, enum tp_links links,
                        const char *base, struct tp_base_choice *choice,
                        struct tp_estimate *estimate, struct tp_error *err)
{
    struct tp_store *store = NULL;
    int rc = tp_store_open(dir, &store, err);

    *choice = (struct tp_base_choice){0};
    if (rc == 0)
        rc = choose(store, name, path, links, base, choice, err);
    if (rc == 0)
        rc = tp_estimate(choice->path[0] ? choice->path : NULL, path, links, store, estimate, err);
    tp_store_close(store);
    return rc;
}
