/* SPDX-License-Identifier: MIT */
/* Results of jobs as JSON, and the report that carries them. */
#include <config.h>

#include <stdio.h>

#include "control/jobs/impl.h"
#include "control/verb/result.h"

#define REPORT_SCHEMA "tenpak.report/1"

double tp_result_ratio(uint64_t logical, uint64_t stored)
{
    return stored ? (double)logical / (double)stored : 0;
}

void tp_result_estimate(struct tp_json_writer *json, const struct tp_base_choice *choice,
                        const struct tp_estimate *e)
{
    tp_json_put_string(json, "base", choice->name[0] ? choice->name : NULL);
    tp_json_put_string(json, "base_reason", choice->why);
    tp_json_put_u64(json, "logical_bytes", e->logical_bytes);
    tp_json_put_u64(json, "stored_bytes", e->stored_bytes);
    tp_json_put_u64(json, "stored_bytes_low", e->stored_low);
    tp_json_put_u64(json, "stored_bytes_high", e->stored_high);
    tp_json_put_double(json, "ratio", tp_result_ratio(e->logical_bytes, e->stored_bytes));
    tp_json_put_u64(json, "sampled_bytes", e->sampled_bytes);
    tp_json_put_u64(json, "matched_bytes", e->matched_bytes);
    tp_json_put_double(json, "changed_fraction", e->changed);
    tp_json_put_double(json, "seconds", e->seconds);
}

static void put_codecs(struct tp_json_writer *json, const struct tp_pack_report *pack)
{
    tp_json_begin_object(json, "codecs");
    for (unsigned id = 0; id < TP_CODEC_COUNT; id++) {
        if (!pack->codec_chunks[id])
            continue;
        tp_json_begin_object(json, tp_codec_name(id));
        tp_json_put_u64(json, "chunks", pack->codec_chunks[id]);
        tp_json_put_u64(json, "logical_bytes", pack->codec_logical[id]);
        tp_json_put_u64(json, "stored_bytes", pack->codec_stored[id]);
        tp_json_end_object(json);
    }
    tp_json_end_object(json);
}

void tp_result_compress(struct tp_json_writer *json, const char *pack_name, bool removed,
                        const struct tp_compress_report *report)
{
    const struct tp_pack_report *pack = &report->pack;

    tp_json_put_string(json, "pack", pack_name);
    tp_json_put_hex(json, "id", pack->id, sizeof pack->id);
    tp_json_put_string(json, "base", report->base[0] ? report->base : NULL);
    tp_json_put_string(json, "base_reason", report->why);
    tp_json_put_bool(json, "base_packed", report->base_packed);
    tp_json_put_bool(json, "original_removed", removed);
    tp_json_put_u64(json, "logical_bytes", pack->logical_bytes);
    tp_json_put_u64(json, "stored_bytes", pack->stored_bytes);
    tp_json_put_double(json, "ratio", tp_result_ratio(pack->logical_bytes, pack->stored_bytes));
    tp_json_put_u64(json, "files", pack->file_n);
    tp_json_put_u64(json, "tensors", pack->tensor_n);
    tp_json_put_u64(json, "chunks", pack->chunk_n);
    tp_json_put_u64(json, "tensor_logical_bytes", pack->tensor_bytes);
    tp_json_put_u64(json, "tensor_stored_bytes", pack->tensor_stored_bytes);
    put_codecs(json, pack);
    tp_json_begin_object(json, "not_kept");
    tp_json_put_u64(json, "owners", pack->lost.owners);
    tp_json_put_u64(json, "capabilities", pack->lost.capabilities);
    tp_json_put_u64(json, "flags", pack->lost.flags);
    tp_json_put_u64(json, "attributes", pack->lost.attributes);
    tp_json_end_object(json);
    tp_json_put_double(json, "write_seconds", pack->write_seconds);
    tp_json_put_double(json, "verify_seconds", pack->verify_seconds);
}

void tp_result_restore(struct tp_json_writer *json, const char *directory, uint64_t bytes,
                       bool removed)
{
    tp_json_put_string(json, "directory", directory);
    tp_json_put_u64(json, "bytes", bytes);
    tp_json_put_bool(json, "pack_removed", removed);
}

void tp_result_verify(struct tp_json_writer *json, int rc, const struct tp_error *err,
                      const struct tp_verify_report *report)
{
    tp_json_put_bool(json, "whole", rc == 0);
    tp_json_put_string(json, "error", rc ? err->message : NULL);
    tp_json_put_u64(json, "files", report->files);
    tp_json_put_u64(json, "chunks", report->chunks);
    tp_json_put_u64(json, "bytes", report->bytes);
    tp_json_put_u64(json, "bad_files", report->bad_files);
    tp_json_put_u64(json, "bad_chunks", report->bad_chunks);
    tp_json_put_double(json, "seconds", report->seconds);
}

void tp_report_begin(struct tp_report *report, const char *id, enum tp_verb verb,
                     const char *subject)
{
    *report = (struct tp_report){0};
    tp_json_writer_init(&report->json, &report->buf, true);
    tp_json_begin_object(&report->json, NULL);
    tp_json_put_string(&report->json, "schema", REPORT_SCHEMA);
    tp_json_put_string(&report->json, "id", id);
    tp_json_put_string(&report->json, "verb", tp_verb_get(verb)->name);
    tp_json_put_string(&report->json, "model", subject);
}

int tp_report_end(struct tp_report *report, int fd, bool has_result, enum tp_job_state state,
                  int error, const char *message, struct tp_error *err)
{
    struct tp_json_writer *json = &report->json;
    int rc;

    if (!has_result)
        tp_json_put_null(json, "result");
    tp_json_put_string(json, "state", tp_job_state_name(state));
    tp_error_json(json, error, message, NULL);
    tp_json_end_object(json);
    rc = tp_json_writer_finish(json);
    rc = rc < 0 ? tp_fail(err, -rc, "out of memory for a report")
                : tp_record_put(fd, "report.json", report->buf.data, report->buf.len, true, err);
    tp_buffer_clear(&report->buf);
    return rc;
}

int tp_report_failure(int fd, const struct tp_job_status *status, struct tp_error *err)
{
    struct tp_report report;

    tp_report_begin(&report, status->id, status->verb, status->subject);
    return tp_report_end(&report, fd, false, status->state, status->error, status->message, err);
}
