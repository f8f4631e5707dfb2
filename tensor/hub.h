/* SPDX-License-Identifier: MIT */
/*
 * The cache of the Hugging Face hub. Model "org/name" is in HUB/models--org--name: refs/main holds
 * the name of a revision, and snapshots/REVISION is a model directory.
 */
#ifndef TP_TENSOR_HUB_H
#define TP_TENSOR_HUB_H

#include <stdbool.h>

#include "base/error.h"

/* Whether TEXT has the form "org/name" or "name" of a model's id. */
bool tp_hub_is_id(const char *text);
/* "models--org--name"; free() it. NULL: out of memory. */
char *tp_hub_folder(const char *id);
/* HUB, by the environment; free() it. NULL: out of memory, or the user has no home. */
char *tp_hub_directory(void);

/*
 * The snapshot of refs/main in FOLDER, "HUB/models--org--name"; free() it. *OUT is NULL if FOLDER
 * is not the folder of a model in the cache. -ENOENT: it has no such snapshot.
 */
int tp_hub_snapshot(const char *folder, char **out, struct tp_error *err);

#endif
