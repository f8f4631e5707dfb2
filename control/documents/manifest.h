/* SPDX-License-Identifier: MIT */
/* What a pack holds, file by file and tensor by tensor, and how it is coded. */
#ifndef TP_CONTROL_MANIFEST_H
#define TP_CONTROL_MANIFEST_H

#include "base/json.h"
#include "base/json_write.h"
#include "store/pack/pack.h"
#include "store/pack/usage.h"

/*
 * Segments that follow each other and belong to one tensor, from number I of FILE; the number after
 * them.
 */
uint32_t tp_manifest_add_tensor(const struct tp_index *index, const struct tp_pack_file *file,
                                uint32_t i, struct tp_usage *usage, bool *predicted);

const char *tp_manifest_type_name(enum tp_entry_type type);

/* Bytes of a document of one model from which on it takes no more files and tensors: what JSON
 * readers can bear, this program's own too, and a hostile model cannot exceed by more than one of
 * them. */
#define TP_DOCUMENT_FULL TP_JSON_MAX
/* Whether one more goes in; otherwise the document is TRUNCATED. */
static inline bool tp_manifest_may_add(const struct tp_json_writer *json, bool *truncated)
{
    *truncated |= json->buf->len >= TP_DOCUMENT_FULL;
    return !*truncated;
}

/* Keys from "id" to "truncated" into the object that is open. */
void tp_manifest_json(struct tp_pack *pack, struct tp_json_writer *json);
/*
 * What an entry is beside its bytes, from "path" on, into the object that is open; TARGET of a
 * symbolic link.
 */
void tp_manifest_entry_json(struct tp_json_writer *json, const char *path, enum tp_entry_type type,
                            uint32_t mode, int64_t mtime_sec, uint32_t mtime_nsec,
                            const char *target);
/* The "shape" of a tensor, and nothing else. */
void tp_manifest_shape_json(struct tp_json_writer *json, unsigned rank, const uint64_t *shape);

#endif
