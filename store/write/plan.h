/* SPDX-License-Identifier: MIT */
/*
 * The plan of a pack, made before anything is coded: the files of the model directory, cut into
 * segments, and for each segment the bytes of the base or of the model that predict it.
 */
#ifndef TP_STORE_PLAN_H
#define TP_STORE_PLAN_H

#include "store/attrs.h"
#include "store/model.h"
#include "store/write/writer.h"

struct tp_plan {
    char *root;             /* path of the model directory */
    struct tp_model *model; /* the directory; the index borrows its names, shapes and paths */
    uint32_t *model_file;   /* for each file of the index its number in the model, or TP_NONE */
    struct tp_index index;  /* chunks and tables are set when they are written */
    struct tp_pack *base;   /* borrowed */
    size_t segment_cap;
    struct tp_attrs attrs; /* the index borrows its attributes from here */
    struct tp_lost lost;
};

int tp_plan_make(const char *dir, const struct tp_pack_options *options, struct tp_plan *out,
                 struct tp_error *err);
void tp_plan_clear(struct tp_plan *plan);

#endif
