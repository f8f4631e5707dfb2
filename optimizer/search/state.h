/* SPDX-License-Identifier: MIT */
/*
 * The state of a search on disk: DIR/.tenpak/search/KEY/ has, of each candidate, its layers until
 * all are there (CODEC.layers, optimizer/quantize/layers.h), its pack (CODEC.tnpk), its scores as
 * far as it was evaluated (CODEC.scores), and its record (CODEC.json). Layers and packs are removed
 * when a search has ended; the same ones can be made again.
 * Each file but the layers is there as a whole or not at all. A file that is damaged counts as
 * absent. The directory is locked while it is used; lock files are not removed without their
 * directory.
 */
#ifndef TP_OPTIMIZER_SEARCH_STATE_H
#define TP_OPTIMIZER_SEARCH_STATE_H

#include "base/hash.h"
#include "optimizer/evaluate/compare.h"
#include "optimizer/search/report.h"

#define TP_SEARCH_LAYERS ".layers"

struct tp_search_state {
    char key[TP_SHA256_HEX];
    char *path; /* of the directory */
    int lock;   /* -1: not open */
};

/* Whether states can be written in DIR, whose key takes long to compute. */
int tp_search_state_check(const char *dir, struct tp_error *err);

/*
 * Create or open the state KEY in DIR. -EBUSY: another process uses it. In any case OUT is for
 * tp_search_state_close.
 */
int tp_search_state_open(const char *dir, const uint8_t key[TP_SHA256_LEN],
                         struct tp_search_state *out, struct tp_error *err);
void tp_search_state_close(struct tp_search_state *state);

/* The path of the file NAME SUFFIX, for free(); NULL: out of memory. */
char *tp_search_state_path(const struct tp_search_state *state, const char *name,
                           const char *suffix);
/* Whether candidate NAME has a pack. */
bool tp_search_has_pack(const struct tp_search_state *state, const char *name);
/* Remove the pack of candidate NAME, which can be made again. */
void tp_search_remove_pack(const struct tp_search_state *state, const char *name);
/* Remove all packs and layers, of other searches with this key, too. */
void tp_search_remove_packs(const struct tp_search_state *state);

/* The scores of the first *WINDOWS windows. False: there are none; TALLY is empty then. */
bool tp_search_load_scores(const struct tp_search_state *state, const char *name,
                           struct tp_tally *tally, uint64_t *windows);
int tp_search_store_scores(const struct tp_search_state *state, const char *name,
                           const struct tp_tally *tally, uint64_t windows, struct tp_error *err);

/* False: there is no record. F and STEPS are as they were then. */
bool tp_search_load_record(const struct tp_search_state *state, const char *name,
                           struct tp_figures *f, struct tp_steps *steps);
int tp_search_store_record(const struct tp_search_state *state, const struct tp_figures *f,
                           const struct tp_steps *steps, struct tp_error *err);

#endif
