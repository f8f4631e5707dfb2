/* SPDX-License-Identifier: MIT */
/* The manifest of a pack: its files and tensors, and how these are coded. */
#ifndef TP_CONTROL_MANIFEST_H
#define TP_CONTROL_MANIFEST_H

#include "base/json.h"
#include "base/json_write.h"
#include "store/pack/pack.h"
#include "store/pack/usage.h"

/*
 * Add the consecutive segments of one tensor, from number I of FILE on, to USAGE. Returns the
 * number of the next segment.
 */
uint32_t tp_manifest_add_tensor(const struct tp_index *index, const struct tp_pack_file *file,
                                uint32_t i, struct tp_usage *usage, bool *predicted);

const char *tp_manifest_type_name(enum tp_entry_type type);

/*
 * The size from which on a document of one model gets no more files and tensors. JSON readers,
 * including this program's, accept it, and a hostile model cannot exceed it by more than one of
 * them.
 */
#define TP_DOCUMENT_FULL TP_JSON_MAX
/* Whether another one may be added; if not, *TRUNCATED is set. */
static inline bool tp_manifest_may_add(const struct tp_json_writer *json, bool *truncated)
{
    *truncated |= json->buf->len >= TP_DOCUMENT_FULL;
    return !*truncated;
}

/*
 * What the lossy pack with this INDEX says of itself: the text of a JSON object, LEN bytes in the
 * index. False: it says nothing, or is exact.
 */
bool tp_manifest_lossy(const struct tp_index *index, const char **text, size_t *len);

/* Write the keys from "id" to "truncated" into the open object. */
void tp_manifest_json(struct tp_pack *pack, struct tp_json_writer *json);
/*
 * Write the properties of an entry other than its content, beginning with "path", into the open
 * object. TARGET: of a symbolic link.
 */
void tp_manifest_entry_json(struct tp_json_writer *json, const char *path, enum tp_entry_type type,
                            uint32_t mode, int64_t mtime_sec, uint32_t mtime_nsec,
                            const char *target);
/* Write the "shape" of a tensor. */
void tp_manifest_shape_json(struct tp_json_writer *json, unsigned rank, const uint64_t *shape);

#endif
