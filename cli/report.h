/* SPDX-License-Identifier: MIT */
/*
 * What commands print: JSON documents, numbers for people, errors with their hints, progress on a
 * terminal.
 */
#ifndef TP_CLI_REPORT_H
#define TP_CLI_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json_write.h"
#include "base/progress.h"
#include "cli/command.h"
#include "store/pack/pack.h"

/* --- Documents --- */

struct tp_document {
    struct tp_buffer buf;
    struct tp_json_writer json;
};

/* Begin an object for standard output. */
void tp_document_begin(struct tp_document *doc);
/* End it and print it: TP_EXIT_OK, or TP_EXIT_FAILURE after printing the error. */
int tp_document_end(struct tp_document *doc);
/* End it without printing. */
void tp_document_drop(struct tp_document *doc);

/*
 * Standard output, flushed: TP_EXIT_FAILURE and a message when not all could be written (a full
 * disk).
 */
int tp_report_flush(void);
/* The same at the end of a command whose verb gave RC: 1 is TP_EXIT_NONE (cli/foreground.h). */
int tp_report_finish(int rc);

/* --- Numbers --- */

/* "12.3 MiB" within this call's argument list: one of a few buffers, taken in turn. */
const char *tp_report_size(uint64_t bytes);
/* "3.1x smaller", "0.2 % larger", "the same size". */
const char *tp_report_saving(uint64_t logical, uint64_t stored);
double tp_report_ratio(uint64_t logical, uint64_t stored);
/* NAME, or another text from elsewhere, as it may be printed: what base/printable.h names as '?'.
 * NAME itself where it is ASCII without such, else one of a few buffers, which end a very long one.
 */
const char *tp_report_name(const char *name);
/* Lower-case hexadecimal of a pack's id or a file's hash; one of a few buffers. */
const char *tp_report_hex(const uint8_t sha256[TP_SHA256_LEN]);

/* --- Errors --- */

/* Print the message, and a hint where there is one; the matching exit code. */
int tp_report_error(const struct tp_error *err);
/* The same of a command that has nothing else to print: with --json the error is its document. */
int tp_report_failed(const struct tp_options *options, const struct tp_error *err);
/* The exit code of a negative errno. */
int tp_report_exit(int rc);
/* What libraries log goes to standard error from now on: warnings and errors. */
void tp_report_log(bool quiet);
/* Whether hints may name -o, as an option of the command that runs. */
void tp_report_output(bool has_output);

#endif
