/* SPDX-License-Identifier: MIT */
/*
 * One pass over the layers of a model, which makes a lossy pack by each of several recipes.
 *
 * A layer is read once. The windows of the calibration go through it, which gives the statistics of
 * its inputs; then each recipe quantizes it, and the result is appended to the recipe's file of
 * layers (layers.h). After the last layer these files become packs, one after the other. A pass
 * whose files were kept continues where it was interrupted: layers that all files have only compute
 * the activations for the next ones. The activations of the windows are in memory if they fit, and
 * otherwise in a file without a name beside the packs, from which they are read in groups.
 * Statistics are kept for later passes (calibration_file.h), which have no activations if they find
 * all.
 */
#ifndef TP_OPTIMIZER_QUANTIZE_PACKS_H
#define TP_OPTIMIZER_QUANTIZE_PACKS_H

#include "optimizer/evaluate/passage.h"
#include "optimizer/quantize/calibration_file.h"
#include "optimizer/quantize/quantize.h"

struct tp_quantize_pack {
    const struct tp_recipe *recipe;
    const char *path;   /* of the pack, which must not exist */
    const char *layers; /* of its layers until the pack is there, kept when the pass is interrupted;
                           NULL: a file without a name */
    /* What came of it. */
    int rc; /* negative: this recipe does not suit the model, ERR says why */
    struct tp_error err;
    double seconds;     /* of quantizing, before an interruption, too */
    uint64_t bytes;     /* of the pack; 0: there is none */
    uint32_t continued; /* layers that an earlier pass has made */
};

struct tp_quantize_options {
    const struct tp_passage *calibration; /* NULL: no recipe needs one */
    struct tp_calibration_place place;    /* of its statistics */
    bool embeddings_int8;                 /* quantize embedding and head, too */
    uint64_t memory;                      /* bytes that this process may use; 0: what there is */
    const struct tp_progress *progress;   /* may be NULL */
    /* Called for each pack when it is there, before its file of layers is removed. May be NULL. */
    int (*made)(void *arg, size_t i, struct tp_error *err);
    void (*note)(void *arg, const char *line); /* called with messages; may be NULL */
    void *arg;
};

/* What the packs took. */
struct tp_quantize_cost {
    double read, calibrate, quantize, write; /* seconds */
    uint64_t layers_cached;                  /* whose statistics an earlier calibration has kept */
};

/*
 * Make the N packs, but none of a recipe whose RC is negative. COST is added to. -EDOM: a
 * weight or an activation is not a finite number; -ENOMEM: MEMORY does not suffice for a layer;
 * -EBUSY: the original changes; -EBADMSG: a kept layer is damaged: it is removed, and the next call
 * makes it again; -ENOSPC; -ECANCELED. After an error, packs that are there stay, and so do the
 * files of layers.
 */
int tp_quantize_packs(struct tp_subject *subject, const struct tp_quantize_options *options,
                      struct tp_quantize_pack *packs, size_t n, struct tp_quantize_cost *cost,
                      struct tp_error *err);

#endif
