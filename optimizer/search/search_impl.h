/* SPDX-License-Identifier: MIT */
/* What the files of the search share: search.c, prepare.c, rounds.c, times.c and publish.c only. */
#ifndef TP_OPTIMIZER_SEARCH_SEARCH_IMPL_H
#define TP_OPTIMIZER_SEARCH_SEARCH_IMPL_H

#include "optimizer/search/search.h"
#include "optimizer/search/state.h"

/* Tokens of the prompts that are timed, and those after them, where the model has the positions. */
enum { TP_SEARCH_PROMPT = 128, TP_SEARCH_NEW = 32 };
#define TP_SEARCH_POSITIONS (TP_SEARCH_PROMPT + TP_SEARCH_NEW)

/* Candidate I is also RESULT->recipes[i], measured[i], steps[i]. */
struct tp_search_candidate {
    struct tp_subject subject; /* its pack; MODEL NULL: not open */
    struct tp_tally tally;
    uint64_t windows; /* that TALLY has */
};

struct tp_search {
    const struct tp_search_options *options;
    struct tp_search_result *result;
    struct tp_error *err;
    uint32_t batch;
    struct tp_corpus text, calibration_text;
    struct tp_passage passage, calibration;
    uint8_t model[TP_SHA256_LEN]; /* by tp_subject_hash */
    bool all_bf16;                /* all tensors of the original are */
    uint64_t elements;            /* by tp_elements_count */
    struct tp_search_state state;
    struct tp_search_candidate *candidates;
    struct tp_mean original_log_likelihood;
};

/* --- search.c --- */

static inline bool tp_search_is_pending(const struct tp_search *s, size_t i)
{
    return s->result->measured[i].state == TP_CANDIDATE_PENDING;
}
/* Candidate I ends as dropped; its WHY is there. */
void tp_search_drop(struct tp_search *s, size_t i);
/* Whether every byte of the pack PATH is right. */
bool tp_search_is_whole(const struct tp_search *s, const char *path);
/* Candidate I is complete: its record is written. */
int tp_search_complete(struct tp_search *s, size_t i);

/* --- prepare.c --- */

/* Open the model and the texts, find the state, and read from it what is known. */
int tp_search_prepare(struct tp_search *s);
/* Make the packs of pending candidates that have none, or that of candidate ONLY. */
int tp_search_make_packs(struct tp_search *s, size_t only);
/* Open the pack of candidate I. -EBADMSG: it is damaged. */
int tp_search_open_candidate(struct tp_search *s, size_t i);
void tp_search_close_candidate(struct tp_search *s, size_t i);

/* --- rounds.c --- */

/* Compare the pending candidates with the original, in rounds; drop those that surely miss. */
int tp_search_rounds(struct tp_search *s);

/* --- times.c --- */

/* Time the pending candidates, which are complete then. */
int tp_search_time(struct tp_search *s);

/* --- publish.c --- */

/* Whether the names of the packs that may be published can be used. */
int tp_search_check_names(const struct tp_search *s);
/* tp_calibration_is_short, for all candidates. */
bool tp_search_warning(const struct tp_search_result *result, char *line, size_t size);
int tp_search_publish(struct tp_search *s);

#endif
