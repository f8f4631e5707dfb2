/* SPDX-License-Identifier: MIT */
/* Writing the manifest of a pack as JSON. */
#include <config.h>

#include "control/documents/manifest.h"

#include <string.h>

#include "store/write/lossy.h"

/* Levels of objects and arrays of what a lossy pack says of itself. */
#define LOSSY_DEPTH 8u

uint32_t tp_manifest_add_tensor(const struct tp_index *index, const struct tp_pack_file *file,
                                uint32_t i, struct tp_usage *usage, bool *predicted)
{
    const struct tp_segment *first = &index->segments[file->segment_first + i];

    *usage = (struct tp_usage){0};
    *predicted = false;
    do {
        const struct tp_segment *segment = &index->segments[file->segment_first + i];
        tp_usage_add_segment(index, segment, usage);
        *predicted |= segment->from.whence == TP_FROM_BASE;
        i++;
    } while (i < file->segment_n && index->segments[file->segment_first + i].elem_first &&
             !strcmp(index->segments[file->segment_first + i].name, first->name));
    return i;
}

const char *tp_manifest_type_name(enum tp_entry_type type)
{
    return type == TP_ENTRY_FILE ? "file" : type == TP_ENTRY_DIR ? "directory" : "symlink";
}

static void put_codecs(struct tp_json_writer *json, const struct tp_usage *usage)
{
    tp_json_begin_object(json, "codec_chunks");
    for (unsigned id = 0; id < TP_CODEC_COUNT; id++)
        if (usage->chunks[id])
            tp_json_put_u64(json, tp_codec_name(id), usage->chunks[id]);
    tp_json_end_object(json);
}

void tp_manifest_entry_json(struct tp_json_writer *json, const char *path, enum tp_entry_type type,
                            uint32_t mode, int64_t mtime_sec, uint32_t mtime_nsec,
                            const char *target)
{
    tp_json_put_string(json, "path", path);
    tp_json_put_string(json, "type", tp_manifest_type_name(type));
    tp_json_put_stringf(json, "mode", "%04o", mode);
    tp_json_put_time(json, "mtime", mtime_sec, mtime_nsec);
    if (type == TP_ENTRY_SYMLINK)
        tp_json_put_string(json, "target", target);
}

static void put_file(struct tp_json_writer *json, const struct tp_index *index,
                     const struct tp_pack_file *file)
{
    struct tp_usage usage = {0};

    tp_json_begin_object(json, NULL);
    tp_manifest_entry_json(json, file->path, file->type, file->mode, file->mtime_sec,
                           file->mtime_nsec, file->target);
    if (file->type == TP_ENTRY_FILE) {
        tp_usage_add_file(index, file, &usage);
        tp_json_put_u64(json, "bytes", file->size);
        tp_json_put_u64(json, "stored_bytes", usage.stored);
        tp_json_put_hex(json, "sha256", file->sha256, sizeof file->sha256);
        put_codecs(json, &usage);
    }
    tp_json_end_object(json);
}

void tp_manifest_shape_json(struct tp_json_writer *json, unsigned rank, const uint64_t *shape)
{
    tp_json_begin_array(json, "shape");
    for (unsigned d = 0; d < rank; d++)
        tp_json_put_u64(json, NULL, shape[d]);
    tp_json_end_array(json);
}

static void put_tensors(struct tp_json_writer *json, const struct tp_index *index,
                        const struct tp_pack_file *file, bool *truncated)
{
    for (uint32_t i = 0; i < file->segment_n && tp_manifest_may_add(json, truncated);) {
        const struct tp_segment *segment = &index->segments[file->segment_first + i];
        struct tp_usage usage;
        bool predicted;
        i = tp_manifest_add_tensor(index, file, i, &usage, &predicted);
        if (segment->dtype == TP_DTYPE_BYTES)
            continue;
        tp_json_begin_object(json, NULL);
        tp_json_put_string(json, "name", segment->name);
        tp_json_put_string(json, "file", file->path);
        tp_json_put_string(json, "dtype", tp_dtype_name(segment->dtype));
        tp_manifest_shape_json(json, segment->rank, segment->shape);
        tp_json_put_u64(json, "offset", segment->file_off);
        tp_json_put_u64(json, "bytes", usage.logical);
        tp_json_put_u64(json, "stored_bytes", usage.stored);
        tp_json_put_bool(json, "predicted_by_base", predicted);
        put_codecs(json, &usage);
        tp_json_end_object(json);
    }
}

static void put_base(struct tp_json_writer *json, const struct tp_pack *pack)
{
    const struct tp_index *index = tp_pack_index(pack);
    const struct tp_pack *base = tp_pack_base(pack);

    if (!index->has_base) {
        tp_json_put_null(json, "base");
        return;
    }
    tp_json_begin_object(json, "base");
    tp_json_put_string(json, "name", index->base_name);
    tp_json_put_hex(json, "id", index->base_id, TP_SHA256_LEN);
    tp_json_put_string(json, "path", base ? tp_pack_path(base) : NULL);
    tp_json_end_object(json);
}

bool tp_manifest_lossy(const struct tp_index *index, const char **text, size_t *len)
{
    const struct tp_attr *attrs = index->attrs + index->root_attr_first;

    for (uint32_t i = 0; index->lossy && i < index->root_attr_n; i++) {
        tp_autojson struct tp_json *value = NULL;

        if (strcmp(attrs[i].name, TP_LOSSY_ATTRIBUTE) != 0 ||
            tp_json_parse(attrs[i].value, attrs[i].len, &value, NULL) < 0 ||
            !tp_json_is_object(value))
            continue;
        *text = (const char *)attrs[i].value;
        *len = attrs[i].len;
        return true;
    }
    return false;
}

/* Write a value of a pack anew: its text may have characters that a document does not. */
static void put_value(struct tp_json_writer *json, const char *key, const struct tp_json *v,
                      unsigned depth)
{
    bool is_object = tp_json_is_object(v), truth;
    double number;
    uint64_t whole;

    if (tp_json_string(v)) {
        tp_json_put_string(json, key, tp_json_string(v));
    } else if (tp_json_u64(v, &whole)) {
        tp_json_put_u64(json, key, whole);
    } else if (tp_json_double(v, &number)) {
        tp_json_put_double(json, key, number);
    } else if (tp_json_bool(v, &truth)) {
        tp_json_put_bool(json, key, truth);
    } else if ((!is_object && !tp_json_is_array(v)) || depth == LOSSY_DEPTH) {
        tp_json_put_null(json, key);
    } else {
        is_object ? tp_json_begin_object(json, key) : tp_json_begin_array(json, key);
        for (const struct tp_json *m = tp_json_first(v); m; m = tp_json_next(m))
            put_value(json, is_object ? tp_json_key(m) : NULL, m, depth + 1);
        is_object ? tp_json_end_object(json) : tp_json_end_array(json);
    }
}

static void put_lossy(struct tp_json_writer *json, const struct tp_index *index)
{
    tp_autojson struct tp_json *value = NULL;
    const char *text;
    size_t len;

    if (tp_manifest_lossy(index, &text, &len) && tp_json_parse(text, len, &value, NULL) == 0)
        put_value(json, "lossy", value, 0);
    else
        tp_json_put_null(json, "lossy");
}

void tp_manifest_json(struct tp_pack *pack, struct tp_json_writer *json)
{
    const struct tp_index *index = tp_pack_index(pack);
    uint64_t stored = tp_pack_stored_bytes(pack);
    struct tp_usage all = {0};
    bool truncated = false;

    tp_usage_add_index(index, &all, NULL);
    tp_json_put_hex(json, "id", tp_pack_get_id(pack), TP_SHA256_LEN);
    tp_json_put_u64(json, "format_version", index->version);
    tp_json_put_string(json, "writer", index->writer);
    put_base(json, pack);
    tp_json_put_u64(json, "chunk_size", index->chunk_size);
    tp_json_put_u64(json, "chunks", index->chunk_n);
    tp_json_put_u64(json, "logical_bytes", index->logical_bytes);
    tp_json_put_u64(json, "stored_bytes", stored);
    tp_json_put_double(json, "ratio", stored ? (double)index->logical_bytes / (double)stored : 0);
    tp_json_put_bool(json, "exact", !index->lossy);
    put_lossy(json, index);
    tp_json_put_stringf(json, "mode", "%04o", index->root_mode);
    tp_json_put_time(json, "mtime", index->root_mtime_sec, index->root_mtime_nsec);
    put_codecs(json, &all);
    tp_json_begin_array(json, "files");
    for (uint32_t i = 0; i < index->file_n && tp_manifest_may_add(json, &truncated); i++)
        put_file(json, index, &index->files[i]);
    tp_json_end_array(json);
    tp_json_begin_array(json, "tensors");
    for (uint32_t i = 0; i < index->file_n; i++)
        put_tensors(json, index, &index->files[i], &truncated);
    tp_json_end_array(json);
    tp_json_put_bool(json, "truncated", truncated);
}
