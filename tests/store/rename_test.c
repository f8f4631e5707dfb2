/* SPDX-License-Identifier: MIT */
/* Tensors that are called otherwise than the base's: which rules are found, and that packing and matching go by them. */
#include <config.h>

#include "store/match/match.h"
#include "store/match/rename.h"
#include "tests/store/model.h"

static const uint64_t wide[] = {64, 32}, tall[] = {128, 32}, other[] = {64, 48};

/* A model of these names, in their order, which must be ascending. */
static struct tp_source model_of(struct tp_source_tensor *room, const uint64_t *shape, const char *const *names)
{
    static struct tp_source_file file = {.path = "model.safetensors"};
    struct tp_source source = {.files = &file, .file_n = 1, .tensors = room};

    for (; names[source.tensor_n]; source.tensor_n++)
        room[source.tensor_n] = (struct tp_source_tensor){.name = names[source.tensor_n], .dtype = TP_DTYPE_BF16,
                                                          .rank = 2, .shape = shape, .len = shape[0] * shape[1] * 2};
    source.tensor_all = source.tensor_n;
    return source;
}

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct tp_source_tensor model_room[8], base_room[8];
static struct tp_source model, base;

static struct tp_renames rules_of(const uint64_t *shape, const char *const *of_model, const char *const *of_base)
{
    struct tp_error err = {0};
    struct tp_renames renames;

    model = model_of(model_room, shape, of_model);
    base = model_of(base_room, wide, of_base);
    if (tp_renames_find(&model, &base, &renames, &err) < 0)
        bail_out("%s", err.message);
    return renames;
}

/* "DROP>ADD" of each rule, one behind the other. */
static char *text_of(const struct tp_renames *renames)
{
    char *text = strdup("");

    for (unsigned i = 0; i < renames->n; i++) {
        const struct tp_rename *r = &renames->rule[i];
        char *longer;

        if (asprintf(&longer, "%s%s%.*s>%.*s", text, i ? " " : "", (int)r->drop_len, r->drop, (int)r->add_len,
                     r->add) < 0)
            bail_out("memory");
        free(text);
        text = longer;
    }
    return text;
}

static void gives(const struct tp_renames renames, const char *want, const char *name)
{
    char *got = text_of(&renames);

    is_str(got, want, name);
    free(got);
}

static void test_rules(void)
{
    const char *const *plain = NAMES("lm_head.weight", "model.layers.0.up.weight", "model.layers.1.up.weight",
                                     "model.norm.weight");

    gives(rules_of(wide, plain, plain), "", "equal names need no rule");
    gives(rules_of(wide, NAMES("layers.0.up.weight", "layers.1.up.weight", "norm.weight"), plain), ">model.",
          "a prefix that was taken off");
    gives(rules_of(wide, NAMES("base_model.model.lm_head.weight", "base_model.model.model.layers.0.up.weight",
                               "base_model.model.model.norm.weight"), plain),
          "base_model.model.>", "a prefix that was put before all, with a part that is there anyway");
    gives(rules_of(wide, NAMES("lm_head.weight", "model.language_model.layers.0.up.weight",
                               "model.language_model.norm.weight"), plain),
          "model.language_model.>model.", "a part put between");
    gives(rules_of(wide, NAMES("head.norm.weight", "text.layers.0.up.weight", "text.layers.1.up.weight"), plain),
          "text.>model. head.>model.", "the rule that finds more comes first");
    gives(rules_of(wide, NAMES("model.layers.7.up.weight"), plain), "", "a layer is never taken for another");
    gives(rules_of(wide, NAMES("x.7.layers.1.up.weight"), plain), "", "nor with a number in what was put before");
    gives(rules_of(wide, NAMES("my_norm.weight"), plain), "", "parts are whole");
    gives(rules_of(other, NAMES("layers.0.up.weight", "norm.weight"), plain), "", "other shapes are no namesakes");
    gives(rules_of(tall, NAMES("layers.0.up.weight", "norm.weight"), plain), ">model.", "more rows are");
    gives(rules_of(wide, NAMES("", ".", "..", "0", "norm"), plain), "", "odd names");
    gives(rules_of(wide, NAMES("a.0.w"), NAMES("", ".", "0.w", "w")), "a.>", "odd names of the base");
}

static void test_apply(void)
{
    struct tp_rename r = {.drop = "a.b.", .drop_len = 4, .add = "c.", .add_len = 2};
    char long_name[2 * TP_RENAMED_LEN], out[TP_RENAMED_LEN];
    const struct tp_source_tensor *t;
    struct tp_renames renames;

    ok(tp_rename_apply(&r, "a.b.x", out), "a name that begins so");
    is_str(out, "c.x", "begins with the other");
    ok(!tp_rename_apply(&r, "a.x", out), "another does not");
    memset(long_name, 'x', sizeof long_name);
    memcpy(long_name, "a.b.", 4);
    long_name[TP_RENAMED_LEN + 1] = '\0';
    ok(tp_rename_apply(&r, long_name, out) && strlen(out) == TP_RENAMED_LEN - 1, "the longest name");
    long_name[TP_RENAMED_LEN + 1] = 'x';
    long_name[TP_RENAMED_LEN + 2] = '\0';
    ok(!tp_rename_apply(&r, long_name, out), "a longer one has no other");

    renames = rules_of(wide, NAMES("layers.0.up.weight", "new.weight"),
                       NAMES("model.layers.0.up.weight", "model.norm.weight"));
    t = tp_renames_match(&renames, &base, &model, &model.tensors[0]);
    is_str(t ? t->name : NULL, "model.layers.0.up.weight", "the tensor under its other name");
    ok(!tp_renames_match(&renames, &base, &model, &model.tensors[1]), "none where the base has none");
}

/* What stands in front of every tensor's name in the header of DIR/model.safetensors becomes PREFIX. */
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
    char *dir = make_model("tune", options), *out = in_scratch("tune.tnpk"), *one = in_scratch("one.tnpk");
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
    ok(renamed < named + named / 50 + 256, "'%s' for '%s': %" PRIu64 " bytes, %" PRIu64 " under the base's names", prefix,
       base_prefix, renamed, named);
    alone = packed("--seed=2 --hidden=128", prefix, NULL);
    unlike = packed("--seed=2 --hidden=128", prefix, pack);
    ok(unlike < alone + alone / 100 + 256, "other weights: %" PRIu64 " bytes, %" PRIu64 " without a base", unlike, alone);
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
    is_int(tp_match_base(store, tune, &(struct tp_match_query){.self = "tune"}, &match, &err), 0, "a base is found");
    is_str(match.name, "base", "this one");
    ok(match.shared > 0.99, "for all of the tensors");
    tp_store_close(store);
    is_int(tp_estimate(base_dir, tune, TP_LINKS_AUTO, NULL, &estimate, &err), 0, "an estimate");
    pack = must_pack(base_dir, base_out, NULL, &report);
    is_int(pack_model(tune, out, pack, 2, &report, &err), 0, "and the pack");
    ok(estimate.stored_bytes > report.stored_bytes * 3 / 4 && estimate.stored_bytes < report.stored_bytes * 5 / 4,
       "of %" PRIu64 " bytes, %" PRIu64 " estimated", report.stored_bytes, estimate.stored_bytes);
    tp_pack_close(pack);
    free(base_dir);
    free(tune);
    free(out);
    free(base_out);
}

int main(void)
{
    test_rules();
    test_apply();
    scratch = tap_tmpdir();
    test_packs("", "base_model.model.");
    test_packs("_orig_mod.", "");
    test_packs("transformer.", "language_model.");
    test_match();
    tp_file_remove_tree(AT_FDCWD, scratch, NULL);
    free(scratch);
    return tap_done();
}
