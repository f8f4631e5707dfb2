/* SPDX-License-Identifier: MIT */
/*
 * Which tensor of a base predicts another: the rule, and that the search for a base and the writer
 * agree.
 */
#include <config.h>

#include "store/match/fit.h"
#include "store/match/pairs.h"
#include "store/model.h"
#include "store/pack/layout.h"
#include "store/write/plan.h"
#include "tests/store/model.h"

#define ROUNDS 60
#define TENSORS 6

static const enum tp_dtype dtypes[] = {TP_DTYPE_BF16, TP_DTYPE_F16, TP_DTYPE_F32, TP_DTYPE_I8,
                                       TP_DTYPE_I16,  TP_DTYPE_F4,  TP_DTYPE_I64};

static uint64_t seed;

static unsigned fits(enum tp_dtype from, unsigned b_rank, const uint64_t *b_shape, enum tp_dtype to,
                     unsigned rank, const uint64_t *shape)
{
    struct tp_model_tensor b = {.dtype = from, .rank = b_rank, .shape = b_shape};
    struct tp_model_tensor t = {.dtype = to, .rank = rank, .shape = shape};

    return tp_fit(&t, &b);
}

static void test_rule(void)
{
    static const uint64_t small[] = {64, 32}, tall[] = {128, 32}, wide[] = {64, 48},
                          none[] = {0, 32};
    enum tp_dtype bf16 = TP_DTYPE_BF16, f32 = TP_DTYPE_F32, f4 = TP_DTYPE_F4;

    ok(fits(bf16, 2, small, bf16, 2, small) > 0, "the same shape fits");
    ok(fits(bf16, 2, small, f32, 2, small) > 0, "so does a dtype that converts");
    is_int(fits(TP_DTYPE_I16, 2, small, bf16, 2, small), 0, "another does not");
    is_int(fits(bf16, 1, small, bf16, 2, small), 0, "nor another rank");
    is_int(fits(bf16, 2, wide, bf16, 2, small), 0, "nor other rows");
    ok(fits(bf16, 2, tall, bf16, 2, small) > 0 && fits(bf16, 2, small, bf16, 2, tall) > 0,
       "more rows do, and fewer");
    ok(fits(bf16, 0, NULL, bf16, 0, NULL) == fits(bf16, 2, small, bf16, 2, small),
       "a scalar has the shape of a scalar");
    is_int(fits(f4, 2, tall, f4, 2, small), 0, "not where elements are smaller than a byte");
    ok(fits(f4, 2, small, f4, 2, small) > 0, "but for the same shape");
    is_int(fits(bf16, 2, none, bf16, 2, small), 0, "one without elements predicts nothing");
    ok(fits(f32, 2, small, bf16, 2, small) > fits(bf16, 2, tall, bf16, 2, small),
       "the shape counts more than the dtype");
    ok(fits(bf16, 2, small, bf16, 2, small) > fits(f32, 2, small, bf16, 2, small),
       "the dtype a little");
}

/* Bytes of N elements of dtype TO that a vector of B_N elements of dtype FROM predicts. */
static uint64_t common(enum tp_dtype from, uint64_t b_n, enum tp_dtype to, uint64_t n)
{
    struct tp_model_tensor b = {.name = "v", .dtype = from, .rank = 1, .shape = &b_n},
                           t = {.name = "v", .dtype = to, .rank = 1, .shape = &n};

    b.len = b_n * tp_dtype_bits(from) / 8;
    t.len = n * tp_dtype_bits(to) / 8;
    return tp_fit_common(&t, &b);
}

static void test_common(void)
{
    is_int(common(TP_DTYPE_BF16, 7, TP_DTYPE_BF16, 9), 14,
           "a shorter tensor predicts as many elements as it has");
    is_int(common(TP_DTYPE_BF16, 3, TP_DTYPE_F32, 9), 12, "and as many of another dtype");
    is_int(common(TP_DTYPE_F32, 3, TP_DTYPE_BF16, 9), 6, "wide or narrow");
    is_int(common(TP_DTYPE_F32, 9, TP_DTYPE_BF16, 3), 6, "a longer one all");
    is_int(common(TP_DTYPE_F4, 2, TP_DTYPE_F4, 4), 0,
           "none where elements are smaller than a byte");
    is_int(common(TP_DTYPE_F4, 4, TP_DTYPE_F4, 4), 2, "but for as many");
}

static unsigned below(unsigned n)
{
    return (unsigned)(tap_random(&seed) % n);
}

/*
 * A file of some of the tensors t0 to t5, with PREFIX before their names and bytes of no pattern.
 */
static void make_file(const char *dir, const char *name, const char *prefix)
{
    char header[2048] = "{", *path = NULL;
    struct tp_buffer file = {0};
    uint64_t off = 0;
    size_t len = 1;
    int failed;

    for (unsigned i = 0; i < TENSORS; i++) {
        enum tp_dtype dtype = dtypes[below(2) ? 0 : below(sizeof dtypes / sizeof *dtypes)];
        unsigned rank = below(4) ? 2 : below(2),
                 shape[2] = {below(9) ? 2 * (1 + below(3)) : 0, below(5) ? 32 : 48};
        uint64_t bytes =
            (rank > 0 ? shape[0] : 2) * (rank > 1 ? shape[1] : 1) * tp_dtype_bits(dtype) / 8;
        char dims[32] = "";

        if (rank == 0 && dtype != TP_DTYPE_F4)
            bytes /= 2;
        if (below(4) == 0 || (rank == 0 && dtype == TP_DTYPE_F4))
            continue;
        if (rank == 2)
            snprintf(dims, sizeof dims, "%u,%u", shape[0], shape[1]);
        else if (rank == 1)
            snprintf(dims, sizeof dims, "%u", shape[0]);
        len += (size_t)snprintf(
            header + len, sizeof header - len,
            "%s\"%sw.t%u\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%" PRIu64 ",%" PRIu64
            "]}",
            len > 1 ? "," : "", prefix, i, tp_dtype_name(dtype), dims, off, off + bytes);
        off += bytes;
    }
    header[len++] = '}';
    while (len % 8)
        header[len++] = ' ';
    failed = tp_buffer_append_le64(&file, len) || tp_buffer_append(&file, header, len);
    for (uint64_t i = 0; i < off; i++)
        failed |= tp_buffer_append_u8(&file, (uint8_t)tap_random(&seed));
    if (failed || asprintf(&path, "%s/%s", dir, name) < 0)
        bail_out("memory");
    write_file(path, file.data, file.len);
    tp_buffer_clear(&file);
    free(path);
}

static char *make_dir(const char *name, const char *prefix)
{
    char *dir = in_scratch("%s", name);

    if (mkdir(dir, 0755) < 0)
        bail_out("cannot make '%s'", dir);
    make_file(dir, "a.safetensors", prefix);
    make_file(dir, "b.safetensors", prefix);
    return dir;
}

static bool has_codec(enum tp_dtype dtype)
{
    for (unsigned id = 0; id < TP_CODEC_COUNT; id++)
        if (tp_codec_get(id) && tp_codec_get(id)->needs_base && tp_codec_get(id)->fits(dtype))
            return true;
    return false;
}

/* The plan's first segment of the tensor. */
static const struct tp_segment *segment_of(const struct tp_index *x, const char *path,
                                           const char *name)
{
    for (uint32_t i = 0; i < x->segment_n; i++)
        if (strcmp(x->segments[i].name, name) == 0 && x->segments[i].elem_first == 0 &&
            strcmp(x->files[x->segments[i].file].path, path) == 0)
            return &x->segments[i];
    bail_out("no segment of '%s'", name);
}

struct tally {
    unsigned tensors, paired, wrong;
};

static const char *path_of(const struct tp_model *source, const struct tp_model_tensor *t)
{
    return source->files[t->file].path;
}

/* Whether the plan pairs tensor I with what the pairs of the model and the pack say, and those of
 * the model and the base's directory say the same. */
static void compare(const struct tp_index *x, const struct tp_model *model,
                    const struct tp_model *base, const struct tp_pairs *pairs,
                    const struct tp_model *plain, const struct tp_pairs *of_plain, size_t i,
                    struct tally *tally)
{
    const struct tp_model_tensor *t = &model->tensors[i], *b = pairs->of[i], *p = of_plain->of[i];
    const struct tp_segment *s = segment_of(x, path_of(model, t), t->name);
    bool paired = b && has_codec(t->dtype),
         good = paired == (s->from.whence == TP_FROM_BASE) && !b == !p;

    if (b && p)
        good = good && !strcmp(b->name, p->name) && !strcmp(path_of(base, b), path_of(plain, p));
    if (paired && good)
        good = s->from.off == b->off && s->from.file == base->files[b->file].entry &&
               tp_fit_common(t, b) == s->len;
    if (!good)
        diag("%s of %s", t->name, path_of(model, t));
    tally->tensors++;
    tally->paired += paired;
    tally->wrong += !good;
}

static void agree_once(struct tally *tally)
{
    char *out = in_scratch("base.tnpk"), *base_dir = make_dir("base", ""),
         *dir = make_dir("model", below(2) ? "" : "added.");
    struct tp_pack_report report;
    struct tp_pack *pack = must_pack(base_dir, out, NULL, &report);
    struct tp_pack_options options = {.base = pack};
    struct tp_model *model, *base, *plain;
    struct tp_pairs pairs, of_plain;
    struct tp_error err = {0};
    struct tp_plan plan;

    if (tp_plan_make(dir, &options, &plan, &err) < 0 ||
        tp_model_open(dir, NULL, &model, &err) < 0 ||
        tp_model_open(base_dir, NULL, &plain, &err) < 0 ||
        tp_model_open_pack(pack, NULL, &base, &err) < 0 ||
        tp_pairs_find(model, base, &pairs, &err) < 0 ||
        tp_pairs_find(model, plain, &of_plain, &err) < 0)
        bail_out("%s", err.message);
    for (size_t i = 0; i < model->tensor_n; i++)
        compare(&plan.index, model, base, &pairs, plain, &of_plain, i, tally);
    tp_pairs_clear(&pairs);
    tp_pairs_clear(&of_plain);
    tp_model_close(model);
    tp_model_close(base);
    tp_model_close(plain);
    tp_plan_clear(&plan);
    tp_pack_close(pack);
    unlink(out);
    tp_file_remove_tree(AT_FDCWD, dir, NULL);
    tp_file_remove_tree(AT_FDCWD, base_dir, NULL);
    free(dir);
    free(base_dir);
    free(out);
}

static void test_agree(void)
{
    struct tally tally = {0};

    for (unsigned r = 0; r < ROUNDS; r++)
        agree_once(&tally);
    is_int(tally.wrong, 0, "the writer and the matcher pair alike");
    ok(tally.paired > tally.tensors / 32 && tally.paired < tally.tensors, "%u of %u", tally.paired,
       tally.tensors);
}

/*
 * A pack whose first tensor claims the bytes of the second as well: SHA-256 and all checks of an
 * index hold.
 */
static void test_overlap(void)
{
    static const char header[] =
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[1000],\"data_offsets\":[0,1000]},"
        "\"b\":{\"dtype\":\"U8\",\"shape\":[1000],\"data_offsets\":[1000,2000]}}   ";
    const char *build = getenv("top_builddir");
    char *dir = in_scratch("twin"), *file = in_scratch("twin/m.safetensors"),
         *out = in_scratch("twin.tnpk");
    char *changed = in_scratch("changed.tnpk"), *command;
    struct tp_buffer bytes = {0};
    struct tp_pack_report report;
    struct tp_model *source;
    struct tp_error err = {0};
    struct tp_pack *pack;
    const struct tp_index *x;
    size_t dims;

    if (mkdir(dir, 0755) < 0 || tp_buffer_append_le64(&bytes, sizeof header - 1) ||
        tp_buffer_append(&bytes, header, sizeof header - 1))
        bail_out("cannot make '%s'", dir);
    for (unsigned i = 0; i < 2000; i++)
        tp_buffer_append_u8(&bytes, (uint8_t)tap_random(&seed));
    write_file(file, bytes.data, bytes.len);
    pack = must_pack(dir, out, NULL, &report);
    x = tp_pack_index(pack);
    dims = TP_INDEX_HEADER_LEN + x->file_n * TP_FILE_RECORD_LEN +
           x->segment_n * TP_SEGMENT_RECORD_LEN + x->chunk_n * TP_CHUNK_RECORD_LEN +
           x->tables_n * TP_TABLES_RECORD_LEN;
    if (asprintf(&command, "'%s/tests/packedit' '%s' '%s' index@%zu:8=2000", build ? build : ".",
                 out, changed, dims) < 0 ||
        system(command) != 0 || tp_model_open(changed, NULL, &source, &err) < 0)
        bail_out("cannot change '%s': %s", out, err.message);
    is_int(source->tensor_bytes, 2000, "bytes that two tensors claim are one's");
    is_int(tp_model_opaque(source, 0), 8 + sizeof header - 1, "and leave what is none");
    tp_model_close(source);
    tp_pack_close(pack);
    tp_buffer_clear(&bytes);
    free(command);
    free(changed);
    free(out);
    free(file);
    free(dir);
}

int main(void)
{
    seed = tap_seed();
    test_rule();
    test_common();
    scratch = tap_tmpdir();
    test_agree();
    test_overlap();
    tp_file_remove_tree(AT_FDCWD, scratch, NULL);
    free(scratch);
    return tap_done();
}
