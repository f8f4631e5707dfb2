/* SPDX-License-Identifier: MIT */
/* What a packed file or model tells of itself as user.tenpak.NAME: one short text each. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "codec/codec.h"
#include "fs/change.h"
#include "fs/hot/promote.h"

#define PREFIX "user.tenpak."

struct subject {
    struct tp_fs *fs;
    struct tp_packed *packed;
    const struct tp_view *view;
    const struct tp_pack_file *file; /* NULL: the whole model */
    char *out;
    size_t room;
};

static int put_hex(const struct subject *of, const uint8_t *bytes, size_t len)
{
    if (2 * len >= of->room)
        return ERANGE;
    for (size_t i = 0; i < len; i++)
        snprintf(of->out + 2 * i, 3, "%02x", bytes[i]);
    return 0;
}

static int put_sha256(const struct subject *of)
{
    if (!of->file || of->file->type != TP_ENTRY_FILE)
        return ENODATA;
    return put_hex(of, of->file->sha256, TP_SHA256_LEN);
}

static int put_id(const struct subject *of)
{
    return of->file ? ENODATA : put_hex(of, of->view->tree->id, TP_SHA256_LEN);
}

static int put_base(const struct subject *of)
{
    const struct tp_index *index = of->view->index;

    if (!index->has_base)
        return ENODATA;
    if (index->base_name && index->base_name[0])
        return snprintf(of->out, of->room, "%s", index->base_name) < (int)of->room ? 0 : ERANGE;
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
    snprintf(of->out, of->room, "%" PRIu64, stored_bytes(of));
    return 0;
}

/* Bytes as they were to bytes as they are stored. */
static int put_ratio(const struct subject *of)
{
    uint64_t size = of->file ? of->file->size : of->view->index->logical_bytes;
    uint64_t stored = stored_bytes(of);

    if (size == 0)
        return ENODATA;
    if (stored == 0)
        snprintf(of->out, of->room, "inf");
    else
        snprintf(of->out, of->room, "%.3f", (double)size / (double)stored);
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

/* "delta,same,zstd": those of its chunks, the one of the most bytes first. */
static int put_codecs(const struct subject *of)
{
    uint64_t bytes[256] = {0};
    size_t used = 0;

    if (of->file && of->file->type != TP_ENTRY_FILE)
        return ENODATA;
    count_codecs(of, bytes);
    for (;;) {
        unsigned most = 0;
        for (unsigned id = 1; id < 256; id++)
            if (bytes[id] > bytes[most])
                most = id;
        if (bytes[most] == 0)
            break;
        int n =
            snprintf(of->out + used, of->room - used, "%s%s", used ? "," : "", tp_codec_name(most));
        if (n < 0 || (size_t)n >= of->room - used)
            return ERANGE;
        used += (size_t)n;
        bytes[most] = 0;
    }
    return used ? 0 : ENODATA;
}

/* Each block's hash is checked whenever it is decoded, and what fails is not given out. */
static int put_verified(const struct subject *of)
{
    if (of->file && of->file->type != TP_ENTRY_FILE)
        return ENODATA;
    snprintf(of->out, of->room, "on-read");
    return 0;
}

static int put_truth(const struct subject *of, bool truth)
{
    snprintf(of->out, of->room, "%d", truth);
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
 * Whether users of the mount are shown this attribute. Those of ours are told, whatever the file
 * had.
 */
static bool is_shown(const struct tp_tree *tree, const char *name)
{
    if (strncmp(name, PREFIX, sizeof PREFIX - 1) == 0)
        return false;
    /* The kernel would hold users to a list alone, and not to what the pack's file denies. */
    return strncmp(name, "user.", 5) == 0 || !tree->lists || tp_tree_lists_hold(tree);
}

/* The attributes that a file or the model had when it was packed. */
static uint32_t own_attrs(const struct tp_index *index, uint32_t file, const struct tp_attr **attrs)
{
    *attrs =
        index->attrs + (file == TP_NONE ? index->root_attr_first : index->files[file].attr_first);
    return file == TP_NONE ? index->root_attr_n : index->files[file].attr_n;
}

int tp_packed_own_xattr(struct tp_fs *fs, struct tp_packed *packed, const char *name, void *out,
                        size_t room, size_t *len)
{
    const struct tp_attr *attrs;
    struct tp_view *view;
    int rc;

    if (!packed->tree->has_attrs || !is_shown(packed->tree, name))
        return ENODATA;
    rc = tp_tree_hold(fs, packed->tree, &view);
    if (rc != 0)
        return rc;
    rc = ENODATA;
    for (uint32_t i = 0, n = own_attrs(view->index, packed->file, &attrs); rc == ENODATA && i < n;
         i++)
        if (strcmp(attrs[i].name, name) == 0) {
            rc = attrs[i].len <= room ? 0 : ERANGE;
            if (rc == 0)
                memcpy(out, attrs[i].value, attrs[i].len);
            *len = attrs[i].len;
        }
    tp_tree_let_go(fs, view);
    return rc;
}

int tp_packed_list_xattr(struct tp_fs *fs, struct tp_packed *packed, char *out, size_t room,
                         size_t *len)
{
    const struct tp_attr *attrs;
    struct tp_view *view;
    int rc;

    *len = 0;
    if (!packed->tree->has_attrs)
        return 0;
    rc = tp_tree_hold(fs, packed->tree, &view);
    if (rc != 0)
        return rc;
    for (uint32_t i = 0, n = own_attrs(view->index, packed->file, &attrs); rc == 0 && i < n; i++) {
        size_t size = strlen(attrs[i].name) + 1;

        if (!is_shown(packed->tree, attrs[i].name))
            continue;
        rc = size <= room - *len ? 0 : E2BIG;
        if (rc == 0)
            memcpy(out + *len, attrs[i].name, size);
        *len += rc == 0 ? size : 0;
    }
    tp_tree_let_go(fs, view);
    return rc;
}

int tp_packed_xattr(struct tp_fs *fs, struct tp_packed *packed, const char *name, char *out,
                    size_t room)
{
    static const struct {
        const char *name;
        int (*put)(const struct subject *of);
    } attributes[] = {
        {"sha256", put_sha256},     {"id", put_id},       {"base", put_base},
        {"codec", put_codecs},      {"ratio", put_ratio}, {"stored_bytes", put_stored},
        {"verified", put_verified}, {"pin", put_pin},     {"promoted", put_promoted},
    };
    struct tp_view *view;

    if (strncmp(name, PREFIX, sizeof PREFIX - 1) != 0)
        return ENODATA;
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++) {
        if (strcmp(name + sizeof PREFIX - 1, attributes[i].name) != 0)
            continue;
        int rc = tp_tree_hold(fs, packed->tree, &view);
        if (rc != 0)
            return rc;
        const struct subject of = {
            .fs = fs,
            .packed = packed,
            .view = view,
            .file = packed->file == TP_NONE ? NULL : &view->index->files[packed->file],
            .out = out,
            .room = room,
        };
        rc = attributes[i].put(&of);
        tp_tree_let_go(fs, view);
        return rc;
    }
    return ENODATA;
}
