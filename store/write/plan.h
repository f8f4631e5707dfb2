/* SPDX-License-Identifier: MIT */
/*
 * What a pack will hold, before a byte of it is coded: the files of the model directory, cut into
 * segments, each with the bytes of the base, or of the model, that predict it.
 */
#ifndef TP_STORE_PLAN_H
#define TP_STORE_PLAN_H

#include "store/attrs.h"
#include "store/model.h"
#include "store/write/writer.h"

struct tp_plan {
    char *root;             /* the model directory's path */
    struct tp_model *model; /* the directory; names, shapes and paths of the index point here */
    uint32_t *model_file;   /* for each file of the index that of the model, or TP_NONE */
    struct tp_index index;  /* chunks and tables are filled in as they are written */
    struct tp_pack *base;   /* borrowed */
    size_t segment_cap;
    struct tp_attrs attrs; /* the index's attributes point here */
    struct tp_lost lost;
};

int tp_plan_make(const char *dir, const struct tp_pack_options *options, struct tp_plan *out,
                 struct tp_error *err);
/* Look at the directory again: -EBUSY when anything in it has changed since. */
int tp_plan_recheck(const struct tp_plan *plan, struct tp_error *err);
void tp_plan_clear(struct tp_plan *plan);

#endif
