/* SPDX-License-Identifier: MIT */
/* Packed nodes: the entries of packs, which are read-only. */
#ifndef TP_FS_PACKED_H
#define TP_FS_PACKED_H

#include "fs/packed/tree.h"

extern const struct tp_node_ops tp_packed_ops;

static inline bool tp_is_packed(const struct tp_node *node)
{
    return node->ops == &tp_packed_ops;
}

static inline struct tp_packed *tp_as_packed(struct tp_node *node)
{
    return (struct tp_packed *)node;
}

/* Bytes of the pack that belong to this file; du(1) shows them. */
uint64_t tp_packed_stored_bytes(const struct tp_index *index, const struct tp_pack_file *file);
void tp_packed_attr(const struct tp_view *view, uint32_t file, struct stat *st);
/* Seconds for which the kernel may keep attributes of packed files. */
double tp_packed_attr_timeout(const struct tp_fs *fs);
/*
 * Count a look-up of the entry and fill ENTRY for the kernel. A directory gets the node for ALIAS.
 */
int tp_packed_enter(struct tp_fs *fs, struct tp_view *view, uint32_t file, uint64_t alias,
                    struct fuse_entry_param *entry);
/* The entry NAME in a directory, as a number in the index; TP_NONE: there is none. */
uint32_t tp_packed_find(const struct tp_view *view, const struct tp_packed *dir, const char *name);
/* The name of an entry, without its directory. */
const char *tp_packed_name(const struct tp_view *view, uint32_t file);
/*
 * The first entry in a directory, and the end. The entries of the directory itself are FIRST,
 * view->skip[FIRST], and so on.
 */
void tp_packed_range(const struct tp_view *view, uint32_t dir, uint32_t *first, uint32_t *end);
/* The reader of an open file, shared by all opens of its node. It holds the pack open. */
int tp_packed_reader(struct tp_fs *fs, struct tp_packed *packed, struct tp_reader **out);

#endif
