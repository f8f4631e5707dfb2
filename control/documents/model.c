/* SPDX-License-Identifier: MIT */
/* models/NAME.json: the manifest of one model. For a plain directory it is made from the files. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "control/documents/internal.h"
#include "control/documents/manifest.h"
#include "store/names.h"
#include "store/place.h"
#include "tensor/modeldir.h"
#include "tensor/safetensors.h"

static void put_plain_file(const struct tp_entry *e, struct tp_json_writer *json)
{
    tp_json_begin_object(json, NULL);
    tp_manifest_entry_json(json, e->path, e->type, e->mode, e->mtime_sec, e->mtime_nsec, e->target);
    if (e->type == TP_ENTRY_FILE) {
        tp_json_put_u64(json, "bytes", e->size);
        tp_json_put_u64(json, "stored_bytes", e->size);
        tp_json_put_null(json, "sha256");
    }
    tp_json_end_object(json);
}

/* A file that is not in the safetensors format has none. */
static void put_plain_tensors(const struct tp_modeldir *listing, int dirfd,
                              const struct tp_entry *e, struct tp_json_writer *json,
                              bool *truncated)
{
    tp_auto(tp_safetensors_clear) struct tp_safetensors header = {0};

    if (e->type != TP_ENTRY_FILE || e->size < TP_SAFETENSORS_MIN || *truncated)
        return;
    tp_autoclose int fd = tp_modeldir_open(listing, dirfd, e->path);
    if (fd < 0)
        return;
    if (tp_safetensors_open(fd, e->size, e->path, &header, NULL) < 0)
        header.tensor_n = 0;
    for (size_t i = 0; i < header.tensor_n && tp_manifest_may_add(json, truncated); i++) {
        const struct tp_tensor *t = &header.tensors[i];
        tp_json_begin_object(json, NULL);
        tp_json_put_string(json, "name", t->name);
        tp_json_put_string(json, "file", e->path);
        tp_json_put_string(json, "dtype", tp_dtype_name(t->dtype));
        tp_manifest_shape_json(json, t->rank, t->shape);
        tp_json_put_u64(json, "offset", t->off);
        tp_json_put_u64(json, "bytes", t->len);
        tp_json_put_u64(json, "stored_bytes", t->len);
        tp_json_end_object(json);
    }
}

static int put_plain(const char *path, struct tp_json_writer *json, struct tp_error *err)
{
    tp_auto(tp_modeldir_clear) struct tp_modeldir listing = {0};
    bool truncated = false;
    tp_autoclose int dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = dirfd < 0 ? tp_fail_errno(err, "cannot open '%s'", path)
                       : tp_modeldir_scan(path, &listing, err);

    if (rc == 0) {
        tp_json_put_null(json, "id");
        tp_json_put_null(json, "base");
        tp_json_put_u64(json, "logical_bytes", listing.total_bytes);
        tp_json_put_u64(json, "stored_bytes", listing.total_bytes);
        tp_json_put_double(json, "ratio", 1);
        tp_json_put_bool(json, "exact", true);
        tp_json_put_null(json, "lossy");
        tp_json_put_stringf(json, "mode", "%04o", listing.root_mode);
        tp_json_put_time(json, "mtime", listing.root_mtime_sec, listing.root_mtime_nsec);
        tp_json_begin_array(json, "files");
        for (size_t i = 0; i < listing.entry_n && tp_manifest_may_add(json, &truncated); i++)
            put_plain_file(&listing.entries[i], json);
        tp_json_end_array(json);
        tp_json_begin_array(json, "tensors");
        for (size_t i = 0; i < listing.entry_n; i++)
            put_plain_tensors(&listing, dirfd, &listing.entries[i], json, &truncated);
        tp_json_end_array(json);
        tp_json_put_bool(json, "truncated", truncated);
    }
    return rc;
}

/* A plain directory takes precedence over a pack of the same name, as in listings. */
static int find_kind(const struct tp_inventory *inventory, const char *name,
                     enum tp_model_kind *kind, struct stat *st, struct tp_error *err)
{
    struct tp_placed at;

    if (*name && name[0] != '.' && !strchr(name, '/') && strlen(name) < 256) {
        tp_place_stat(inventory->dirfd, name, &at);
        *kind = at.plain ? TP_MODEL_PLAIN : TP_MODEL_PACK;
        *st = at.plain ? at.plain_st : at.pack_st;
        if (at.plain || at.pack)
            return 0;
    }
    return tp_fail(err, ENOENT, "there is no model '%s' in '%s'", name,
                   tp_store_dir(inventory->store));
}

int tp_document_model_time(struct tp_inventory *inventory, const char *name,
                           struct timespec *changed, struct tp_error *err)
{
    enum tp_model_kind kind;
    struct stat st;
    int rc = find_kind(inventory, name, &kind, &st, err);

    if (rc == 0)
        *changed = st.st_mtim;
    return rc;
}

int tp_document_model(struct tp_inventory *inventory, const char *name, struct tp_buffer *out,
                      struct tp_error *err)
{
    struct tp_json_writer json;
    tp_autopack struct tp_pack *pack = NULL;
    enum tp_model_kind kind = TP_MODEL_PLAIN;
    struct stat st;
    tp_autofree char *path = NULL;
    int rc = find_kind(inventory, name, &kind, &st, err);

    if (rc == 0 && kind == TP_MODEL_PACK)
        rc = tp_store_open_pack(inventory->store, name, &pack, err);
    if (rc == 0 && kind == TP_MODEL_PLAIN &&
        !(path = tp_path_join(tp_store_dir(inventory->store), name, "")))
        rc = tp_oom(err);
    if (rc < 0)
        return rc;
    tp_json_writer_init(&json, out, true);
    tp_json_begin_object(&json, NULL);
    tp_json_put_string(&json, "schema", "tenpak.model/1");
    tp_json_put_string(&json, "name", name);
    tp_json_put_string(&json, "kind", kind == TP_MODEL_PACK ? "pack" : "plain");
    if (pack)
        tp_manifest_json(pack, &json);
    else
        rc = put_plain(path, &json, err);
    tp_json_end_object(&json);
    return rc < 0 ? rc : tp_document_finish(&json, err);
}
