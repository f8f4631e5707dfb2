/* SPDX-License-Identifier: MIT */
/*
 * Tensors with other names than the base's: which names are found, and that packing and matching
 * use them.
 */
#include <config.h>

#include "store/match/match.h"
#include "store/match/rename.h"
#include "tests/store/model.h"

static const uint64_t wide[] = {64, 32}, tall[] = {128, 32}, other[] = {64, 48};

/* A model of these names, in their order, which must be ascending. */
static struct tp_model model_of(struct tp_model_tensor *tensors, const uint64_t *shape,
                                const char *const *names)
{
    static struct tp_model_file file = {.path = "model.safetensors"};
    struct tp_model source = {.files = &file, .file_n = 1, .tensors = tensors};

    for (; names[source.name_n]; source.name_n++)
        tensors[source.name_n] = (struct tp_model_tensor){.name = names[source.name_n],
                                                          .dtype = TP_DTYPE_BF16,
                                                          .rank = 2,
                                                          .shape = shape,
                                                          .len = shape[0] * shape[1] * 2};
    source.tensor_n = source.name_n;
    return source;
}

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})

/*
 * What the names of a model are in a base: WANT has one for each that has another, "" for one that
 * has none.
 */
static void gives(const uint64_t *shape, const char *const *of_model, const char *const *of_base,
                  const char *const *want, const char *name)
{
    static struct tp_model_tensor model_room[8], base_room[8];
    struct tp_model model = model_of(model_room, shape, of_model),
                    base = model_of(base_room, wide, of_base);
    struct tp_error err = {0};
    struct tp_renames renames;
    unsigned wrong = 0;

    if (tp_renames_find(&model, &base, &renames, &err) < 0)
        bail_out("%s", err.message);
    for (size_t i = 0; i < model.name_n; i++) {
        const char *got = renames.to[i] ? renames.to[i] : "";

        if (strcmp(got, want[i]) == 0)
            continue;
        diag("'%s' is '%s', not '%s'", of_model[i], got, want[i]);
        wrong++;
    }
    is_int(wrong, 0, name);
    tp_renames_clear(&renames);
}

static void test_front(void)
{
    const char *const *plain = NAMES("lm_head.weight", "model.layers.0.up.weight",
                                     "model.layers.1.up.weight", "model.norm.weight");

    gives(wide, plain, plain, NAMES("", "", "", ""), "equal names have no other");
    gives(wide, NAMES("layers.0.up.weight", "layers.1.up.weight", "norm.weight"), plain, plain + 1,
          "a part that was taken off");
    gives(wide,
          NAMES("base_model.model.lm_head.weight", "base_model.model.model.layers.0.up.weight",
                "base_model.model.model.norm.weight"),
          plain, NAMES("lm_head.weight", "model.layers.0.up.weight", "model.norm.weight"),
          "parts put before all, one of which is there anyway");
    gives(wide, NAMES("head.norm.weight", "text.layers.0.up.weight", "text.layers.1.up.weight"),
          plain, NAMES("model.norm.weight", "model.layers.0.up.weight", "model.layers.1.up.weight"),
          "other parts before all");
    gives(wide, NAMES("layers.0.up.weight", "layers.1.up.weight"),
          NAMES("a.layers.0.up.weight", "b.layers.0.up.weight", "b.layers.1.up.weight"),
          NAMES("b.layers.0.up.weight", "b.layers.1.up.weight"),
          "of two the one that explains more");
    gives(wide, NAMES("model.layers.7.up.weight"), plain, NAMES(""),
          "a layer is never taken for another");
    gives(wide, NAMES("x.7.layers.1.up.weight"), plain, NAMES(""),
          "nor with a number in what was put before");
    gives(wide, NAMES("my_norm.weight"), plain, NAMES(""), "parts are whole");
    gives(other, NAMES("layers.0.up.weight", "norm.weight"), plain, NAMES("", ""),
          "other shapes are no namesakes");
    gives(tall, NAMES("layers.0.up.weight", "norm.weight"), plain,
          NAMES("model.layers.0.up.weight", "model.norm.weight"), "more rows are");
    gives(wide, NAMES("", ".", "..", "0", "norm"), plain, NAMES("", "", "", "", ""), "odd names");
    gives(wide, NAMES("a.0.w"), NAMES("", ".", "0.w", "w"), NAMES("0.w"), "odd names of the base");
}

static void test_within(void)
{
    const char *const *plain =
        NAMES("model.layers.0.attn.q.weight", "model.layers.0.mlp.weight", "model.norm.weight");

    gives(wide,
          NAMES("model.layers.0._checkpoint_wrapped_module.attn.q.weight",
                "model.layers.0._checkpoint_wrapped_module.mlp.weight", "model.norm.weight"),
          plain, NAMES(plain[0], plain[1], ""), "a part that was put within");
    gives(
        wide,
        NAMES("_fsdp_wrapped_module.model.layers.0._fsdp_wrapped_module._checkpoint_wrapped_module."
              "mlp.weight",
              "_fsdp_wrapped_module.model.layers.0._fsdp_wrapped_module.attn.q.base_layer.weight"),
        plain, NAMES(plain[1], plain[0]), "parts before all and in two places within");
    gives(wide, NAMES("model.layers.0.attn.q.weight"),
          NAMES("model.layers.0.unknown.attn.whatever.q.weight"),
          NAMES("model.layers.0.unknown.attn.whatever.q.weight"),
          "unknown parts that were removed");
    gives(wide, NAMES("model.layers.0.new.q.weight"), plain, NAMES(""),
          "a part within in place of another is another tensor");
    gives(wide, NAMES("model.layers.0.2.mlp.weight"), plain, NAMES(""),
          "so is one with one more number");
    gives(wide,
          NAMES("module.model.layers.0.attn.module.q.weight", "module.model.layers.0.mlp.weight"),
          plain, NAMES(plain[0], plain[1]), "the nearer of two");
    gives(tall, NAMES("model.layers.0.attn.q.lora_A.weight"), plain, NAMES(""),
          "other shapes alone do not make parts within known");
}

/* Twenty thousand names, half of them without numbers, with parts put in. */
static void test_many(void)
{
    enum { N = 20000 };
    struct tp_model_tensor *tensors = calloc(2 * N, sizeof *tensors);
    struct tp_model_file file = {.path = "model.safetensors"};
    struct tp_model model = {
        .files = &file, .file_n = 1, .tensors = tensors, .name_n = N, .tensor_n = N};
    struct tp_model base = model;
    struct tp_renames renames;
    struct tp_error err = {0};
    unsigned wrong = 0;

    base.tensors = tensors + N;
    for (unsigned i = 0; i < N; i++) {
        const char *before = i < N / 2 ? "a" : "b.";
        char *with, *without;

        if (asprintf(&with, "%s%05u._orig_mod.x.weight", before, i) < 0 ||
            asprintf(&without, "%s%05u.x.weight", before, i) < 0)
            bail_out("memory");
        tensors[i] = (struct tp_model_tensor){
            .name = with, .dtype = TP_DTYPE_BF16, .rank = 2, .shape = wide, .len = 4096};
        base.tensors[i] = tensors[i];
        base.tensors[i].name = without;
    }
    if (tp_renames_find(&model, &base, &renames, &err) < 0)
        bail_out("%s", err.message);
    for (unsigned i = 0; i < N; i++)
        wrong += renames.to[i] != base.tensors[i].name;
    is_int(wrong, 0, "very many names");
    tp_renames_clear(&renames);
    for (unsigned i = 0; i < 2 * N; i++)
        free((char *)(uintptr_t)tensors[i].name);
    free(tensors);
}

/*
 * What stands in front of every tensor's name in the header of DIR/model.safetensors becomes
 * PREFIX.
 */
static void put_prefix(const char *dir, const char *prefix)
{
    char *path = NULL, *header = NULL, *rest, *key;
    struct tp_buffer old, all = {0};
    uint64_t len = 0;
    size_t size;
    FILE *f;

    if (asprintf(&path, "%s/model.safetensors", dir) < 0 || !(f = open_memstream(&header, &size)))
        bail_out("memory");
    old = read_file(path);
    memcpy(&len, old.data, 8);
    rest = strndup((char *)old.data + 8, len);
    for (char *p = rest; (key = strstr(p, "\":{\"dtype\"")) != NULL; p = key + 3) {
        char *name = key;

        while (name[-1] != '"')
            name--;
        fprintf(f, "%.*s%s%.*s", (int)(name - p), p, prefix, (int)(key + 3 - name), name);
        if (!strstr(key + 3, "\":{\"dtype\""))
            fputs(key + 3, f);
    }
    fclose(f);
    len = size;
    if (tp_buffer_append(&all, &len, 8) < 0 || tp_buffer_append(&all, header, size) < 0 ||
        tp_buffer_append(&all, old.data + 8 + strlen(rest), old.len - 8 - strlen(rest)) < 0)
        bail_out("memory");
    write_file(path, all.data, all.len);
    tp_buffer_clear(&old);
    tp_buffer_clear(&all);
    free(header);
    free(rest);
    free(path);
}

/* The pack of a fine-tune, or of other weights (--seed), under PREFIX. */
static uint64_t packed(const char *options, const char *prefix, struct tp_pack *of_base)
{
    struct tp_pack_report report, alone;
    struct tp_error err = {0};
    struct tp_pack *pack;
    char *dir = make_model("tune", options), *out = in_scratch("tune.tnpk"),
         *one = in_scratch("one.tnpk");
    struct tp_buffer a, b;

    put_prefix(dir, prefix);
    pack = must_pack(dir, out, of_base, &report);
    check_restores(pack, dir, options);
    tp_pack_close(pack);
    is_int(pack_model(dir, one, of_base, 1, &alone, &err), 0, "with one thread");
    a = read_file(out);
    b = read_file(one);
    ok(a.len == b.len && memcmp(a.data, b.data, a.len) == 0, "the same pack");
    tp_buffer_clear(&a);
    tp_buffer_clear(&b);
    unlink(out);
    unlink(one);
    tp_file_remove_tree(AT_FDCWD, dir, NULL);
    free(dir);
    free(out);
    free(one);
    return report.stored_bytes;
}

static void test_packs(const char *base_prefix, const char *prefix)
{
    char *dir = make_model("base", "--seed=1 --hidden=128"), *out = in_scratch("base.tnpk");
    struct tp_pack_report report;
    struct tp_pack *pack;
    uint64_t named, renamed, alone, unlike;

    put_prefix(dir, base_prefix);
    pack = must_pack(dir, out, NULL, &report);
    named = packed("--seed=1 --hidden=128 --noise=0.002", base_prefix, pack);
    renamed = packed("--seed=1 --hidden=128 --noise=0.002", prefix, pack);
    ok(renamed < named + named / 50 + 256,
       "'%s' for '%s': %" PRIu64 " bytes, %" PRIu64 " under the base's names", prefix, base_prefix,
       renamed, named);
    alone = packed("--seed=2 --hidden=128", prefix, NULL);
    unlike = packed("--seed=2 --hidden=128", prefix, pack);
    ok(unlike < alone + alone / 100 + 256,
       "other weights: %" PRIu64 " bytes, %" PRIu64 " without a base", unlike, alone);
    tp_pack_close(pack);
    unlink(out);
    tp_file_remove_tree(AT_FDCWD, dir, NULL);
    free(dir);
    free(out);
}

/* Nothing is said of a base: it is found by the other names, and the estimate goes by them. */
static void test_match(void)
{
    char *base_dir, *tune, *out = in_scratch("tune.tnpk"), *base_out = in_scratch("base.tnpk");
    struct tp_error err = {0};
    struct tp_pack_report report;
    struct tp_estimate estimate;
    struct tp_store *store;
    struct tp_match match;
    struct tp_pack *pack;

    base_dir = make_model("base", "--seed=1 --hidden=128");
    tune = make_model("tune", "--seed=1 --hidden=128 --noise=0.002");
    put_prefix(tune, "language_model.");
    if (tp_store_open(scratch, &store, &err) < 0)
        bail_out("%s", err.message);
    is_int(tp_match_base(store, tune, &(struct tp_match_query){.self = "tune"}, &match, &err), 0,
           "a base is found");
    is_str(match.name, "base", "this one");
    ok(match.shared > 0.99, "for all of the tensors");
    tp_store_close(store);
    is_int(tp_estimate(base_dir, tune, TP_LINKS_AUTO, NULL, &estimate, &err), 0, "an estimate");
    pack = must_pack(base_dir, base_out, NULL, &report);
    is_int(pack_model(tune, out, pack, 2, &report, &err), 0, "and the pack");
    ok(estimate.stored_bytes > report.stored_bytes * 3 / 4 &&
           estimate.stored_bytes < report.stored_bytes * 5 / 4,
       "of %" PRIu64 " bytes, %" PRIu64 " estimated", report.stored_bytes, estimate.stored_bytes);
    tp_pack_close(pack);
    free(base_dir);
    free(tune);
    free(out);
    free(base_out);
}

int main(void)
{
    test_front();
    test_within();
    test_many();
    scratch = tap_tmpdir();
    test_packs("", "base_model.model.");
    test_packs("_orig_mod.", "");
    test_packs("transformer.", "language_model.");
    test_match();
    tp_file_remove_tree(AT_FDCWD, scratch, NULL);
    free(scratch);
    return tap_done();
}
