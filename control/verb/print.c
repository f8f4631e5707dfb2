/* SPDX-License-Identifier: MIT */
/* Reading results from JSON, and printing them for people. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/printable.h"
#include "control/verb/impl.h"
#include "store/names.h"

char *tp_work_path(const struct tp_work *work, const char *suffix)
{
    return work->path ? strdup(work->path) : tp_path_join(work->dir, work->name, suffix);
}

uint64_t tp_result_number(const struct tp_json *result, const char *key)
{
    uint64_t v = 0;

    return tp_json_u64(tp_json_get(result, key), &v) ? v : 0;
}

double tp_result_decimal(const struct tp_json *result, const char *key)
{
    double v = 0;

    return tp_json_double(tp_json_get(result, key), &v) ? v : 0;
}

const char *tp_result_text(const struct tp_json *result, const char *key)
{
    const char *v = tp_json_string(tp_json_get(result, key));

    return v ? v : "";
}

void tp_print_text(struct tp_buffer *out, const char *text)
{
    tp_autofree char *copy = strdup(text);

    if (!copy)
        return;
    tp_text_make_printable(copy);
    tp_buffer_append(out, copy, strlen(copy));
}

void tp_print_base(struct tp_buffer *out, const struct tp_json *result)
{
    const char *base = tp_result_text(result, "base");

    tp_buffer_appendf(out, "  base: ");
    tp_print_text(out, *base ? base : "none");
    tp_buffer_appendf(out, " (");
    tp_print_text(out, tp_result_text(result, "base_reason"));
    tp_buffer_appendf(out, ")\n");
}

double tp_saving_ratio(uint64_t logical, uint64_t stored)
{
    return stored ? (double)logical / (double)stored : 0;
}

const char *tp_saving_print(uint64_t logical, uint64_t stored, char out[TP_SAVING_TEXT])
{
    if (stored == logical)
        snprintf(out, TP_SAVING_TEXT, "the same size");
    else if (!logical)
        snprintf(out, TP_SAVING_TEXT, "larger");
    else if (stored > logical)
        snprintf(out, TP_SAVING_TEXT, "%.1f %% larger",
                 100.0 * (double)(stored - logical) / (double)logical);
    else
        snprintf(out, TP_SAVING_TEXT, "%.2fx smaller", tp_saving_ratio(logical, stored));
    return out;
}
