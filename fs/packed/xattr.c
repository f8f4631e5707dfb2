/* SPDX-License-Identifier: MIT */
/* The extended attributes of packed nodes; each user.tenpak.NAME is a short text. */
#include <config.h>

#include "fs/packed/xattr.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "codec/codec.h"
#include "fs/fs.h"
#include "fs/hot/promote.h"
#include "fs/packed/grants.h"
#include "fs/packed/packed.h"

#define PREFIX "user.tenpak."
#define LOSSY PREFIX "lossy" /* it is in the pack: store/write/lossy.h */

struct subject {
    struct tp_fs *fs;
    struct tp_packed *packed;
    const struct tp_view *view;
    const struct tp_pack_file *file; /* NULL: the whole model */
    char *out;
    size_t size;
};

static int put_hex(const struct subject *of, const uint8_t *bytes, size_t len)
{
    if (2 * len >= of->size)
        return -ERANGE;
    for (size_t i = 0; i < len; i++)
        snprintf(of->out + 2 * i, 3, "%02x", bytes[i]);
    return 0;
}

static int put_sha256(const struct subject *of)
{
    if (!of->file || of->file->type != TP_ENTRY_FILE)
        return -ENODATA;
    return put_hex(of, of->file->sha256, TP_SHA256_LEN);
}

static int put_id(const struct subject *of)
{
    return of->file ? -ENODATA : put_hex(of, of->view->tree->id, TP_SHA256_LEN);
}

static int put_base(const struct subject *of)
{
    const struct tp_index *index = of->view->index;

    if (!index->has_base)
        return -ENODATA;
    if (index->base_name && index->base_name[0])
        return snprintf(of->out, of->size, "%s", index->base_name) < (int)of->size ? 0 : -ERANGE;
    return put_hex(of, index->base_id, TP_SHA256_LEN);
}

static uint64_t stored_bytes(const struct subject *of)
{
    const struct tp_view *view = of->view;

    return of->file ? tp_packed_stored_bytes(view->index, of->file)
                    : tp_pack_stored_bytes(view->pack);
}

static int put_stored(const struct subject *of)
{
    snprintf(of->out, of->size, "%" PRIu64, stored_bytes(of));
    return 0;
}

/* Logical bytes divided by stored bytes. */
static int put_ratio(const struct subject *of)
{
    uint64_t size = of->file ? of->file->size : of->view->index->logical_bytes;
    uint64_t stored = stored_bytes(of);

    if (size == 0)
        return -ENODATA;
    if (stored == 0)
        snprintf(of->out, of->size, "inf");
    else
        snprintf(of->out, of->size, "%.3f", (double)size / (double)stored);
    return 0;
}

static void count_codecs(const struct subject *of, uint64_t bytes[256])
{
    const struct tp_index *index = of->view->index;
    uint32_t first = of->file ? of->file->segment_first : 0;
    uint32_t n = of->file ? of->file->segment_n : index->segment_n;

    for (uint32_t s = first; s < first + n; s++) {
        const struct tp_segment *segment = &index->segments[s];
        for (uint32_t i = 0; i < segment->chunk_n; i++) {
            uint32_t chunk = segment->chunk_first + i;
            bytes[index->chunks[chunk].codec] += tp_index_chunk_len(index, chunk);
        }
    }
}

/* "delta,same,zstd": the codecs of its chunks, those with the most bytes first. */
static int put_codecs(const struct subject *of)
{
    uint64_t bytes[256] = {0};
    size_t used = 0;

    if (of->file && of->file->type != TP_ENTRY_FILE)
        return -ENODATA;
    count_codecs(of, bytes);
    for (;;) {
        unsigned most = 0;
        for (unsigned id = 1; id < 256; id++)
            if (bytes[id] > bytes[most])
                most = id;
        if (bytes[most] == 0)
            break;
        int n =
            snprintf(of->out + used, of->size - used, "%s%s", used ? "," : "", tp_codec_name(most));
        if (n < 0 || (size_t)n >= of->size - used)
            return -ERANGE;
        used += (size_t)n;
        bytes[most] = 0;
    }
    return used ? 0 : -ENODATA;
}

/* The hash of each block is checked when it is decoded, and damaged blocks are never returned. */
static int put_verified(const struct subject *of)
{
    if (of->file && of->file->type != TP_ENTRY_FILE)
        return -ENODATA;
    snprintf(of->out, of->size, "on-read");
    return 0;
}

static int put_truth(const struct subject *of, bool truth)
{
    snprintf(of->out, of->size, "%d", truth);
    return 0;
}

static int put_pin(const struct subject *of)
{
    bool pinned, promoted;

    tp_promote_get(of->fs, of->packed, of->view, &pinned, &promoted);
    return put_truth(of, pinned);
}

static int put_promoted(const struct subject *of)
{
    bool pinned, promoted;

    tp_promote_get(of->fs, of->packed, of->view, &pinned, &promoted);
    return put_truth(of, promoted);
}

/*
 * Whether the mount shows this attribute of the packed file. user.tenpak.NAME is answered by the
 * mount.
 */
static bool is_shown(const struct tp_tree *tree, const char *name)
{
    if (strncmp(name, PREFIX, sizeof PREFIX - 1) == 0)
        return false;
    /* The kernel would enforce the list without the limits of the pack's own file. */
    return strncmp(name, "user.", 5) == 0 || !tree->lists || tp_tree_lists_hold(tree);
}

/* The attributes that a file or the model had when it was packed. */
static uint32_t own_attrs(const struct tp_index *index, uint32_t file, const struct tp_attr **attrs)
{
    *attrs =
        index->attrs + (file == TP_NONE ? index->root_attr_first : index->files[file].attr_first);
    return file == TP_NONE ? index->root_attr_n : index->files[file].attr_n;
}

static int get_own(const struct tp_view *view, const struct tp_packed *packed, const char *name,
                   void *value, size_t size, size_t *len)
{
    const struct tp_attr *attrs;

    for (uint32_t i = 0, n = own_attrs(view->index, packed->file, &attrs); i < n; i++)
        if (strcmp(attrs[i].name, name) == 0) {
            if (attrs[i].len > size)
                return -ERANGE;
            memcpy(value, attrs[i].value, attrs[i].len);
            *len = attrs[i].len;
            return 0;
        }
    return -ENODATA;
}

static int (*find_getter(const char *name))(const struct subject *of)
{
    static const struct {
        const char *name;
        int (*put)(const struct subject *of);
    } attributes[] = {
        {"sha256", put_sha256},     {"id", put_id},       {"base", put_base},
        {"codec", put_codecs},      {"ratio", put_ratio}, {"stored_bytes", put_stored},
        {"verified", put_verified}, {"pin", put_pin},     {"promoted", put_promoted},
    };

    if (strncmp(name, PREFIX, sizeof PREFIX - 1) == 0)
        for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
            if (strcmp(name + sizeof PREFIX - 1, attributes[i].name) == 0)
                return attributes[i].put;
    return NULL;
}

int tp_packed_getxattr(struct tp_fs *fs, struct tp_node *node, const char *name, void *value,
                       size_t size, size_t *len)
{
    struct tp_packed *packed = tp_as_packed(node);
    int (*put)(const struct subject *of) = find_getter(name);
    struct tp_view *view;

    if (!put &&
        !(packed->tree->has_attrs && (is_shown(packed->tree, name) || strcmp(name, LOSSY) == 0)))
        return -ENODATA;
    int rc = tp_tree_hold(fs, packed->tree, &view);
    if (rc < 0)
        return rc;
    if (put) {
        const struct subject of = {
            .fs = fs,
            .packed = packed,
            .view = view,
            .file = packed->file == TP_NONE ? NULL : &view->index->files[packed->file],
            .out = value,
            .size = size,
        };
        rc = put(&of);
        *len = rc == 0 ? strlen(value) : 0;
    } else {
        rc = get_own(view, packed, name, value, size, len);
    }
    tp_tree_release(fs, view);
    return rc;
}

int tp_packed_listxattr(struct tp_fs *fs, struct tp_node *node, char *names, size_t size,
                        size_t *len)
{
    struct tp_packed *packed = tp_as_packed(node);
    const struct tp_attr *attrs;
    struct tp_view *view;

    if (!packed->tree->has_attrs)
        return 0;
    int rc = tp_tree_hold(fs, packed->tree, &view);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0, n = own_attrs(view->index, packed->file, &attrs); rc == 0 && i < n; i++) {
        size_t name_size = strlen(attrs[i].name) + 1;

        if (!is_shown(packed->tree, attrs[i].name))
            continue;
        rc = name_size <= size - *len ? 0 : -E2BIG;
        if (rc == 0)
            memcpy(names + *len, attrs[i].name, name_size);
        *len += rc == 0 ? name_size : 0;
    }
    tp_tree_release(fs, view);
    return rc;
}

int tp_packed_setxattr(struct tp_fs *fs, struct tp_node *node, const char *name, const char *value,
                       size_t size, int flags)
{
    (void)flags;
    if (strcmp(name, TP_PIN_XATTR) != 0)
        return -EROFS;
    if (size != 1 || (*value != '0' && *value != '1'))
        return -EINVAL;
    return tp_promote_pin(fs, tp_as_packed(node), *value == '1');
}
