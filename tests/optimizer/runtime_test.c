/* SPDX-License-Identifier: MIT */
/*
 * The runtime: tensors that do not fit a config, bounds of the calls, caches. The arithmetic of
 * whole models is in families_test.py, configs are in arch_test.c.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/json.h"
#include "base/json_write.h"
#include "base/le.h"
#include "optimizer/runtime/runtime.h"
#include "tensor/config.h"
#include "tests/tap.h"

#define DIMENSIONS                                                                                 \
    "\"hidden_size\": 8, \"intermediate_size\": 12, \"num_hidden_layers\": 2, "                    \
    "\"num_attention_heads\": 2, \"num_key_value_heads\": 1, \"vocab_size\": 16"
#define LLAMA "\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", " DIMENSIONS
#define MISTRAL                                                                                    \
    "\"architectures\": [\"MistralForCausalLM\"], \"model_type\": \"mistral\", " DIMENSIONS
#define QWEN2 "\"architectures\": [\"Qwen2ForCausalLM\"], \"model_type\": \"qwen2\", " DIMENSIONS

/* --- Files --- */

static char *scratch;

struct part {
    const char *name;
    uint64_t rows, cols;
};

static const struct part parts[] = {
    {"model.embed_tokens.weight", 16, 8},
    {"lm_head.weight", 16, 8},
    {"model.norm.weight", 8, 0},
    {"model.layers.%u.input_layernorm.weight", 8, 0},
    {"model.layers.%u.post_attention_layernorm.weight", 8, 0},
    {"model.layers.%u.self_attn.q_proj.weight", 8, 8},
    {"model.layers.%u.self_attn.k_proj.weight", 4, 8},
    {"model.layers.%u.self_attn.v_proj.weight", 4, 8},
    {"model.layers.%u.self_attn.o_proj.weight", 8, 8},
    {"model.layers.%u.mlp.gate_proj.weight", 12, 8},
    {"model.layers.%u.mlp.up_proj.weight", 12, 8},
    {"model.layers.%u.mlp.down_proj.weight", 8, 12},
    {"model.layers.%u.self_attn.q_proj.bias", 8, 0},
    {"model.layers.%u.self_attn.k_proj.bias", 4, 0},
    {"model.layers.%u.self_attn.v_proj.bias", 4, 0},
};

enum { BIASES = 3 }; /* the last ones, which a Qwen2 has */

struct writer {
    struct tp_json_writer json;
    struct tp_buffer header, data;
};

static void put_tensor(struct writer *w, const char *name, const char *dtype, uint64_t rows,
                       uint64_t cols, float value)
{
    uint64_t n = rows * (cols ? cols : 1), start = w->data.len;
    uint64_t state = start + 1;

    for (uint64_t i = 0; i < n; i++) {
        float v = value != value ? value : (float)(tap_random(&state) >> 40) / 0x1p24f - 0.4f;
        if (strcmp(dtype, "F32") == 0)
            tp_buffer_append(&w->data, &v, sizeof v);
        else
            tp_buffer_append_u8(&w->data, 0);
    }
    tp_json_begin_object(&w->json, name);
    tp_json_put_string(&w->json, "dtype", dtype);
    tp_json_begin_array(&w->json, "shape");
    tp_json_put_u64(&w->json, NULL, rows);
    if (cols)
        tp_json_put_u64(&w->json, NULL, cols);
    tp_json_end_array(&w->json);
    tp_json_begin_array(&w->json, "data_offsets");
    tp_json_put_u64(&w->json, NULL, start);
    tp_json_put_u64(&w->json, NULL, w->data.len);
    tp_json_end_array(&w->json);
    tp_json_end_object(&w->json);
}

static void begin_file(struct writer *w)
{
    *w = (struct writer){0};
    tp_json_writer_init(&w->json, &w->header, false);
    tp_json_begin_object(&w->json, NULL);
}

static void write_path(const char *dir, const char *name, const void *data, size_t len,
                       const void *more, size_t more_len)
{
    char *path;
    FILE *f;

    if (asprintf(&path, "%s/%s", dir, name) < 0 || !(f = fopen(path, "wb")))
        bail_out("cannot write");
    fwrite(data, 1, len, f);
    fwrite(more, 1, more_len, f);
    fclose(f);
    free(path);
}

static void end_file(struct writer *w, const char *dir, const char *name)
{
    struct tp_buffer all = {0};

    tp_json_end_object(&w->json);
    tp_json_writer_finish(&w->json);
    tp_buffer_append_le64(&all, w->header.len);
    tp_buffer_append(&all, w->header.data, w->header.len);
    write_path(dir, name, all.data, all.len, w->data.data, w->data.len);
    tp_buffer_clear(&all);
    tp_buffer_clear(&w->header);
    tp_buffer_clear(&w->data);
}

/* A difference from a good model. */
struct fault {
    const char *drop, *reshape, *nan, *dtype; /* names of tensors; DTYPE is I8 then */
    const char *extra;                        /* a further tensor */
    const char *file;                         /* of all tensors; NULL: model.safetensors */
    const char *second;                       /* a tensor that a second file has again */
    const char *index;                        /* of model.safetensors.index.json */
    const char *arch, *config; /* its members; NULL: those of a Llama; further ones */
    bool biases;
};

/* A model directory; its path is the caller's. */
static char *make_model(const struct fault *fault)
{
    static unsigned made;
    struct writer w;
    char *dir, name[128];
    const char *config = fault->config ? fault->config : "";
    size_t n = sizeof parts / sizeof *parts - (fault->biases ? 0 : BIASES);

    if (asprintf(&dir, "%s/m%u", scratch, made++) < 0 || mkdir(dir, 0755) < 0)
        bail_out("mkdir");
    begin_file(&w);
    for (size_t i = 0; i < n; i++) {
        const struct part *p = &parts[i];
        for (unsigned layer = 0; layer < (strchr(p->name, '%') ? 2 : 1); layer++) {
            bool odd;
            const char *at = strstr(p->name, "%u");

            snprintf(name, sizeof name, "%.*s", at ? (int)(at - p->name) : 127, p->name);
            if (at)
                snprintf(name + strlen(name), sizeof name - strlen(name), "%u%s", layer, at + 2);
            if (fault->drop && strcmp(fault->drop, name) == 0)
                continue;
            odd = fault->reshape && strcmp(fault->reshape, name) == 0;
            put_tensor(&w, name, fault->dtype && strcmp(fault->dtype, name) == 0 ? "I8" : "F32",
                       p->rows + odd, p->cols,
                       fault->nan && strcmp(fault->nan, name) == 0 ? NAN : 0);
        }
    }
    if (fault->extra)
        put_tensor(&w, fault->extra, "F32", 8, 0, 0);
    end_file(&w, dir, fault->file ? fault->file : "model.safetensors");
    if (fault->index)
        write_path(dir, "model.safetensors.index.json", fault->index, strlen(fault->index), "", 0);
    if (fault->second) {
        begin_file(&w);
        put_tensor(&w, fault->second, "F32", 8, 0, 0);
        end_file(&w, dir, "other.safetensors");
    }
    begin_file(&w);
    tp_buffer_clear(&w.header);
    tp_buffer_appendf(&w.header, "{%s%s}", fault->arch ? fault->arch : LLAMA, config);
    write_path(dir, "config.json", w.header.data, w.header.len, "", 0);
    tp_buffer_clear(&w.header);
    return dir;
}

struct opened {
    struct tp_model *model;
    struct tp_runtime *rt;
    int rc;
    struct tp_error err;
};

static struct opened open_model(const struct fault *fault, const struct tp_runtime_options *options)
{
    struct opened o = {0};
    char *dir = make_model(fault);

    o.rc = tp_model_open(dir, NULL, &o.model, &o.err);
    if (o.rc == 0)
        o.rc = tp_runtime_open(o.model, options, &o.rt, &o.err);
    free(dir);
    return o;
}

static void close_model(struct opened *o)
{
    tp_runtime_close(o->rt);
    tp_model_close(o->model);
}

static void check_tensors(void)
{
    static const struct {
        struct fault fault;
        int code;
        const char *part;
    } cases[] = {
        {{.drop = "model.layers.1.mlp.down_proj.weight"}, -ENOENT, "layers.1.mlp.down_proj"},
        {{.drop = "lm_head.weight"}, -ENOENT, "lm_head.weight"},
        {{.drop = "model.embed_tokens.weight"}, -ENOENT, "embed_tokens"},
        {{.reshape = "model.layers.0.self_attn.k_proj.weight"}, -EBADMSG, "5 x 8"},
        {{.reshape = "model.norm.weight"}, -EBADMSG, "9 elements"},
        {{.dtype = "model.layers.0.self_attn.o_proj.weight"}, -EOPNOTSUPP, "I8"},
        {{.file = "a.safetensors", .second = "model.norm.weight"}, -EBADMSG, "'other.safetensors'"},
        {{.extra = "model.layers.0.self_attn.q_proj.bias"}, -EBADMSG, "q_proj.bias"},
        {{.config = ", \"attention_bias\": true"}, -ENOENT, "q_proj.bias"},
        {{.config = ", \"head_dim\": 8"}, -EBADMSG, "q_proj"},
    };
    struct opened o;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        o = open_model(&cases[i].fault, NULL);
        if (!ok(o.rc == cases[i].code && strstr(o.err.message, cases[i].part), "tensors: %s",
                cases[i].part))
            diag("%d: '%s'", o.rc, o.err.message);
        close_model(&o);
    }
    o = open_model(&(struct fault){.extra = "model.layers.0.self_attn.rotary_emb.inv_freq"}, NULL);
    is_int(o.rc, 0, "a buffer of an older file is no weight");
    close_model(&o);
    o = open_model(&(struct fault){.extra = "model.layers.2.self_attn.q_proj.bias"}, NULL);
    is_int(o.rc, 0, "a layer that the config does not have is no weight");
    close_model(&o);
}

#define INDEX(map) "{\"metadata\": {\"total_size\": 1}, \"weight_map\": " map "}"

/* Whose tensors count. */
static void check_files(void)
{
    static const struct {
        struct fault fault;
        int code;
        const char *part; /* of the message, or what is tested */
    } cases[] = {
        {{.second = "model.norm.weight"}, 0, "model.safetensors is the only one that counts"},
        {{.second = "model.norm.weight", .index = INDEX("{\"a\": \"other.safetensors\"}")},
         0,
         "it comes before an index"},
        {{.file = "a.safetensors",
          .second = "model.norm.weight",
          .index = INDEX("{\"model.norm.weight\": \"a.safetensors\"}")},
         0,
         "otherwise those of the index do"},
        {{.file = "a.safetensors",
          .second = "model.layers.0.self_attn.q_proj.bias",
          .index = INDEX("{\"a\": \"a.safetensors\", \"b\": \"other.safetensors\"}")},
         -EBADMSG,
         "q_proj.bias"},
        {{.file = "a.safetensors", .index = INDEX("{\"a\": \"b.safetensors\"}")},
         -ENOENT,
         "names 'b.safetensors', which is not there"},
        {{.file = "a.safetensors", .index = INDEX("{\"a\": 3}")}, -EBADMSG, "for 'a'"},
        {{.file = "a.safetensors", .index = INDEX("{}")}, -EBADMSG, "'weight_map'"},
        {{.file = "a.safetensors", .index = "[]"}, -EBADMSG, "'weight_map'"},
        {{.file = "a.safetensors", .index = "{"}, -EBADMSG, "'model.safetensors.index.json'"},
        {{.file = "a.safetensors"}, 0, "without both all files count"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct opened o = open_model(&cases[i].fault, NULL);

        if (!ok(o.rc == cases[i].code && (o.rc == 0 || strstr(o.err.message, cases[i].part)),
                "files: %s", cases[i].part))
            diag("%d: '%s'", o.rc, o.err.message);
        close_model(&o);
    }
}

/* --- Calls --- */

struct seen {
    unsigned n;
    atomic_uint nans, rows;
    int rc;
    float logits[64 * 16];
};

static int see(void *arg, uint32_t window, uint32_t at, const float *logits)
{
    struct seen *s = arg;

    atomic_fetch_add(&s->rows, 1);
    for (unsigned i = 0; i < 16; i++)
        if (logits[i] != logits[i])
            atomic_fetch_add(&s->nans, 1);
    memcpy(s->logits + (window * 8 + at) * 16, logits, 16 * sizeof *logits);
    return s->rc;
}

/* Of one window, the last token. */
static int see_last(void *arg, uint32_t window, uint32_t at, const float *logits)
{
    struct seen *s = arg;

    (void)window;
    (void)at;
    memcpy(s->logits, logits, 16 * sizeof *logits);
    return s->rc;
}

static void check_calls(void)
{
    static const uint32_t tokens[] = {1, 2, 3, 15, 4, 5, 6, 7}, beyond[] = {1, 16};
    struct tp_window w[2] = {{.tokens = tokens, .n = 4}, {.tokens = tokens, .n = 2, .sequence = 1}};
    struct opened o = open_model(&(struct fault){0}, &(struct tp_runtime_options){.threads = 2});
    struct seen s = {0}, t = {0};
    struct tp_cache *cache;
    struct tp_error err = {0};

    if (o.rc < 0)
        bail_out("%s", o.err.message);
    is_int(tp_runtime_forward(o.rt, w, 2, NULL, see, &s, &err), -EINVAL, "weights must be loaded");
    ok(tp_runtime_load(o.rt, &err) == 0 && tp_runtime_load(o.rt, &err) == 0,
       "weights are loaded once");
    is_int(tp_runtime_forward(o.rt, w, 2, NULL, see, &s, &err), 0, "two windows are computed");
    is_int(s.rows, 6, "each token has logits");
    w[0].logits_at = 3;
    w[1].logits_at = 2;
    s.rows = 0;
    is_int(tp_runtime_forward(o.rt, w, 2, NULL, see, &s, &err), 0,
           "logits of one token are wanted");
    is_int(s.rows, 1, "one row is given");
    s.rc = -EDOM;
    is_int(tp_runtime_forward(o.rt, w, 2, NULL, see, &s, &err), -EDOM,
           "the callback ends the pass");
    s.rc = 0;
    is_int(tp_runtime_forward(o.rt, &(struct tp_window){.tokens = beyond, .n = 2}, 1, NULL, see, &s,
                              &err),
           -EINVAL, "a token beyond the vocabulary is refused");
    has(err.message, "the token 16", "the message names the token");
    is_int(tp_runtime_forward(o.rt, &(struct tp_window){.tokens = tokens}, 1, NULL, see, &s, &err),
           -EINVAL, "a window without tokens is refused");

    is_int(tp_cache_create(o.rt, 2, 5, &cache, &err), 0, "a cache is made");
    is_int(tp_runtime_forward(o.rt, w, 2, cache, see, &t, &err), 0, "windows go into the cache");
    ok(tp_cache_length(cache, 0) == 4 && tp_cache_length(cache, 1) == 2,
       "the cache has their lengths");
    is_mem(t.logits + 3 * 16, s.logits + 3 * 16, 16 * sizeof(float),
           "logits are those without a cache");
    w[0].n = 2;
    is_int(tp_runtime_forward(o.rt, w, 1, cache, see, &t, &err), -EINVAL,
           "a cache that is full refuses tokens");
    ok(tp_cache_length(cache, 0) == 4, "it keeps what it has");
    w[1].sequence = 0;
    w[0].n = w[1].n = 1;
    is_int(tp_runtime_forward(o.rt, w, 2, cache, see, &t, &err), -EINVAL,
           "a sequence twice in a pass is refused");
    tp_cache_truncate(cache, 0, 3);
    w[0] = (struct tp_window){.tokens = tokens + 3, .n = 1};
    memset(t.logits, 0, sizeof t.logits);
    is_int(tp_runtime_forward(o.rt, w, 1, cache, see, &t, &err), 0,
           "a token that was forgotten is computed again");
    is_mem(t.logits, s.logits + 3 * 16, 16 * sizeof(float), "its logits are the same");
    tp_cache_destroy(cache);
    is_int(tp_cache_create(o.rt, UINT32_MAX, UINT32_MAX, &cache, &err), -ENOMEM,
           "a cache beyond all memory is refused");
    is_int(tp_cache_create(o.rt, 0, 1, &cache, &err), -EINVAL,
           "a cache of no sequences is refused");
    close_model(&o);
}

/* --- Sliding windows --- */

enum { LONG = 1400 }; /* more than a sliding layer keeps */

/* The logits of the last token, at AT, as without a cache; others are not asked for. */
static bool same_logits(struct opened *o, const uint32_t *tokens, uint32_t at,
                        const struct seen *got)
{
    struct tp_window w = {.tokens = tokens, .n = at + 1, .logits_at = at};
    struct seen last = {0};
    struct tp_error err = {0};
    int rc = tp_runtime_forward(o->rt, &w, 1, NULL, see_last, &last, &err);

    return rc == 0 && memcmp(last.logits, got->logits, 16 * sizeof(float)) == 0;
}

/* Append tokens to a sequence of the cache, with the logits of the last one. */
static int append_tokens(struct opened *o, struct tp_cache *cache, const uint32_t *tokens,
                         uint32_t first, uint32_t end, struct seen *out)
{
    struct tp_window w = {.tokens = tokens + first, .n = end - first, .logits_at = end - first - 1};
    struct tp_error err = {0};

    return tp_runtime_forward(o->rt, &w, 1, cache, see_last, out, &err);
}

/* FULL of the two layers of MODEL do not slide. */
static void check_sliding(const struct fault *model, unsigned full)
{
    struct opened o = open_model(model, &(struct tp_runtime_options){.threads = 2});
    struct tp_runtime_need need;
    struct tp_cache *cache;
    struct tp_error err = {0};
    struct seen s = {0};
    uint32_t tokens[LONG];
    uint64_t state = 1;

    for (size_t i = 0; i < LONG; i++)
        tokens[i] = (uint32_t)(tap_random(&state) % 16);
    if (o.rc < 0 || tp_runtime_load(o.rt, &err) < 0 ||
        tp_cache_create(o.rt, 1, LONG, &cache, &err) < 0)
        bail_out("%s%s", o.err.message, err.message);
    tp_runtime_need(o.rt, 1, LONG, &need);
    is_u64(need.cache, ((2 - full) * 640 + full * LONG) * 2 * 4 * 4 + LONG * 4,
           "a sliding layer needs a window and a group of rows");
    ok(append_tokens(&o, cache, tokens, 0, LONG - 40, &s) == 0 &&
           same_logits(&o, tokens, LONG - 41, &s),
       "a long prompt has the logits that it has without a cache");
    for (uint32_t i = LONG - 40; i < LONG; i++)
        append_tokens(&o, cache, tokens, i, i + 1, &s);
    ok(same_logits(&o, tokens, LONG - 1, &s), "tokens after it have those as well");
    tp_cache_truncate(cache, 0, LONG - 300);
    ok(append_tokens(&o, cache, tokens, LONG - 300, LONG - 299, &s) == 0 &&
           same_logits(&o, tokens, LONG - 300, &s),
       "after forgetting some, the next token has its logits");
    tp_cache_truncate(cache, 0, 200);
    ok(append_tokens(&o, cache, tokens, 200, 201, &s) == 0 && same_logits(&o, tokens, 200, &s) &&
           tp_cache_length(cache, 0) == 201,
       "after forgetting more than a layer keeps, too");
    s.rc = -EDOM;
    is_int(append_tokens(&o, cache, tokens, 201, LONG, &s), -EDOM, "a pass over the rest fails");
    s.rc = 0;
    ok(append_tokens(&o, cache, tokens, 201, 202, &s) == 0 && same_logits(&o, tokens, 201, &s),
       "the tokens before it are still there");
    tp_cache_destroy(cache);
    close_model(&o);
}

static void check_needs(void)
{
    struct opened o = open_model(&(struct fault){0}, NULL);
    struct tp_runtime_need need;

    tp_runtime_need(o.rt, 2, 10, &need);
    is_u64(need.cache, 20 * (2 * 2 * 4 * 4 + 4), "the bytes of a cache are counted");
    is_u64(need.activations, 20 * 8 * 4, "the bytes of activations are counted");
    ok(need.all_weights > need.largest_layer && need.largest_layer > (64 * 2 + 32 * 2) * 4 &&
           need.scratch > 0,
       "all weights need more than one layer");
    is_u64(need.embedding, 128 * 4, "the embedding needs its bytes");
    is_u64(need.head, (128 + 8) * 4 + 8 * 4,
           "the head needs its bytes, and those of reading its norm");
    is_u64(tp_runtime_weight_bytes(o.rt), (2 * 128 + 8 + 2 * (16 + 128 + 64 + 3 * 96)) * 4,
           "the weights have the bytes of the file");
    tp_runtime_need(o.rt, UINT64_MAX / 2, UINT64_MAX / 2, &need);
    ok(need.cache == UINT64_MAX && need.activations == UINT64_MAX && need.scratch == UINT64_MAX,
       "what 64 bits cannot say is UINT64_MAX");
    close_model(&o);
}

struct watched {
    unsigned calls[TP_ROLE_COUNT];
    size_t rows, bad;
};

static void see_input(void *arg, enum tp_role role, const float *x, size_t rows, size_t stride,
                      size_t width)
{
    struct watched *w = arg;

    w->calls[role]++;
    w->rows += rows;
    w->bad += width != (role == TP_ROLE_DOWN ? 12 : 8) || stride < width || x[0] != x[0];
}

static void check_steps(void)
{
    static const uint32_t tokens[] = {1, 2, 3, 15};
    struct tp_window w = {.tokens = tokens, .n = 4};
    struct opened o = open_model(&(struct fault){0}, NULL);
    struct watched seen = {0};
    struct tp_watch watch = {.input = see_input, .arg = &seen};
    struct tp_layer layer;
    struct tp_error err = {0};
    float hidden[4 * 8];
    atomic_int cancel = 1;

    is_int(tp_runtime_embed(o.rt, &w, 1, hidden, &err), 0, "tokens are embedded");
    is_int(tp_runtime_read_layer(o.rt, 0, &layer, &err), 0, "a layer is read");
    is_u64(tp_layer_bytes(&layer), (128 + 64 + 3 * 96) * 4,
           "a layer has the bytes of its matrices");
    is_int(tp_runtime_layer(o.rt, &layer, &w, 1, hidden, &watch, &err), 0, "a layer is applied");
    ok(seen.calls[TP_ROLE_Q] == 1 && seen.calls[TP_ROLE_O] == 1 && seen.calls[TP_ROLE_GATE] == 1 &&
           seen.calls[TP_ROLE_DOWN] == 1 && seen.rows == 16 && seen.bad == 0,
       "a watch sees each input once");
    tp_layer_clear(&layer);
    is_int(tp_runtime_read_layer(o.rt, 2, &layer, &err), -EINVAL,
           "a layer beyond the last is refused");
    is_str(tp_runtime_tensor(o.rt, 1, TP_ROLE_UP)->name, "model.layers.1.mlp.up_proj.weight",
           "the tensor of a matrix is found");
    ok(!tp_runtime_tensor(o.rt, 1, TP_ROLE_QKV), "a matrix that the family lacks has no tensor");
    close_model(&o);

    o = open_model(&(struct fault){0}, &(struct tp_runtime_options){.cancel = &cancel});
    is_int(tp_runtime_load(o.rt, &err), -ECANCELED, "loading is cancelled");
    close_model(&o);
}

static void check_nan(void)
{
    static const uint32_t tokens[] = {1, 2};
    struct tp_window w = {.tokens = tokens, .n = 2};
    struct opened o = open_model(&(struct fault){.nan = "model.layers.1.mlp.up_proj.weight"}, NULL);
    struct seen s = {0};
    struct tp_error err = {0};

    ok(o.rc == 0 && tp_runtime_load(o.rt, &err) == 0 &&
           tp_runtime_forward(o.rt, &w, 1, NULL, see, &s, &err) == 0,
       "weights that are NaN are computed with");
    is_int(s.nans, 32, "all logits are NaN");
    close_model(&o);
}

int main(void)
{
    scratch = tap_tmpdir();
    check_tensors();
    check_files();
    check_calls();
    check_sliding(&(struct fault){.arch = MISTRAL, .config = ", \"sliding_window\": 70"}, 0);
    check_sliding(&(struct fault){.arch = QWEN2,
                                  .biases = true,
                                  .config = ", \"sliding_window\": 70, \"max_window_layers\": 1, "
                                            "\"use_sliding_window\": true"},
                  1);
    check_needs();
    check_steps();
    check_nan();
    tp_file_remove_tree(AT_FDCWD, scratch, NULL);
    free(scratch);
    return tap_done();
}
