/* SPDX-License-Identifier: MIT */
/* What a search leaves in the directory: the winner as a model, or all candidates; the report. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "optimizer/evaluate/machine.h"
#include "optimizer/evaluate/report.h"
#include "optimizer/search/search_impl.h"
#include "store/names.h"
#include "store/pack/pack.h"
#include "store/place.h"
#include "store/write/lossy.h"

/* --- Names --- */

/* DIR/NAME~CODEC.tnpk; NULL: out of memory. */
static char *pack_path(const struct tp_search *s, size_t i)
{
    return tp_format("%s/%s~%s" TP_PACK_SUFFIX, s->options->dir, s->options->name,
                     s->result->recipes[i]->name);
}

/* The key of the search that has made the pack PATH. False: none has. */
static bool find_search(const char *path, char out[TP_SHA256_HEX])
{
    tp_autojson struct tp_json *json = NULL;
    tp_autopack struct tp_pack *pack = NULL;
    const struct tp_index *x;
    const char *key;

    if (tp_store_open_path(NULL, path, &pack, NULL) < 0)
        return false;
    x = tp_pack_index(pack);
    for (uint32_t i = 0; i < x->attr_n && !json; i++)
        if (x->attrs[i].file == TP_NONE && strcmp(x->attrs[i].name, TP_LOSSY_ATTRIBUTE) == 0)
            tp_json_parse(x->attrs[i].value, x->attrs[i].len, &json, NULL);
    key = tp_json_string(tp_json_get(json, "search"));
    snprintf(out, TP_SHA256_HEX, "%s", key ? key : "");
    return key && x->lossy;
}

static int check_name(const struct tp_search *s, size_t i)
{
    tp_autofree char *path = pack_path(s, i), *name = path ? tp_path_model(path) : NULL;
    tp_autofree char *plain = name ? tp_path_join(s->options->dir, name, "") : NULL;
    char file[NAME_MAX + 1], key[TP_SHA256_HEX];
    struct stat st;

    if (!plain)
        return tp_oom(s->err);
    if (!tp_place_pack_name(name, file))
        return tp_fail(s->err, ENAMETOOLONG, "the name '%s' is too long for a pack", name);
    if (lstat(plain, &st) == 0)
        return tp_fail(s->err, EEXIST, "'%s' exists, where the result of the search would be",
                       plain);
    if (lstat(path, &st) < 0)
        return 0;
    if (!S_ISREG(st.st_mode) || !find_search(path, key))
        return tp_fail(s->err, EEXIST, "'%s' exists, and is not the result of a search", path);
    return 0;
}

int tp_search_check_names(const struct tp_search *s)
{
    int rc = 0;

    if (s->options->keep != TP_SEARCH_KEEP_NONE)
        for (size_t i = 0; rc == 0 && i < s->result->n; i++)
            rc = check_name(s, i);
    return rc;
}

/* --- Packs --- */

bool tp_search_warning(const struct tp_search_result *r, char *line, size_t size)
{
    unsigned needs = 0;

    for (size_t i = 0; i < r->n; i++)
        needs |= tp_recipe_needs(r->recipes[i]);
    return tp_calibration_is_short(tp_runtime_arch(r->original.runtime), needs,
                                   r->calibration.windows * r->calibration.context, line, size);
}

static void put_texts(struct tp_json_writer *json, const struct tp_search_options *o,
                      const struct tp_search_result *r)
{
    char warning[TP_ERROR_MAX];

    tp_text_put(json, o->text, &r->text);
    tp_calibration_put(json, o->calibration, &r->calibration,
                       tp_search_warning(r, warning, sizeof warning) ? warning : NULL);
    tp_json_put_u64(json, "context", r->text.context);
    tp_json_put_u64(json, "windows", r->text.windows);
}

/* What the pack says of itself. */
static int describe(const struct tp_search *s, size_t i, struct tp_buffer *out)
{
    const struct tp_search_options *o = s->options;
    struct tp_json_writer json;
    int rc;

    tp_json_writer_init(&json, out, false);
    tp_json_begin_object(&json, NULL);
    tp_json_put_string(&json, "tenpak", PACKAGE_VERSION);
    tp_json_put_string(&json, "search", s->state.key);
    tp_json_put_string(&json, "original", o->name);
    tp_json_put_string(&json, "summary", s->result->recipes[i]->summary);
    put_texts(&json, o, s->result);
    tp_json_put_string(&json, "hardware", o->hardware->name);
    tp_figures_put(&json, &s->result->table[i]);
    tp_json_end_object(&json);
    rc = tp_json_writer_finish(&json);
    return rc == 0 && tp_buffer_append_u8(out, '\0') == 0 ? 0 : tp_oom(s->err);
}

/* Whether PATH is what this search made before, and is whole. */
static bool is_published(const struct tp_search *s, const char *path)
{
    char key[TP_SHA256_HEX];

    return find_search(path, key) && strcmp(key, s->state.key) == 0 && tp_search_is_whole(s, path);
}

/* It is made in the directory of the state, which others do not sweep, and replaces OUT. */
static int make_pack(struct tp_search *s, size_t i, const char *out)
{
    const char *name = s->result->recipes[i]->name;
    tp_autofree char *pack = tp_search_state_path(&s->state, name, TP_PACK_SUFFIX);
    tp_autofree char *made = tp_search_state_path(&s->state, name, "~published" TP_PACK_SUFFIX);
    struct tp_buffer json = {0};
    int rc = pack && made ? describe(s, i, &json) : tp_oom(s->err);

    if (rc == 0) {
        unlink(made);
        rc = tp_lossy_publish(pack, made, (const char *)json.data, s->err);
    }
    if (rc == 0)
        rc = tp_search_check_names(s);
    if (rc == 0 && rename(made, out) < 0)
        rc = tp_fail_errno(s->err, "cannot rename '%s' to '%s'", made, out);
    if (rc == 0)
        rc = tp_file_sync_parent(out, s->err);
    if (rc < 0 && made)
        unlink(made);
    tp_buffer_clear(&json);
    return rc;
}

static int publish(struct tp_search *s, size_t i)
{
    char *out = pack_path(s, i);
    int rc = out ? 0 : tp_oom(s->err);

    if (rc == 0 && !is_published(s, out)) {
        rc = tp_search_make_packs(s, i);
        if (rc == 0)
            rc = make_pack(s, i, out);
        if (rc == 0)
            tp_search_remove_pack(&s->state, s->result->recipes[i]->name);
    }
    if (rc < 0) {
        free(out);
        return rc;
    }
    s->result->packs[i] = out;
    return 0;
}

int tp_search_publish(struct tp_search *s)
{
    const struct tp_search_result *r = s->result;
    double began = tp_seconds();
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < r->n; i++)
        if ((s->options->keep == TP_SEARCH_KEEP_WINNER && i == r->choice.winner) ||
            (s->options->keep == TP_SEARCH_KEEP_ALL &&
             r->measured[i].state == TP_CANDIDATE_COMPLETE)) {
            tp_progress_update(s->options->progress, "publish", i, r->n);
            rc = publish(s, i);
        }
    s->result->seconds.publish += tp_seconds() - began;
    return rc;
}

/* --- The report --- */

static void put_seconds(struct tp_json_writer *json, const struct tp_search_seconds *s)
{
    const struct {
        const char *name;
        double value;
    } all[] = {{"hash", s->hash},         {"tokenize", s->tokenize},
               {"read", s->read},         {"calibrate", s->calibrate},
               {"quantize", s->quantize}, {"write", s->write},
               {"evaluate", s->evaluate}, {"time", s->time},
               {"publish", s->publish},   {"all", s->all}};

    tp_json_begin_object(json, "seconds");
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        tp_json_put_double(json, all[i].name, all[i].value);
    tp_json_end_object(json);
}

static void put_packs(struct tp_json_writer *json, const struct tp_search_result *r)
{
    tp_json_begin_array(json, "packs");
    for (size_t i = 0; i < r->n; i++)
        if (r->packs[i])
            tp_json_put_string(json, NULL, tp_path_name(r->packs[i]));
    tp_json_end_array(json);
}

void tp_search_put(struct tp_json_writer *json, const struct tp_search_options *o,
                   const struct tp_search_result *r)
{
    bool local = tp_hardware_is_local(o->hardware), timed = r->roofline.rates.read_bandwidth > 0;
    struct tp_selection selection = {.n = r->n,
                                     .table = r->table,
                                     .measured = local ? NULL : r->measured,
                                     .steps = r->steps,
                                     .recipes = r->recipes,
                                     .arch = tp_runtime_arch(r->original.runtime),
                                     .limits = &r->limits,
                                     .hardware = o->hardware,
                                     .roofline = timed ? &r->roofline : NULL,
                                     .choice = &r->choice};

    tp_selection_put(json, &selection);
    tp_json_begin_object(json, "original");
    tp_json_put_double(json, "perplexity", r->ppl);
    tp_json_put_double(json, "perplexity_error", r->ppl_error);
    tp_json_end_object(json);
    put_texts(json, o, r);
    tp_json_put_u64(json, "batch", o->batch ? o->batch : 1);
    tp_json_put_u64(json, "rounds", r->rounds);
    tp_json_put_bool(json, "in_parts", r->in_parts);
    tp_json_put_u64(json, "candidates_continued", r->continued);
    tp_json_put_u64(json, "layers_continued", r->layers_continued);
    tp_json_put_u64(json, "layers_cached", r->layers_cached);
    tp_json_put_string(json, "search", r->key);
    put_packs(json, r);
    put_seconds(json, &r->seconds);
    tp_machine_put(json, "machine", r->threads);
    tp_json_put_u64(json, "peak_memory_bytes", r->peak_memory);
}
