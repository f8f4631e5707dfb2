/* SPDX-License-Identifier: MIT */
/* The cache of the Hugging Face hub: ids, its place, and snapshots in a cache that may be damaged.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "tensor/hub.h"

#include "tests/tap.h"

static void test_ids(void)
{
    static const char *const good[] = {"org/name", "gpt2", "Qwen/Qwen2.5-0.5B", "a_b/c.d"},
                             *const bad[] = {"",      "/",      "org/",   "/name",
                                             "a/b/c", "../x",   "org/..", "-org/name",
                                             "o g/n", "org/-n", "./x"};
    char *folder = tp_hub_folder("org/name"), *plain = tp_hub_folder("gpt2");
    size_t n = 0;

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        n += tp_hub_is_id(good[i]);
    is_u64(n, sizeof good / sizeof good[0], "ids are ids");
    for (size_t i = n = 0; i < sizeof bad / sizeof bad[0]; i++)
        n += tp_hub_is_id(bad[i]);
    is_u64(n, 0, "paths and other texts are none");
    is_str(folder, "models--org--name", "the folder of an id");
    is_str(plain, "models--gpt2", "and of one without an organisation");
    free(folder);
    free(plain);
}

/* A NULL unsets NAME. */
static void set(const char *name, const char *value)
{
    if (value)
        setenv(name, value, 1);
    else
        unsetenv(name);
}

static void is_place(const char *cache, const char *home, const char *xdg, const char *user,
                     const char *want, const char *name)
{
    char *got;

    set("HF_HUB_CACHE", cache);
    set("HF_HOME", home);
    set("XDG_CACHE_HOME", xdg);
    set("HOME", user);
    got = tp_hub_directory();
    is_str(got, want, name);
    free(got);
}

static void test_place(void)
{
    is_place("/c", "/h", "/x", "/u", "/c", "HF_HUB_CACHE comes first");
    is_place(NULL, "/h", "/x", "/u", "/h/hub", "then HF_HOME");
    is_place("", "", "/x", "/u", "/x/huggingface/hub", "then the cache directory of the user");
    is_place(NULL, NULL, NULL, "/u", "/u/.cache/huggingface/hub", "which is in the home directory");
}

static void put(const char *dir, const char *name, const char *text)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (text ? tp_file_replace(path, text, strlen(text), 0644, NULL) < 0 : mkdir(path, 0755) < 0)
        bail_out("cannot make '%s'", path);
}

static void is_snapshot(const char *folder, int rc, const char *end, const char *name)
{
    struct tp_error err = {0};
    char *path = NULL;
    size_t len = end ? strlen(end) : 0;

    is_int(tp_hub_snapshot(folder, &path, &err), rc, name);
    if (end)
        ok(path && strlen(path) > len && strcmp(path + strlen(path) - len, end) == 0,
           "%s: its path", name);
    else
        ok(!path && (rc == 0 || err.message[0]), "%s: no path", name);
    free(path);
}

static void test_snapshots(void)
{
    char *dir = tap_tmpdir(), folder[512];

    snprintf(folder, sizeof folder, "%s/models--o--n", dir);
    is_snapshot(folder, 0, NULL, "a folder that is not there");
    put(dir, "models--o--n", NULL);
    is_snapshot(folder, 0, NULL, "a folder without snapshots");
    put(folder, "snapshots", NULL);
    is_snapshot(folder, -ENOENT, NULL, "no refs");
    put(folder, "refs", NULL);
    put(folder, "refs/main", "0123abcd");
    is_snapshot(folder, -ENOENT, NULL, "a revision that is not there");
    put(folder, "snapshots/0123abcd", NULL);
    is_snapshot(folder, 0, "/snapshots/0123abcd", "a snapshot");
    put(folder, "refs/main", "0123abcd\n");
    is_snapshot(folder, 0, "/snapshots/0123abcd", "with a line end");
    put(folder, "refs/main", "../../..");
    is_snapshot(folder, -ENOENT, NULL, "a revision that leads out of the cache");
    put(folder, "refs/main", "");
    is_snapshot(folder, -ENOENT, NULL, "an empty revision");
    snprintf(folder, sizeof folder, "%s/other", dir);
    put(dir, "other", NULL);
    put(folder, "snapshots", NULL);
    is_snapshot(folder, 0, NULL, "a folder of another name");
    tp_file_remove_tree(AT_FDCWD, dir, NULL);
    free(dir);
}

int main(void)
{
    test_ids();
    test_place();
    test_snapshots();
    return tap_done();
}
