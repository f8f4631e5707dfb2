/* SPDX-License-Identifier: MIT */
/* Commands that can run as jobs: their options, and running them. */
#ifndef TP_CLI_JOB_H
#define TP_CLI_JOB_H

#include "cli/options.h"
#include "control/jobs/jobs.h"

enum { TP_OPT_JOB = 300, TP_OPT_DETACH };

/* The last options of such a command, and the end of its table. */
#define TP_JOB_OPTIONS                                                                             \
    {TP_OPT_JOB, "job", NULL, "run as a job with a record: DIR MODEL [KEY=VALUE...]"},             \
        {TP_OPT_DETACH, "detach", NULL, "as --job; print the job's id and do not wait for it"},    \
    {                                                                                              \
        0, NULL, NULL, NULL                                                                        \
    }

#define TP_JOB_ABOUT                                                                               \
    "With --job the arguments are DIR MODEL or DIR/MODEL, and keys. The daemon of a mount of\n"    \
    "DIR runs the job; without one this process does. A record is kept in DIR/.tenpak/jobs.\n"     \
    "tenpak.conf has the defaults of the keys:\n"

/* The values of options, as KEY=VALUE. */
struct tp_job_words {
    char *list[24];
    int n;
    bool failed; /* a word is missing for lack of memory */
};
/* If a key is added twice, the last value counts. */
void tp_job_words_add(struct tp_job_words *words, const char *key, const char *value);
/* Add the option LETTER of O as the key of the same name; a flag is "yes". */
void tp_job_words_add_option(struct tp_job_words *words, const struct tp_options *o, int letter);
/*
 * The word of KEY, in WORDS or among the arguments of O after the first; NULL: there is none.
 */
const char *tp_job_words_find(const struct tp_job_words *words, const struct tp_options *o,
                              const char *key);
void tp_job_words_clear(struct tp_job_words *words);
/* Make the request of WORDS and N more words. */
int tp_job_words_read(const struct tp_job_words *words, char *const *more, int n, enum tp_verb verb,
                      const char *model, struct tp_request *out, struct tp_error *err);

/*
 * Make the request of WORDS and the arguments of O after the first, for a run in the foreground: as
 * many threads as -j says, and all memory unless the key says otherwise. False: the complaint is
 * printed, and O->exit is set.
 */
bool tp_job_words_read_foreground(const struct tp_job_words *words, struct tp_options *o,
                                  enum tp_verb verb, struct tp_request *out);

/*
 * Report that a request cannot be made. Returns the exit code: values that are wrong in themselves
 * are a wrong command line.
 */
int tp_job_report_request(struct tp_options *o, const struct tp_error *err);
/*
 * Check the values of REQUEST for DIR, as tp_request_check_values. Returns 0, or the exit code; the
 * complaint is printed.
 */
int tp_job_check_values(struct tp_options *o, const char *dir, const struct tp_request *request);

/*
 * Run VERB as a job with WORDS and the arguments. Unless DETACH, wait for it and print its report.
 * Returns the exit code.
 */
int tp_job_run(struct tp_options *options, enum tp_verb verb, struct tp_job_words *words,
               bool detach);

#endif
