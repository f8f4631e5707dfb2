/* SPDX-License-Identifier: MIT */
/* The file of what forms are expected to cost. */
#include <config.h>

#include "optimizer/quantize/sensitivity.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/le.h"

#define MAGIC 0x31534354u /* "TCS1" */
enum { HEADER = 16, OPTION = 16 };

/* KEY, and the path of the file, for free(); NULL: nothing is kept, or there is no memory. */
static char *make_path(const struct tp_calibration_place *place, const struct tp_runtime *rt,
                       const struct tp_passage *text, uint64_t back, uint8_t key[TP_SHA256_LEN])
{
    tp_auto(tp_buffer_clear) struct tp_buffer all = {0};
    char hex[TP_SHA256_HEX];

    if (tp_calibration_key(place, rt, text, key) < 0)
        return NULL;
    tp_hex(key, TP_SHA256_LEN, hex);
    tp_buffer_appendf(&all, "%s\nsensitivity %" PRIu64 "\n", hex, back);
    for (const struct tp_recipe *r = tp_form_recipes; r->name; r++)
        tp_buffer_appendf(&all, "%s %u %u %u\n", r->method, r->bits, r->attention_group,
                          r->mlp_group);
    if (tp_buffer_append_u8(&all, 0) < 0 || tp_sha256(all.data, all.len, key) < 0)
        return NULL;
    tp_hex(key, TP_SHA256_LEN, hex);
    return tp_calibration_path(place, hex);
}

/* The last bytes of a file, from all before. */
static int hash_file(const uint8_t key[TP_SHA256_LEN], const uint8_t *data, size_t len,
                     uint8_t out[TP_SHA256_LEN])
{
    struct tp_sha256 *sha = tp_sha256_create();

    if (!sha)
        return -ENOMEM;
    tp_sha256_update(sha, key, TP_SHA256_LEN);
    tp_sha256_update(sha, data, len);
    tp_sha256_final(sha, out);
    tp_sha256_destroy(sha);
    return 0;
}

static bool parse(const struct tp_buffer *file, const uint8_t key[TP_SHA256_LEN],
                  struct tp_option *options, size_t n)
{
    size_t len = HEADER + n * OPTION;
    uint8_t hash[TP_SHA256_LEN];

    if (file->len != len + TP_SHA256_LEN || hash_file(key, file->data, len, hash) < 0 ||
        memcmp(file->data + len, hash, TP_SHA256_LEN) != 0 || tp_get_le32(file->data) != MAGIC ||
        tp_get_le64(file->data + 8) != n)
        return false;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *p = file->data + HEADER + i * OPTION;

        options[i].bytes = tp_get_le64(p);
        memcpy(&options[i].loss, p + 8, sizeof options[i].loss);
        /* No sum of them overflows. */
        if (!isfinite(options[i].loss) || options[i].bytes > INT64_MAX / n)
            return false;
    }
    return true;
}

int tp_sensitivity_load(const struct tp_calibration_place *place, const struct tp_runtime *rt,
                        const struct tp_passage *text, uint64_t back, struct tp_option *options,
                        size_t n, struct tp_error *err)
{
    tp_auto(tp_buffer_clear) struct tp_buffer file = {0};
    uint8_t key[TP_SHA256_LEN];
    tp_autofree char *path = make_path(place, rt, text, back, key);
    struct stat st;

    if (!path || lstat(path, &st) < 0)
        return tp_fail(err, ENOENT, "no sensitivities are kept");
    if (!S_ISREG(st.st_mode) ||
        tp_file_read_all(AT_FDCWD, path, HEADER + n * OPTION + TP_SHA256_LEN, &file, NULL) < 0 ||
        !parse(&file, key, options, n))
        return tp_fail(err, EBADMSG, "'%s' is damaged, and is made again", path);
    utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW); /* when it was used last */
    return 0;
}

void tp_sensitivity_store(const struct tp_calibration_place *place, const struct tp_runtime *rt,
                          const struct tp_passage *text, uint64_t back,
                          const struct tp_option *options, size_t n)
{
    uint8_t key[TP_SHA256_LEN];
    tp_autofree char *path = make_path(place, rt, text, back, key);
    size_t len = HEADER + n * OPTION;
    tp_autofree uint8_t *data = calloc(1, len + TP_SHA256_LEN);

    if (!path || !data)
        return;
    tp_put_le32(data, MAGIC);
    tp_put_le64(data + 8, n);
    for (size_t i = 0; i < n; i++) {
        uint8_t *p = data + HEADER + i * OPTION;

        tp_put_le64(p, options[i].bytes);
        memcpy(p + 8, &options[i].loss, sizeof options[i].loss);
    }
    if (hash_file(key, data, len, data + len) == 0)
        tp_file_replace(path, data, len + TP_SHA256_LEN, 0600, NULL);
}
