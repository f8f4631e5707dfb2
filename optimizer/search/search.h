/* SPDX-License-Identifier: MIT */
/*
 * The search for the cheapest form of a model within limits.
 *
 * Each candidate is a recipe (optimizer/quantize/recipe.h). The layers of the original are read one
 * after the other, each once for all candidates, and each candidate's quantized layer is appended
 * to a file of its own, which becomes its pack. Then the packs are compared with the original in
 * rounds: a round takes a part of the windows of the text through all layers, side by side. After a
 * round a candidate is dropped if it certainly misses a limit (tp_limits_missed_surely). The others
 * are timed, and the cheapest one that meets all limits becomes a model beside the original.
 *
 * Layers, packs, scores and figures are in DIR/.tenpak/search/KEY/, where KEY is a hash of the
 * content of the model, the texts, and the settings that figures depend on. A search that was
 * interrupted, or that is repeated with other limits or candidates, continues from what is there.
 */
#ifndef TP_OPTIMIZER_SEARCH_SEARCH_H
#define TP_OPTIMIZER_SEARCH_SEARCH_H

#include "base/hash.h"
#include "base/progress.h"
#include "optimizer/evaluate/passage.h"
#include "optimizer/quantize/recipe.h"
#include "optimizer/search/report.h"

#define TP_SEARCH_CONTEXT_DEFAULT 512u
#define TP_SEARCH_SAMPLES_DEFAULT 32u

/* Which packs stay in DIR as NAME~CODEC.tnpk. */
enum tp_search_keep { TP_SEARCH_KEEP_WINNER, TP_SEARCH_KEEP_ALL, TP_SEARCH_KEEP_NONE };
extern const char *const tp_search_keep_words[]; /* "winner", "all", "none"; ends with NULL */

struct tp_search_result;

struct tp_search_options {
    const char *dir;        /* the store, for packs and the state of the search */
    const char *name;       /* of the model, for messages and the names of packs */
    const char *path;       /* its directory or pack */
    const char *candidates; /* names of tp_recipe_get, separated by commas;
                               NULL or "": all but methods */
    struct tp_limits limits;
    const struct tp_hardware *hardware;
    const char *text, *calibration; /* for tp_corpus_open */
    const char *text_dir;           /* relative paths of these start here; NULL: at the
                                       working directory */
    uint64_t samples;               /* windows of TEXT; 0: TP_SEARCH_SAMPLES_DEFAULT */
    uint64_t calibration_samples;   /* windows of CALIBRATION; 0: as many */
    uint32_t context;               /* tokens of a window; 0: TP_SEARCH_CONTEXT_DEFAULT, or the
                                       model's positions where that is less */
    uint32_t batch;                 /* the largest that is timed; 0: 1 */
    enum tp_search_keep keep;
    bool embeddings_int8;               /* quantize embedding and head, too */
    uint64_t memory;                    /* bytes that this process may use; 0: what there is */
    unsigned threads;                   /* 0: one for each CPU that this process may use */
    const struct tp_progress *progress; /* may be NULL */
    void (*note)(void *arg, const char *line);                         /* may be NULL */
    void (*changed)(void *arg, const struct tp_search_result *result); /* a candidate became
                                                                          complete, or was dropped,
                                                                          or some were before; may
                                                                          be NULL */
    void *arg;
};

/* Where the time went. What was found in the state of an earlier search took none. */
struct tp_search_seconds {
    double hash, tokenize;
    double read;      /* layers of the original, to quantize them */
    double calibrate; /* the windows of the calibration through these layers */
    double quantize;  /* all candidates together; figures have that of each */
    double write;     /* packs */
    double evaluate;  /* all rounds, with the layers that they read */
    double time;      /* timing, with the loading of the weights */
    double publish;
    double all;
};

struct tp_search_result {
    struct tp_subject original;
    size_t n; /* candidates, in the order of the table of recipes */
    const struct tp_recipe **recipes;
    struct tp_figures *table;    /* for the hardware of the request */
    struct tp_figures *measured; /* on this machine */
    struct tp_steps *steps;      /* on this machine; N 0: not timed */
    char **packs;                /* paths of those that stay in DIR; NULL: not this one */
    size_t evaluated;            /* candidates that are complete or dropped */
    size_t continued;            /* of these, how many an earlier search has measured */
    uint64_t layers_continued;   /* of all candidates, that an earlier search has quantized */
    uint64_t layers_cached;      /* whose statistics an earlier calibration has kept */
    struct tp_roofline roofline;
    struct tp_limits limits; /* those of the request, and the memory of its hardware */
    struct tp_choice choice;
    double ppl, ppl_error; /* of the original, on the same tokens; NAN: not known */
    struct tp_text_facts text, calibration;
    unsigned rounds, threads;
    bool in_parts; /* memory did not suffice for all windows at a time */
    char key[TP_SHA256_HEX];
    uint64_t peak_memory;
    struct tp_search_seconds seconds;
};

/*
 * -ENOENT: a name of CANDIDATES is unknown; -EINVAL: it is there twice. OUT may be NULL; otherwise
 * *OUT has *N recipes in the order of tp_recipe_get, for free().
 */
int tp_search_candidates(const char *names, const struct tp_recipe ***out, size_t *n,
                         struct tp_error *err);

/*
 * -EBUSY: another process makes this search, or the original changes; -EINVAL: a text is too short
 * or no text, the tokenizer does not match the model; -EDOM: weights are not finite numbers;
 * -ENOSPC; -ENOMEM: MEMORY does not suffice for a layer and a window; -ECANCELED. The state of the
 * search then stays as it is. No candidate may meet the limits: that is not an error. In any case
 * OUT is for tp_search_result_clear.
 */
int tp_search_run(const struct tp_search_options *options, struct tp_search_result *out,
                  struct tp_error *err);
void tp_search_result_clear(struct tp_search_result *result);

/* --- publish.c --- */

/* The members of the result, into the object that is open. */
void tp_search_put(struct tp_json_writer *json, const struct tp_search_options *options,
                   const struct tp_search_result *result);

/* --- state.c --- */

/* Remove states of searches in DIR that were not used for DAYS days, and that no process uses. */
void tp_search_sweep(const char *dir, unsigned days);

#endif
