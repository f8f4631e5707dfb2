/* SPDX-License-Identifier: MIT */
/*
 * Writes a small model directory for tests, the same bytes everywhere: a Llama-shaped model of
 * invented weights, or a fine-tune of one (same --seed, some --noise). See usage() for what can be
 * varied.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { NAME_LEN = 96, SHARDS_MAX = 64 };

struct dtype {
    const char *name;
    unsigned bits;
};

static const struct dtype dtypes[] = {
    {"F64", 64},    {"F32", 32},    {"BF16", 16},       {"F16", 16},        {"I64", 64},
    {"U64", 64},    {"I32", 32},    {"U32", 32},        {"I16", 16},        {"U16", 16},
    {"C64", 64},    {"I8", 8},      {"U8", 8},          {"BOOL", 8},        {"F8_E4M3", 8},
    {"F8_E5M2", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"F6_E2M3", 6},
    {"F6_E3M2", 6}, {"F4", 4},
};
enum { DTYPE_N = sizeof dtypes / sizeof dtypes[0] };

struct tensor {
    char name[NAME_LEN];
    const struct dtype *dtype;
    unsigned rank;
    uint64_t shape[2];
    uint64_t elements;
    uint64_t bytes;
    bool norm;   /* weights about 1 */
    bool frozen; /* equals the base's */
    unsigned shard;
};

struct model {
    const char *dir;
    uint64_t seed, noise_seed;
    double noise;  /* standard deviation of the change, relative to that of the weights */
    double sparse; /* part of the weights that change at all */
    uint64_t layers, hidden, inter, vocab, extra_rows, frozen_layers, tokenizer;
    unsigned shards;
    const struct dtype *base_dtype, *dtype;
    bool every_dtype, reverse, tied;
    const char *add, *drop, *prefix;
    const char *name_or_path, *base_model, *adapter_of;
    size_t tensor_n, tensor_cap;
    struct tensor *tensors;
};

__attribute__((noreturn)) static void die(const char *what, const char *subject)
{
    fprintf(stderr, "mkmodel: %s '%s': %s\n", what, subject, errno ? strerror(errno) : "not valid");
    exit(1);
}

/*
 * --- Numbers: integer hashing and exactly rounded sums only, so that every machine gives the same
 * --------
 */

static uint64_t mix(uint64_t z)
{
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t hash_name(const char *name, uint64_t seed)
{
    uint64_t h = mix(seed);
    for (; *name; name++)
        h = mix(h ^ (unsigned char)*name);
    return h;
}

/* About normal with deviation 1: the sum of four 16-bit uniforms. */
static float normal(uint64_t r)
{
    int32_t sum = (int32_t)(r & 0xffff) + (int32_t)(r >> 16 & 0xffff) +
                  (int32_t)(r >> 32 & 0xffff) + (int32_t)(r >> 48);
    return (float)(sum - 131070) * (1.0f / 37837.0f);
}

static uint32_t float_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static uint16_t to_bf16(float f)
{
    uint32_t u = float_bits(f);
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1)) >> 16);
}

static float from_bf16(uint16_t h)
{
    uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static uint16_t to_f16(float f)
{
    uint32_t u = float_bits(f), sign = u >> 16 & 0x8000;
    int exponent = (int)(u >> 23 & 0xff) - 112;
    uint32_t mantissa = (u & 0x7fffff) | 0x800000;
    if (exponent >= 31)
        return (uint16_t)(sign | 0x7c00);
    int shift = exponent > 0 ? 13 : 14 - exponent;
    if (shift > 24)
        return (uint16_t)sign;
    uint32_t half = mantissa >> shift, rest = mantissa & ((1u << shift) - 1),
             tie = 1u << (shift - 1);
    half += rest > tie || (rest == tie && (half & 1));
    if (exponent > 0)
        half += (uint32_t)(exponent - 1) << 10;
    return (uint16_t)(sign | half);
}

static float from_f16(uint16_t h)
{
    int exponent = h >> 10 & 31;
    float mantissa = (float)(h & 1023) / 1024.0f, value;
    if (exponent)
        value = (1.0f + mantissa) * (exponent >= 15 ? (float)(1u << (exponent - 15))
                                                    : 1.0f / (float)(1u << (15 - exponent)));
    else
        value = mantissa / 16384.0f;
    return h & 0x8000 ? -value : value;
}

static bool is_float(const struct dtype *dtype)
{
    return !strcmp(dtype->name, "F64") || !strcmp(dtype->name, "F32") ||
           !strcmp(dtype->name, "F16") || !strcmp(dtype->name, "BF16");
}

/* VALUE as it reads back after being stored as DTYPE. */
static float rounded(float value, const struct dtype *dtype)
{
    if (!strcmp(dtype->name, "BF16"))
        return from_bf16(to_bf16(value));
    if (!strcmp(dtype->name, "F16"))
        return from_f16(to_f16(value));
    return value;
}

static void store_float(uint8_t *dst, float value, const struct dtype *dtype)
{
    uint16_t h = !strcmp(dtype->name, "BF16") ? to_bf16(value) : to_f16(value);
    double d = value;
    if (dtype->bits == 16)
        memcpy(dst, &h, sizeof h);
    else if (dtype->bits == 32)
        memcpy(dst, &value, sizeof value);
    else
        memcpy(dst, &d, sizeof d);
}

/* Bytes [0, t->bytes) of tensor T. */
static void fill(const struct model *m, const struct tensor *t, uint8_t *dst)
{
    uint64_t base = hash_name(t->name, m->seed),
             change = hash_name(t->name, m->noise_seed ^ 0x5eed);
    uint64_t threshold = m->sparse >= 1 ? UINT64_MAX : (uint64_t)(m->sparse * 0x1p63) * 2;
    bool changes = m->noise > 0 && !t->frozen;
    float scale = t->norm ? 0.05f : 0.02f, step = (float)m->noise * scale;

    if (!is_float(t->dtype)) {
        for (uint64_t i = 0; i < t->bytes; i++) {
            uint64_t r = mix(base + i), c = mix(change + i);
            dst[i] = (uint8_t)(changes && (c & 15) == 0 ? c >> 8 : r & 0x7f);
            if (!strcmp(t->dtype->name, "BOOL"))
                dst[i] &= 1;
        }
        return;
    }
    for (uint64_t i = 0; i < t->elements; i++) {
        float value = scale * normal(mix(base + i)) + (t->norm ? 1.0f : 0.0f);
        if (is_float(m->base_dtype))
            value = rounded(value, m->base_dtype);
        if (changes && mix(change ^ ~i) <= threshold)
            value += step * normal(mix(change + i));
        store_float(dst + i * (t->dtype->bits / 8), value, t->dtype);
    }
}

/*
 * --- Which tensors
 * --------------------------------------------------------------------------------------
 */

static void add_tensor(struct model *m, const struct dtype *dtype, uint64_t rows, uint64_t cols,
                       bool frozen, const char *name)
{
    struct tensor t = {.dtype = dtype, .frozen = frozen};
    snprintf(t.name, sizeof t.name, "%s%s", m->prefix, name);
    if (m->drop && strstr(t.name, m->drop))
        return;
    t.norm = rows && !cols;
    t.rank = rows ? (cols ? 2 : 1) : 0;
    t.shape[0] = rows;
    t.shape[1] = cols;
    t.elements = (rows ? rows : 1) * (cols ? cols : 1);
    t.bytes = t.elements * dtype->bits / 8;
    if (m->tensor_n == m->tensor_cap) {
        m->tensor_cap = m->tensor_cap ? 2 * m->tensor_cap : 64;
        m->tensors = realloc(m->tensors, m->tensor_cap * sizeof *m->tensors);
        if (!m->tensors)
            die("out of memory for", name);
    }
    m->tensors[m->tensor_n++] = t;
}

static void list_layer(struct model *m, uint64_t layer)
{
    const struct {
        const char *name;
        uint64_t rows, cols;
    } parts[] = {
        {"input_layernorm", m->hidden, 0},
        {"mlp.down_proj", m->hidden, m->inter},
        {"mlp.gate_proj", m->inter, m->hidden},
        {"mlp.up_proj", m->inter, m->hidden},
        {"post_attention_layernorm", m->hidden, 0},
        {"self_attn.k_proj", m->hidden / 2, m->hidden},
        {"self_attn.o_proj", m->hidden, m->hidden},
        {"self_attn.q_proj", m->hidden, m->hidden},
        {"self_attn.v_proj", m->hidden / 2, m->hidden},
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        char name[NAME_LEN];
        snprintf(name, sizeof name, "model.layers.%" PRIu64 ".%s.weight", layer, parts[i].name);
        add_tensor(m, m->dtype, parts[i].rows, parts[i].cols, layer < m->frozen_layers, name);
    }
}

/* Wide elements first, so that each tensor is aligned to its own; then by name. */
static int compare_tensors(const void *a, const void *b)
{
    const struct tensor *s = a, *t = b;
    if (s->dtype->bits != t->dtype->bits)
        return s->dtype->bits > t->dtype->bits ? -1 : 1;
    return strcmp(s->name, t->name);
}

static int compare_tensors_reverse(const void *a, const void *b)
{
    const struct tensor *s = a, *t = b;
    return s->dtype->bits == t->dtype->bits ? strcmp(t->name, s->name) : compare_tensors(a, b);
}

static void list_tensors(struct model *m)
{
    uint64_t total = 0, seen = 0;

    add_tensor(m, m->dtype, m->vocab + m->extra_rows, m->hidden, false,
               "model.embed_tokens.weight");
    for (uint64_t i = 0; i < m->layers; i++)
        list_layer(m, i);
    add_tensor(m, m->dtype, m->hidden, 0, false, "model.norm.weight");
    if (!m->tied)
        add_tensor(m, m->dtype, m->vocab + m->extra_rows, m->hidden, false, "lm_head.weight");
    if (m->add)
        add_tensor(m, m->dtype, m->hidden, m->hidden, false, m->add);
    for (size_t i = 0; m->every_dtype && i < DTYPE_N; i++) {
        char name[NAME_LEN];
        snprintf(name, sizeof name, "dtypes.%s", dtypes[i].name);
        add_tensor(m, &dtypes[i], 12, 20, false, name);
        snprintf(name, sizeof name, "scalars.%s", dtypes[i].name);
        if (dtypes[i].bits >= 8)
            add_tensor(m, &dtypes[i], 0, 0, false, name);
    }
    qsort(m->tensors, m->tensor_n, sizeof *m->tensors,
          m->reverse ? compare_tensors_reverse : compare_tensors);
    for (size_t i = 0; i < m->tensor_n; i++)
        total += m->tensors[i].bytes;
    for (size_t i = 0; i < m->tensor_n; i++) {
        m->tensors[i].shard = (unsigned)(seen * m->shards / (total ? total : 1));
        seen += m->tensors[i].bytes;
    }
}

/*
 * --- Files
 * ------------------------------------------------------------------------------------------------
 */

static FILE *create_file(const struct model *m, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", m->dir, name);
    FILE *f = fopen(path, "wb");
    if (!f)
        die("cannot create", path);
    return f;
}

static void close_file(FILE *f, const char *name)
{
    if (ferror(f) | fclose(f))
        die("cannot write", name);
}

static void shard_name(const struct model *m, unsigned shard, char *out, size_t len)
{
    if (m->adapter_of)
        snprintf(out, len, "adapter_model.safetensors");
    else if (m->shards == 1)
        snprintf(out, len, "model.safetensors");
    else
        snprintf(out, len, "model-%05u-of-%05u.safetensors", shard + 1, m->shards);
}

/* The JSON header, padded to a multiple of 8 as the reference implementation does. */
static void write_header(FILE *f, const struct model *m, unsigned shard)
{
    char *json = NULL;
    size_t len = 0;
    uint64_t off = 0;
    FILE *h = open_memstream(&json, &len);
    if (!h)
        die("out of memory for", "header");
    fprintf(h, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (size_t i = 0; i < m->tensor_n; i++) {
        const struct tensor *t = &m->tensors[i];
        if (t->shard != shard)
            continue;
        fprintf(h, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", t->name, t->dtype->name);
        for (unsigned d = 0; d < t->rank; d++)
            fprintf(h, "%s%" PRIu64, d ? "," : "", t->shape[d]);
        fprintf(h, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", off, off + t->bytes);
        off += t->bytes;
    }
    fputc('}', h);
    fflush(h);
    for (size_t n = len; n % 8; n++)
        fputc(' ', h);
    fclose(h);
    uint64_t n = len;
    fwrite(&n, sizeof n, 1, f);
    fwrite(json, 1, len, f);
    free(json);
}

static void write_shard(const struct model *m, unsigned shard)
{
    char name[64];
    shard_name(m, shard, name, sizeof name);
    FILE *f = create_file(m, name);
    write_header(f, m, shard);
    for (size_t i = 0; i < m->tensor_n; i++) {
        const struct tensor *t = &m->tensors[i];
        if (t->shard != shard)
            continue;
        uint8_t *data = malloc(t->bytes + 1);
        if (!data)
            die("out of memory for", t->name);
        fill(m, t, data);
        fwrite(data, 1, t->bytes, f);
        free(data);
    }
    close_file(f, name);
}

static void write_shard_index(const struct model *m)
{
    FILE *f = create_file(m, "model.safetensors.index.json");
    uint64_t total = 0;
    for (size_t i = 0; i < m->tensor_n; i++)
        total += m->tensors[i].bytes;
    fprintf(f, "{\n  \"metadata\": {\"total_size\": %" PRIu64 "},\n  \"weight_map\": {", total);
    for (size_t i = 0; i < m->tensor_n; i++) {
        char name[64];
        shard_name(m, m->tensors[i].shard, name, sizeof name);
        fprintf(f, "%s\n    \"%s\": \"%s\"", i ? "," : "", m->tensors[i].name, name);
    }
    fprintf(f, "\n  }\n}\n");
    close_file(f, "model.safetensors.index.json");
}

static void write_config(const struct model *m)
{
    FILE *f = create_file(m, m->adapter_of ? "adapter_config.json" : "config.json");
    if (m->adapter_of) {
        fprintf(f,
                "{\n  \"peft_type\": \"LORA\",\n  \"r\": 8,\n  \"lora_alpha\": 16,\n"
                "  \"base_model_name_or_path\": \"%s\"\n}\n",
                m->adapter_of);
    } else {
        fprintf(f, "{\n");
        if (m->name_or_path)
            fprintf(f, "  \"_name_or_path\": \"%s\",\n", m->name_or_path);
        fprintf(f,
                "  \"architectures\": [\"LlamaForCausalLM\"],\n  \"model_type\": \"llama\",\n"
                "  \"hidden_act\": \"silu\",\n  \"hidden_size\": %" PRIu64 ",\n"
                "  \"intermediate_size\": %" PRIu64 ",\n  \"num_hidden_layers\": %" PRIu64 ",\n"
                "  \"num_attention_heads\": 4,\n  \"num_key_value_heads\": 2,\n"
                "  \"tie_word_embeddings\": %s,\n  \"torch_dtype\": \"%s\",\n"
                "  \"vocab_size\": %" PRIu64 "\n}\n",
                m->hidden, m->inter, m->layers, m->tied ? "true" : "false",
                !strcmp(m->dtype->name, "F32")   ? "float32"
                : !strcmp(m->dtype->name, "F16") ? "float16"
                                                 : "bfloat16",
                m->vocab + m->extra_rows);
    }
    close_file(f, "config.json");
}

static void write_texts(const struct model *m)
{
    FILE *f = create_file(m, "tokenizer.json");
    uint64_t state = hash_name("tokenizer", m->seed);
    fprintf(f, "{\"version\":\"1.0\",\"model\":{\"type\":\"BPE\",\"vocab\":{");
    for (uint64_t i = 0; (uint64_t)ftello(f) + 24 < m->tokenizer; i++) {
        state = mix(state);
        fprintf(f, "%s\"t%05" PRIx64 "\":%" PRIu64, i ? "," : "", state & 0xfffff, i);
    }
    fprintf(f, "}}}\n");
    close_file(f, "tokenizer.json");
    if (m->base_model) {
        f = create_file(m, "README.md");
        fprintf(f, "---\nlicense: mit\nbase_model: %s\ntags:\n- test\n---\n\n# A model for tests\n",
                m->base_model);
        close_file(f, "README.md");
    }
}

/*
 * --- The command line
 * ---------------------------------------------------------------------------------------
 */

static void usage(FILE *f)
{
    fputs("usage: mkmodel [OPTION...] DIR\n"
          "Write a model directory of invented weights; the same options give the same bytes.\n"
          "\n"
          "  --seed=N            which base model (1); fine-tunes of it have the same seed\n"
          "  --noise=X           change by X times the weights' deviation (0: the base itself)\n"
          "  --noise-seed=N      which fine-tune (1)\n"
          "  --sparse=P          change only this part of the weights (1)\n"
          "  --frozen-layers=N   the first N layers equal the base's (0)\n"
          "  --layers=N --hidden=N --inter=N --vocab=N    dimensions (2, 64, 160, 512)\n"
          "  --extra-rows=N      rows added to the vocabulary (0)\n"
          "  --tied              no lm_head\n"
          "  --shards=N          shards of about equal size, with their index (1)\n"
          "  --reverse           tensors in reverse order of their names\n"
          "  --dtype=D           of the weights: BF16, F16, F32, F64, or one of safetensors' "
          "others (BF16)\n"
          "  --base-dtype=D      what the base was stored as, before the noise (that of --dtype)\n"
          "  --every-dtype       tensors and scalars of each dtype besides\n"
          "  --prefix=S          put before each tensor's name\n"
          "  --add=NAME          one more tensor      --drop=PART  none whose name has PART\n"
          "  --tokenizer=BYTES   size of tokenizer.json (4096)\n"
          "  --name-or-path=S    '_name_or_path' of config.json\n"
          "  --base-model=S      'base_model' of README.md\n"
          "  --adapter-of=S      adapter_config.json and adapter_model.safetensors instead\n",
          f);
}

static const struct dtype *dtype_of(const char *name)
{
    for (size_t i = 0; i < DTYPE_N; i++)
        if (!strcmp(dtypes[i].name, name))
            return &dtypes[i];
    errno = 0;
    die("unknown dtype", name);
}

static uint64_t number_of(const char *text, uint64_t low, uint64_t high)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 0);
    if (errno || !*text || *end || value < low || value > high) {
        errno = errno ? errno : ERANGE;
        die("bad number", text);
    }
    return value;
}

static double real_of(const char *text)
{
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    if (!*text || *end || !(value >= 0 && value < 1e6)) {
        errno = ERANGE;
        die("bad number", text);
    }
    return value;
}

enum {
    OPT_SEED = 256,
    OPT_NOISE,
    OPT_NOISE_SEED,
    OPT_SPARSE,
    OPT_FROZEN,
    OPT_LAYERS,
    OPT_HIDDEN,
    OPT_INTER,
    OPT_VOCAB,
    OPT_EXTRA,
    OPT_TIED,
    OPT_SHARDS,
    OPT_REVERSE,
    OPT_DTYPE,
    OPT_BASE_DTYPE,
    OPT_EVERY,
    OPT_PREFIX,
    OPT_ADD,
    OPT_DROP,
    OPT_TOKENIZER,
    OPT_NAME,
    OPT_BASE_MODEL,
    OPT_ADAPTER,
    OPT_HELP
};

static const struct option options[] = {
    {"seed", 1, NULL, OPT_SEED},
    {"noise", 1, NULL, OPT_NOISE},
    {"noise-seed", 1, NULL, OPT_NOISE_SEED},
    {"sparse", 1, NULL, OPT_SPARSE},
    {"frozen-layers", 1, NULL, OPT_FROZEN},
    {"layers", 1, NULL, OPT_LAYERS},
    {"hidden", 1, NULL, OPT_HIDDEN},
    {"inter", 1, NULL, OPT_INTER},
    {"vocab", 1, NULL, OPT_VOCAB},
    {"extra-rows", 1, NULL, OPT_EXTRA},
    {"tied", 0, NULL, OPT_TIED},
    {"shards", 1, NULL, OPT_SHARDS},
    {"reverse", 0, NULL, OPT_REVERSE},
    {"dtype", 1, NULL, OPT_DTYPE},
    {"base-dtype", 1, NULL, OPT_BASE_DTYPE},
    {"every-dtype", 0, NULL, OPT_EVERY},
    {"prefix", 1, NULL, OPT_PREFIX},
    {"add", 1, NULL, OPT_ADD},
    {"drop", 1, NULL, OPT_DROP},
    {"tokenizer", 1, NULL, OPT_TOKENIZER},
    {"name-or-path", 1, NULL, OPT_NAME},
    {"base-model", 1, NULL, OPT_BASE_MODEL},
    {"adapter-of", 1, NULL, OPT_ADAPTER},
    {"help", 0, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static void set_option(struct model *m, int opt, const char *arg)
{
    const uint64_t dim = 1 << 20;
    switch (opt) {
    case OPT_SEED:
        m->seed = number_of(arg, 0, UINT64_MAX);
        break;
    case OPT_NOISE:
        m->noise = real_of(arg);
        break;
    case OPT_NOISE_SEED:
        m->noise_seed = number_of(arg, 0, UINT64_MAX);
        break;
    case OPT_SPARSE:
        m->sparse = real_of(arg);
        break;
    case OPT_FROZEN:
        m->frozen_layers = number_of(arg, 0, dim);
        break;
    case OPT_LAYERS:
        m->layers = number_of(arg, 0, 1000);
        break;
    case OPT_HIDDEN:
        m->hidden = number_of(arg, 2, dim);
        break;
    case OPT_INTER:
        m->inter = number_of(arg, 1, dim);
        break;
    case OPT_VOCAB:
        m->vocab = number_of(arg, 1, dim);
        break;
    case OPT_EXTRA:
        m->extra_rows = number_of(arg, 0, dim);
        break;
    case OPT_TIED:
        m->tied = true;
        break;
    case OPT_SHARDS:
        m->shards = (unsigned)number_of(arg, 1, SHARDS_MAX);
        break;
    case OPT_REVERSE:
        m->reverse = true;
        break;
    case OPT_DTYPE:
        m->dtype = dtype_of(arg);
        break;
    case OPT_BASE_DTYPE:
        m->base_dtype = dtype_of(arg);
        break;
    case OPT_EVERY:
        m->every_dtype = true;
        break;
    case OPT_PREFIX:
        m->prefix = arg;
        break;
    case OPT_ADD:
        m->add = arg;
        break;
    case OPT_DROP:
        m->drop = arg;
        break;
    case OPT_TOKENIZER:
        m->tokenizer = number_of(arg, 64, 1u << 30);
        break;
    case OPT_NAME:
        m->name_or_path = arg;
        break;
    case OPT_BASE_MODEL:
        m->base_model = arg;
        break;
    case OPT_ADAPTER:
        m->adapter_of = arg;
        break;
    case OPT_HELP:
        usage(stdout);
        exit(0);
    default:
        usage(stderr);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    struct model m = {.seed = 1,
                      .noise_seed = 1,
                      .sparse = 1,
                      .layers = 2,
                      .hidden = 64,
                      .inter = 160,
                      .vocab = 512,
                      .shards = 1,
                      .tokenizer = 4096,
                      .prefix = ""};
    int opt;
    m.dtype = dtype_of("BF16");
    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1)
        set_option(&m, opt, optarg);
    if (optind + 1 != argc) {
        usage(stderr);
        return 2;
    }
    if (!m.base_dtype)
        m.base_dtype = m.dtype;
    m.dir = argv[optind];
    if (mkdir(m.dir, 0755) < 0 && errno != EEXIST)
        die("cannot create", m.dir);
    list_tensors(&m);
    write_config(&m);
    write_texts(&m);
    for (unsigned i = 0; i < m.shards; i++)
        write_shard(&m, i);
    if (m.shards > 1)
        write_shard_index(&m);
    free(m.tensors);
    return 0;
}
