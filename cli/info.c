/* SPDX-License-Identifier: MIT */
/* tenpak info: the manifest of a pack. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/options.h"
#include "cli/place.h"
#include "cli/report.h"

enum { OPT_TENSORS = 't' };

static const struct tp_option options[] = {
    {OPT_TENSORS, "tensors", NULL, "list every tensor: dtype, shape, size, stored size, codecs"},
    {0, NULL, NULL, NULL},
};

struct usage {
    uint64_t logical, stored;
    uint64_t chunks[TP_CODEC_COUNT];
};

static void add_segment(const struct tp_index *x, const struct tp_segment *s, struct usage *u)
{
    u->logical += s->len;
    for (uint32_t i = 0; i < s->tables_n; i++)
        u->stored += x->tables[s->tables_first + i].stored_len;
    for (uint32_t i = s->chunk_first; i < s->chunk_first + s->chunk_n; i++) {
        u->stored += x->chunks[i].stored_len;
        u->chunks[x->chunks[i].codec]++;
    }
}

static void add_file(const struct tp_index *x, const struct tp_pack_file *f, struct usage *u)
{
    for (uint32_t i = 0; i < f->segment_n; i++)
        add_segment(x, &x->segments[f->segment_first + i], u);
}

/* "delta 12, same 3": chunks by codec. */
static const char *codecs_text(const struct usage *u, char *out, size_t len)
{
    size_t used = 0;
    out[0] = '\0';
    for (unsigned id = 0; id < TP_CODEC_COUNT && used < len; id++)
        if (u->chunks[id])
            used += (size_t)snprintf(out + used, len - used, "%s%s %" PRIu64, used ? ", " : "",
                                     tp_codec_name(id), u->chunks[id]);
    return out;
}

static void codecs_json(struct tp_json_writer *json, const struct usage *u)
{
    tp_json_begin_object(json, "codec_chunks");
    for (unsigned id = 0; id < TP_CODEC_COUNT; id++)
        if (u->chunks[id])
            tp_json_put_u64(json, tp_codec_name(id), u->chunks[id]);
    tp_json_end_object(json);
}

static const char *type_name(enum tp_entry_type type)
{
    return type == TP_ENTRY_FILE ? "file" : type == TP_ENTRY_DIR ? "directory" : "symlink";
}

static void files_json(struct tp_json_writer *json, const struct tp_index *x)
{
    tp_json_begin_array(json, "files");
    for (uint32_t i = 0; i < x->file_n; i++) {
        const struct tp_pack_file *f = &x->files[i];
        struct usage u = {0};
        tp_json_begin_object(json, NULL);
        tp_json_put_string(json, "path", f->path);
        tp_json_put_string(json, "type", type_name(f->type));
        tp_json_put_stringf(json, "mode", "%04o", f->mode);
        tp_json_put_time(json, "mtime", f->mtime_sec, f->mtime_nsec);
        if (f->type == TP_ENTRY_SYMLINK)
            tp_json_put_string(json, "target", f->target);
        if (f->type == TP_ENTRY_FILE) {
            add_file(x, f, &u);
            tp_json_put_u64(json, "bytes", f->size);
            tp_json_put_u64(json, "stored_bytes", u.stored);
            tp_json_put_hex(json, "sha256", f->sha256, sizeof f->sha256);
            codecs_json(json, &u);
        }
        tp_json_end_object(json);
    }
    tp_json_end_array(json);
}

/* Segments that follow each other and belong to one tensor, from number I of file F; the number after them. */
static uint32_t take_tensor(const struct tp_index *x, const struct tp_pack_file *f, uint32_t i,
                            struct usage *u, bool *predicted)
{
    const struct tp_segment *first = &x->segments[f->segment_first + i];
    *u = (struct usage){0};
    *predicted = false;
    do {
        const struct tp_segment *s = &x->segments[f->segment_first + i];
        add_segment(x, s, u);
        *predicted |= s->base_segment != TP_NONE;
        i++;
    } while (i < f->segment_n && x->segments[f->segment_first + i].elem_first &&
             !strcmp(x->segments[f->segment_first + i].name, first->name));
    return i;
}

static void tensor_json(struct tp_json_writer *json, const struct tp_pack_file *f,
                        const struct tp_segment *s, const struct usage *u, bool predicted)
{
    tp_json_begin_object(json, NULL);
    tp_json_put_string(json, "name", s->name);
    tp_json_put_string(json, "file", f->path);
    tp_json_put_string(json, "dtype", tp_dtype_name(s->dtype));
    tp_json_begin_array(json, "shape");
    for (unsigned d = 0; d < s->rank; d++)
        tp_json_put_u64(json, NULL, s->shape[d]);
    tp_json_end_array(json);
    tp_json_put_u64(json, "offset", s->file_off);
    tp_json_put_u64(json, "bytes", u->logical);
    tp_json_put_u64(json, "stored_bytes", u->stored);
    tp_json_put_bool(json, "predicted_by_base", predicted);
    codecs_json(json, u);
    tp_json_end_object(json);
}

static void tensor_print(const struct tp_segment *s, const struct usage *u)
{
    char codecs[128], shape[128];
    size_t used = 0;
    shape[0] = '\0';
    for (unsigned d = 0; d < s->rank && used < sizeof shape; d++)
        used += (size_t)snprintf(shape + used, sizeof shape - used, "%s%" PRIu64, d ? "x" : "", s->shape[d]);
    printf("  %-8s %-16s %10s  %10s  %s  (%s)\n", tp_dtype_name(s->dtype), s->rank ? shape : "scalar",
           tp_report_size(u->logical), tp_report_size(u->stored), s->name,
           codecs_text(u, codecs, sizeof codecs));
}

static void tensors(struct tp_json_writer *json, const struct tp_index *x)
{
    if (json)
        tp_json_begin_array(json, "tensors");
    for (uint32_t n = 0; n < x->file_n; n++) {
        const struct tp_pack_file *f = &x->files[n];
        for (uint32_t i = 0; i < f->segment_n;) {
            const struct tp_segment *s = &x->segments[f->segment_first + i];
            struct usage u;
            bool predicted;
            i = take_tensor(x, f, i, &u, &predicted);
            if (s->dtype == TP_DTYPE_BYTES)
                continue;
            if (json)
                tensor_json(json, f, s, &u, predicted);
            else
                tensor_print(s, &u);
        }
    }
    if (json)
        tp_json_end_array(json);
}

static int print_json(struct tp_pack *pack, const struct tp_index *x, const struct usage *all)
{
    struct tp_document doc;
    tp_document_begin(&doc);
    tp_json_put_string(&doc.json, "pack", tp_pack_path(pack));
    tp_json_put_hex(&doc.json, "id", tp_pack_get_id(pack), TP_SHA256_LEN);
    tp_json_put_u64(&doc.json, "format_version", TP_PACK_VERSION);
    tp_json_put_string(&doc.json, "writer", x->writer);
    if (x->has_base) {
        tp_json_begin_object(&doc.json, "base");
        tp_json_put_string(&doc.json, "name", x->base_name);
        tp_json_put_hex(&doc.json, "id", x->base_id, TP_SHA256_LEN);
        tp_json_put_string(&doc.json, "path", tp_pack_base(pack) ? tp_pack_path(tp_pack_base(pack)) : NULL);
        tp_json_end_object(&doc.json);
    } else {
        tp_json_put_null(&doc.json, "base");
    }
    tp_json_put_u64(&doc.json, "chunk_size", x->chunk_size);
    tp_json_put_u64(&doc.json, "chunks", x->chunk_n);
    tp_json_put_u64(&doc.json, "logical_bytes", x->logical_bytes);
    tp_json_put_u64(&doc.json, "stored_bytes", tp_pack_stored_bytes(pack));
    tp_json_put_double(&doc.json, "ratio", tp_report_ratio(x->logical_bytes, tp_pack_stored_bytes(pack)));
    tp_json_put_bool(&doc.json, "exact", true);
    tp_json_put_stringf(&doc.json, "mode", "%04o", x->root_mode);
    tp_json_put_time(&doc.json, "mtime", x->root_mtime_sec, x->root_mtime_nsec);
    codecs_json(&doc.json, all);
    files_json(&doc.json, x);
    tensors(&doc.json, x);
    return tp_document_end(&doc);
}

static void print_text(struct tp_pack *pack, const struct tp_index *x, const struct usage *all,
                       bool with_tensors)
{
    char codecs[128];
    printf("pack      %s\nid        %s\nwritten   by %s, format %d\n", tp_pack_path(pack),
           tp_report_hex(tp_pack_get_id(pack)), x->writer, TP_PACK_VERSION);
    if (x->has_base)
        printf("base      %s, id %s%s\n", x->base_name, tp_report_hex(x->base_id),
               tp_pack_base(pack) ? "" : " (absent)");
    else
        puts("base      none");
    printf("size      %s, stored in %s, %s\n", tp_report_size(x->logical_bytes),
           tp_report_size(tp_pack_stored_bytes(pack)),
           tp_report_saving(x->logical_bytes, tp_pack_stored_bytes(pack)));
    printf("chunks    %" PRIu32 " of %s: %s\n\n", x->chunk_n, tp_report_size(x->chunk_size),
           codecs_text(all, codecs, sizeof codecs));
    for (uint32_t i = 0; i < x->file_n; i++) {
        const struct tp_pack_file *f = &x->files[i];
        struct usage u = {0};
        add_file(x, f, &u);
        if (f->type == TP_ENTRY_FILE)
            printf("%.12s  %10s  %10s  %s\n", tp_report_hex(f->sha256), tp_report_size(f->size),
                   tp_report_size(u.stored), f->path);
        else
            printf("%-12s  %10s  %10s  %s%s%s\n", type_name(f->type), "", "", f->path,
                   f->target ? " -> " : "", f->target ? f->target : "");
    }
    if (with_tensors) {
        putchar('\n');
        tensors(NULL, x);
    }
}

static int run(struct tp_options *o)
{
    struct tp_error err = {0};
    struct tp_store *store = NULL;
    struct tp_pack *pack = NULL;
    struct tp_place place = {0};
    struct usage all = {0};
    bool with_tensors = false;
    int opt, code = TP_EXIT_OK;

    while ((opt = tp_options_next(o)) > 0)
        with_tensors |= opt == OPT_TENSORS;
    if (opt < 0)
        return o->exit;
    int rc = tp_place_find(o->argv[0], &place, &err);
    if (!rc)
        rc = tp_place_open(&place, &store, &pack, &err);
    if (rc) {
        code = tp_report_error(&err);
    } else {
        const struct tp_index *x = tp_pack_index(pack);
        for (uint32_t i = 0; i < x->segment_n; i++)
            add_segment(x, &x->segments[i], &all);
        if (o->json)
            code = print_json(pack, x, &all);
        else
            print_text(pack, x, &all, with_tensors), code = tp_report_flush();
    }
    tp_pack_close(pack);
    if (store)
        tp_store_close(store);
    tp_place_clear(&place);
    return code;
}

const struct tp_command tp_command_info = {
    .name = "info",
    .args = "[OPTION...] PACK",
    .summary = "Show what a pack holds and how it is coded.",
    .about = "Columns of files: the SHA-256's first digits, the size, what is stored of it. With --json the whole\n"
             "manifest, tensors and hashes in full.",
    .examples = "  tenpak info models/my-finetune.tnpk\n"
                "  tenpak info --json models/my-finetune | jq -r '.files[] | \"\\(.sha256)  \\(.path)\"'\n",
    .options = options,
    .with = TP_WITH_JSON,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
