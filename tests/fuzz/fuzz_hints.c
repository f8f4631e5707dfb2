/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a model's hints at its base: config.json, adapter_config.json or README.md, chosen
 * by the first byte. The resulting hints are short names without a '/'.
 */
#include <config.h>

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "store/match/hints.h"
#include "tests/fuzz/fuzz.h"

static char root[] = P_tmpdir "/tenpak-fuzz-hints.XXXXXX";
static int rootfd = -1;

static void remove_root(void)
{
    tp_file_remove_tree(AT_FDCWD, root, NULL);
}

static void put(const char *name, const uint8_t *data, size_t len)
{
    int fd = openat(rootfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    FUZZ_CHECK(fd >= 0 && tp_file_write(fd, data, len, name, NULL) == 0);
    close(fd);
}

/* A tree that was taken has no depth or value that printing it could not bring back. */
static void walk(const struct tp_json *v, unsigned depth)
{
    FUZZ_CHECK(depth <= 64);
    for (const struct tp_json *c = tp_json_first(v); c; c = tp_json_next(c)) {
        FUZZ_CHECK(!tp_json_is_object(v) || tp_json_get(v, tp_json_key(c)) == c);
        walk(c, depth + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const char *const names[] = {"config.json", "adapter_config.json", "README.md"};
    struct tp_model *source;
    struct tp_hints hints;
    struct tp_json *json;
    struct tp_error err = {0};
    const char *name;

    if (rootfd < 0) {
        FUZZ_CHECK(mkdtemp(root) != NULL);
        rootfd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        atexit(remove_root);
    }
    if (len < 1)
        return 0;
    name = names[data[0] % 3];
    put(name, data + 1, len - 1);
    FUZZ_CHECK(tp_model_open(root, NULL, &source, &err) == 0);
    tp_hints_read(source, &hints);
    FUZZ_CHECK(hints.n <= TP_HINTS_MAX);
    for (unsigned i = 0; i < hints.n; i++) {
        const struct tp_hint *h = &hints.hint[i];

        FUZZ_CHECK(h->name[0] && !strchr(h->name, '/') && strlen(h->name) < sizeof h->name);
        FUZZ_CHECK(strcmp(h->origin, name) == 0);
        if (strncmp(h->name, "models--", 8) != 0)
            FUZZ_CHECK(tp_hints_find(&hints, h->name) != NULL);
    }
    tp_model_close(source);
    FUZZ_CHECK(unlinkat(rootfd, name, 0) == 0);
    if (tp_json_parse(data + 1, len - 1, &json, &err) == 0) {
        walk(json, 0);
        tp_json_free(json);
    } else {
        FUZZ_CHECK(err.message[0]);
    }
    return 0;
}
