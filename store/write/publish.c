/* SPDX-License-Identifier: MIT */
/* A lossy pack that says what it is: a copy with an attribute. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "store/names.h"
#include "store/pack/layout.h"
#include "store/pack/pack_internal.h"
#include "store/verify.h"
#include "store/write/end.h"
#include "store/write/lossy.h"
#include "store/write/rights.h"

#define PIECE ((size_t)1 << 20)

/* Everything before the index. */
static int copy_data(struct tp_pack *pack, uint64_t len, struct tp_sink *sink, struct tp_error *err)
{
    tp_autofree uint8_t *piece = malloc(PIECE);
    int rc = piece ? 0 : tp_oom(err);

    for (uint64_t off = 0; rc == 0 && off < len; off += PIECE) {
        size_t n = len - off < PIECE ? (size_t)(len - off) : PIECE;

        rc = tp_bytes_read(tp_pack_bytes(pack), piece, n, off, err);
        if (rc == 0)
            rc = tp_sink_put(sink, piece, n, err);
    }
    return rc;
}

/* The bytes of a pack before its index. */
static uint64_t data_end(const struct tp_index *x)
{
    uint64_t end = TP_PACK_HEADER_LEN;

    for (uint32_t i = 0; i < x->tables_n; i++)
        end += x->tables[i].stored_len;
    for (uint32_t i = 0; i < x->chunk_n; i++)
        end += x->chunks[i].stored_len;
    return end;
}

static bool is_replaced(const struct tp_attr *a)
{
    return a->file == TP_NONE && strcmp(a->name, TP_LOSSY_ATTRIBUTE) == 0;
}

/*
 * The attributes of X with that of the model directory set to JSON, in their order. ATTRS has space
 * for one more than X has.
 */
static uint32_t set_attribute(const struct tp_index *x, const char *json, struct tp_attr *attrs,
                              uint32_t *values_len)
{
    const struct tp_attr own = {.file = TP_NONE,
                                .name = TP_LOSSY_ATTRIBUTE,
                                .value = (const uint8_t *)json,
                                .len = (uint32_t)strlen(json)};
    bool done = false;
    uint32_t n = 0;

    *values_len = 0;
    for (uint32_t i = 0; i < x->attr_n; i++) {
        const struct tp_attr *a = &x->attrs[i];

        if (is_replaced(a))
            continue;
        if (a->file == TP_NONE && !done && strcmp(a->name, own.name) > 0) {
            attrs[n++] = own;
            done = true;
        }
        attrs[n++] = *a;
    }
    if (!done)
        attrs[n++] = own;
    for (uint32_t i = 0; i < n; i++)
        *values_len += attrs[i].len;
    return n;
}

static int write_copy(struct tp_pack *pack, const char *json, int fd, const char *path,
                      struct tp_error *err)
{
    struct tp_index x = *tp_pack_index(pack);
    tp_autofree struct tp_attr *attrs = calloc(x.attr_n + 1u, sizeof *attrs);
    uint64_t off = data_end(&x);
    struct tp_sink *sink = NULL;
    uint8_t id[TP_SHA256_LEN];
    int rc = attrs ? tp_sink_create(fd, path, TP_SINK_PLACE, &sink, err) : tp_oom(err);

    if (rc < 0)
        return rc;
    x.attr_n = set_attribute(&x, json, attrs, &x.values_len);
    x.attrs = attrs;
    rc = copy_data(pack, off, sink, err);
    if (rc == 0)
        rc = tp_end_write(sink, &off, &x, id, err);
    tp_sink_destroy(sink);
    return rc;
}

/* The copy is read from the disk, not from the page cache. */
static int verify_copy(const char *path, int fd, struct tp_error *err)
{
    tp_autopack struct tp_pack *copy = NULL;
    struct tp_verify_report report;
    int rc;

    if (fsync(fd) < 0)
        return tp_fail_errno(err, "cannot sync '%s'", path);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    rc = tp_pack_open_with(path, NULL, &copy, err);
    return rc == 0 ? tp_pack_verify(copy, 0, NULL, NULL, NULL, &report, err) : rc;
}

static int copy_pack(struct tp_pack *pack, const char *json, const char *temporary, const char *out,
                     struct tp_error *err)
{
    struct tp_rights rights;
    struct stat st;
    mode_t mode = 0;
    tp_autoclose int fd = -1;
    int rc;

    if (stat(tp_pack_path(pack), &st) < 0)
        return tp_fail_errno(err, "cannot stat '%s'", tp_pack_path(pack));
    rights = tp_rights_of_file(&st);
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return tp_fail_errno(err, "cannot create '%s'", temporary);
    rc = tp_temporary_lock(fd, temporary, err);
    if (rc == 0)
        rc = tp_rights_set_owner(&rights, fd, temporary, err);
    if (rc == 0)
        rc = tp_rights_mode(&rights, fd, false, temporary, &mode, err);
    if (rc == 0)
        rc = write_copy(pack, json, fd, temporary, err);
    if (rc == 0 && fchmod(fd, mode) < 0)
        rc = tp_fail_errno(err, "cannot set the mode of '%s'", temporary);
    if (rc == 0)
        rc = verify_copy(temporary, fd, err);
    if (rc == 0)
        rc = tp_rename_new(temporary, out, err);
    if (rc < 0)
        unlink(temporary);
    return rc == 0 ? tp_file_sync_parent(out, err) : rc;
}

/* JSON is the text of an object that an attribute can hold. */
static int check_json(const char *json, struct tp_error *err)
{
    tp_autojson struct tp_json *value = NULL;
    size_t len = strlen(json);
    int rc;

    if (len > TP_ATTR_VALUE_MAX)
        return tp_fail(err, E2BIG, "what the pack should say of itself has more than %u bytes",
                       TP_ATTR_VALUE_MAX);
    rc = tp_json_parse(json, len, &value, err);
    if (rc == 0 && !tp_json_is_object(value))
        rc = tp_fail(err, EINVAL, "what the pack should say of itself is no JSON object");
    return rc;
}

int tp_lossy_publish(const char *path, const char *out, const char *json, struct tp_error *err)
{
    tp_autopack struct tp_pack *pack = NULL;
    tp_autofree char *temporary = NULL;
    int rc = check_json(json, err);

    if (rc == 0)
        rc = tp_check_new(out, err);
    if (rc == 0)
        rc = tp_pack_open_with(path, NULL, &pack, err);
    if (rc == 0 && !tp_pack_index(pack)->lossy)
        rc = tp_fail(err, EINVAL, "'%s' is not lossy", path);
    if (rc == 0)
        rc = tp_temporary_beside(out, &temporary, err);
    if (rc < 0)
        return rc;
    tp_temporaries_sweep(out);
    return copy_pack(pack, json, temporary, out, err);
}
