/* SPDX-License-Identifier: MIT */
/* Printing: documents, numbers, errors. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/printable.h"
#include "base/size.h"
#include "cli/options.h"
#include "cli/report.h"
#include "control/jobs/record.h"
#include "cli/meter.h"

enum { RING = 16, TEXT = TP_SAVING_TEXT + 16, NAMES = 8, NAME_TEXT = 4200 };

/* A place for a short text, used again after RING others. */
static char *next_buffer(void)
{
    static char texts[RING][TEXT];
    static unsigned next;
    return texts[next++ % RING];
}

void tp_document_begin(struct tp_document *doc)
{
    *doc = (struct tp_document){0};
    tp_json_writer_init(&doc->json, &doc->buf, true);
    tp_json_begin_object(&doc->json, NULL);
}

int tp_document_end(struct tp_document *doc)
{
    tp_json_end_object(&doc->json);
    int rc = tp_json_writer_finish(&doc->json);
    if (!rc)
        fwrite(doc->buf.data, 1, doc->buf.len, stdout);
    else
        fputs("tenpak: out of memory\n", stderr);
    tp_buffer_clear(&doc->buf);
    return rc ? TP_EXIT_FAILURE : tp_report_flush();
}

void tp_document_drop(struct tp_document *doc)
{
    tp_json_end_object(&doc->json);
    tp_json_writer_finish(&doc->json);
    tp_buffer_clear(&doc->buf);
}

int tp_report_flush(void)
{
    if (!fflush(stdout) && !ferror(stdout))
        return TP_EXIT_OK;
    fprintf(stderr, "tenpak: cannot write to standard output: %s\n", strerror(errno));
    return TP_EXIT_FAILURE;
}

int tp_report_finish(int rc)
{
    int code = tp_report_flush();

    return code == TP_EXIT_OK && rc > 0 ? TP_EXIT_NONE : code;
}

const char *tp_report_size(uint64_t bytes)
{
    return tp_size_print(bytes, next_buffer());
}

double tp_report_ratio(uint64_t logical, uint64_t stored)
{
    return tp_saving_ratio(logical, stored);
}

const char *tp_report_saving(uint64_t logical, uint64_t stored)
{
    return tp_saving_print(logical, stored, next_buffer());
}

const char *tp_report_name(const char *name)
{
    static char texts[NAMES][NAME_TEXT];
    static unsigned next;
    const char *p = name;
    while (*p >= 0x20 && *p < 0x7f)
        p++;
    if (!*p)
        return name;
    char *text = texts[next++ % NAMES];
    snprintf(text, NAME_TEXT, "%s", name);
    tp_text_make_printable(text);
    return text;
}

const char *tp_report_hex(const uint8_t sha256[TP_SHA256_LEN])
{
    char *text = next_buffer();
    tp_hex(sha256, TP_SHA256_LEN, text);
    return text;
}

int tp_report_exit(int rc)
{
    switch (rc) {
    case 0:
        return TP_EXIT_OK;
    case -EBADMSG:
        return TP_EXIT_DAMAGED;
    case -EBUSY:
        return TP_EXIT_BUSY;
    case -EPROTONOSUPPORT:
        return TP_EXIT_VERSION;
    case -ENOLINK:
        return TP_EXIT_BASE;
    case -ECANCELED:
        return TP_EXIT_INTERRUPTED;
    default:
        return TP_EXIT_FAILURE;
    }
}

static bool output_option;

void tp_report_output(bool has_output)
{
    output_option = has_output;
}

static const char *hint_for(int code)
{
    switch (code) {
    case -ENOLINK:
        return "put the base's pack into the same directory; 'tenpak info' shows the id that is "
               "wanted";
    case -EPROTONOSUPPORT:
        return "a newer tenpak wrote this; 'tenpak version' shows what this one reads";
    case -ENOSPC:
        return output_option
                   ? "no model was changed; free some space, or write to another disk with -o"
                   : "no model was changed; free some space";
    case -EROFS:
        return output_option ? "the directory is read-only; write elsewhere with -o" : NULL;
    case -EEXIST:
        return output_option ? "remove it first, or choose another name with -o" : NULL;
    case -ENOTCONN:
        return "a mount whose daemon died: 'tenpak umount -l' removes it";
    default:
        return NULL;
    }
}

int tp_report_error(const struct tp_error *err)
{
    static const char *told;
    const char *hint = hint_for(err->code);
    char message[TP_ERROR_MAX];
    if (err->code == -ECANCELED) {
        fputs("tenpak: interrupted\n", stderr);
        return TP_EXIT_INTERRUPTED;
    }
    snprintf(message, sizeof message, "%s", err->message);
    tp_text_make_printable(message);
    fprintf(stderr, "tenpak: %s\n", message);
    /* Where a directory has a hundred of one kind, once is enough. */
    if (hint && hint != told)
        fprintf(stderr, "hint: %s\n", hint);
    told = hint ? hint : told;
    return err->code ? tp_report_exit(err->code) : TP_EXIT_FAILURE;
}

int tp_report_failed(const struct tp_options *options, const struct tp_error *err)
{
    struct tp_document doc;
    int code = tp_report_error(err);

    if (options->json) {
        tp_document_begin(&doc);
        tp_error_json(&doc.json, err->code ? -err->code : EIO, err->message, NULL);
        tp_document_end(&doc);
    }
    return code;
}

static void log_line(void *arg, enum tp_log_level level, const char *line)
{
    char text[TP_ERROR_MAX + 32];
    (void)arg;
    snprintf(text, sizeof text, "tenpak: %s%s",
             level == TP_LOG_WARNING ? "warning: "
             : level == TP_LOG_ERROR ? "error: "
                                     : "",
             line);
    tp_meter_note(NULL, text);
}

void tp_report_log(bool quiet)
{
    tp_log_set_sink(log_line, NULL, quiet ? TP_LOG_ERROR : TP_LOG_WARNING);
}
