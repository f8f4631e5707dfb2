/* SPDX-License-Identifier: MIT */
/* Damage: every byte of a pack flipped, every length cut; each noticed, and never a wrong byte served. */
#include <config.h>

#include "base/le.h"
#include "store/layout.h"
#include "tests/store/model.h"

static struct tp_pack *base;

struct truth {
    uint32_t chunk_n;
    uint8_t **chunks;
};

static void know(struct tp_pack *pack, struct truth *t)
{
    struct tp_work *work = tp_work_create();
    struct tp_error err = {0};

    t->chunk_n = tp_pack_index(pack)->chunk_n;
    t->chunks = calloc(t->chunk_n, sizeof *t->chunks);
    for (uint32_t i = 0; i < t->chunk_n; i++) {
        t->chunks[i] = malloc(TP_CHUNK_MAX + TP_SLACK);
        if (tp_pack_decode_chunk(pack, i, t->chunks[i], work, NULL, &err) < 0)
            bail_out("%s", err.message);
    }
    tp_work_destroy(work);
}

static void forget(struct truth *t)
{
    for (uint32_t i = 0; i < t->chunk_n; i++)
        free(t->chunks[i]);
    free(t->chunks);
}

static void collect(void *arg, const char *story)
{
    struct tp_buffer *all = arg;

    tp_buffer_appendf(all, "%s\n", story);
}

/* Whether some chunk decodes to other bytes than it should. */
static bool serves_wrong(struct tp_pack *pack, const struct truth *t, struct tp_work *work, uint8_t *dst)
{
    const struct tp_index *x = tp_pack_index(pack);
    bool wrong = x->chunk_n != t->chunk_n;

    for (uint32_t i = 0; !wrong && i < x->chunk_n; i++)
        wrong = tp_pack_decode_chunk(pack, i, dst, work, NULL, NULL) == 0 &&
                memcmp(dst, t->chunks[i], tp_index_chunk_len(x, i)) != 0;
    return wrong;
}

/* Open and verify the file at PATH: 0 whole, 1 noticed at open, 2 noticed by verify, -1 a wrong byte, -2 no story. */
static int examine(const char *path, const struct truth *t, struct tp_work *work, uint8_t *dst)
{
    struct tp_verify_report report;
    struct tp_buffer stories = {0};
    struct tp_error err = {0};
    struct tp_pack *pack;
    int rc, result;

    if (tp_pack_open(path, NULL, &pack, &err) < 0)
        return err.message[0] && strstr(err.message, path) ? 1 : -2;
    rc = tp_pack_verify(pack, 1, NULL, collect, &stories, &report, &err);
    result = rc == 0 ? 0 : stories.len && strstr((char *)stories.data, path) ? 2 : -2;
    if (serves_wrong(pack, t, work, dst))
        result = -1;
    tp_buffer_clear(&stories);
    tp_pack_close(pack);
    return result;
}

static void test_flips(const char *path, const char *name)
{
    struct tp_buffer file = read_file(path);
    char *copy = in_scratch("flipped.tnpk");
    struct tp_work *work = tp_work_create();
    uint8_t *dst = malloc(TP_CHUNK_MAX + TP_SLACK);
    unsigned missed = 0, wrong = 0, mute = 0;
    uint64_t seed = tap_seed();
    struct truth truth;
    struct tp_pack *pack;
    struct tp_error err = {0};
    int fd;

    if (tp_pack_open(path, NULL, &pack, &err) < 0)
        bail_out("%s", err.message);
    know(pack, &truth);
    tp_pack_close(pack);
    write_file(copy, file.data, file.len);
    is_int(examine(copy, &truth, work, dst), 0, "the copy is whole before anything is flipped");
    fd = open(copy, O_RDWR | O_CLOEXEC);
    for (size_t i = 0; i < file.len; i++) {
        uint8_t b = file.data[i] ^ (uint8_t)(1u << tap_random(&seed) % 8);
        int result;

        if (pwrite(fd, &b, 1, (off_t)i) != 1)
            bail_out("cannot write '%s'", copy);
        result = examine(copy, &truth, work, dst);
        if (result <= 0)
            diag("byte %zu of %zu: %d", i, file.len, result);
        missed += result == 0;
        wrong += result == -1;
        mute += result == -2;
        if (pwrite(fd, &file.data[i], 1, (off_t)i) != 1)
            bail_out("cannot write '%s'", copy);
    }
    is_int(missed, 0, "every flipped byte is noticed");
    is_int(wrong, 0, "none gives wrong bytes");
    is_int(mute, 0, "each is told, with the pack's path");
    close(fd);
    diag("%s: %zu bytes flipped", name, file.len);

    missed = 0;
    for (size_t n = file.len; n-- > 0;) {
        if (truncate(copy, (off_t)n) < 0)
            bail_out("cannot cut '%s'", copy);
        missed += tp_pack_open(copy, NULL, &pack, &err) == 0 || !strstr(err.message, copy);
    }
    is_int(missed, 0, "every shorter length is noticed");
    write_file(copy, file.data, file.len);
    fd = open(copy, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (write(fd, "x", 1) != 1)
        bail_out("cannot write '%s'", copy);
    close(fd);
    is_int(tp_pack_open(copy, NULL, &pack, &err), -EBADMSG, "a longer file is noticed");
    unlink(copy);
    forget(&truth);
    tp_work_destroy(work);
    tp_buffer_clear(&file);
    free(dst);
    free(copy);
}

/* What is told of a damaged chunk: pack, file, chunk and offset. */
static void test_story(const char *path)
{
    struct tp_buffer file = read_file(path), want = {0};
    char *copy = in_scratch("story.tnpk");
    struct tp_verify_report report;
    struct tp_error err = {0};
    const struct tp_index *x;
    struct tp_pack *pack;
    uint32_t chunk = 0;

    if (tp_pack_open(path, NULL, &pack, &err) < 0)
        bail_out("%s", err.message);
    x = tp_pack_index(pack);
    while (x->chunks[chunk].stored_len == 0 || x->segments[x->chunks[chunk].segment].dtype == TP_DTYPE_BYTES)
        chunk++;
    file.data[x->chunks[chunk].stored_off] ^= 1;
    tp_buffer_appendf(&want, "chunk %" PRIu32 " (bytes from %" PRIu64 " of '%s', offset %" PRIu64 " in the pack)",
                      chunk, x->segments[x->chunks[chunk].segment].file_off,
                      x->files[x->segments[x->chunks[chunk].segment].file].path, x->chunks[chunk].stored_off);
    tp_pack_close(pack);
    write_file(copy, file.data, file.len);
    if (tp_pack_open(copy, NULL, &pack, &err) < 0)
        bail_out("%s", err.message);
    is_int(tp_pack_verify(pack, 2, NULL, NULL, NULL, &report, &err), -EBADMSG, "a flipped byte in a chunk");
    has(err.message, (char *)want.data, "its story names file, chunk and offset");
    has(err.message, copy, "and the pack");
    is_u64(report.bad_chunks, 1, "one chunk is bad");
    is_u64(report.bad_files, 1, "and one file");
    tp_pack_close(pack);
    unlink(copy);
    tp_buffer_clear(&file);
    tp_buffer_clear(&want);
    free(copy);
}

/* Another version, or a feature of the future, with everything else right. */
static void test_newer(const char *path)
{
    struct tp_buffer file = read_file(path);
    char *copy = in_scratch("newer.tnpk");
    uint8_t *footer = file.data + file.len - TP_PACK_FOOTER_LEN;
    struct tp_pack_id id;
    struct tp_error err = {0};
    struct tp_pack *pack;

    footer[8] = TP_PACK_VERSION + 1;
    tp_put_le64(footer + 120, tp_xxh3(footer, 120));
    write_file(copy, file.data, file.len);
    is_int(tp_pack_open(copy, NULL, &pack, &err), -EPROTONOSUPPORT, "a newer version is told as one");
    has(err.message, "format 2", "with its number");
    is_int(tp_pack_identify(copy, &id, &err), -EPROTONOSUPPORT, "also when only its id is asked for");
    footer[8] = TP_PACK_VERSION;
    footer[12] = 4;
    tp_put_le64(footer + 120, tp_xxh3(footer, 120));
    write_file(copy, file.data, file.len);
    is_int(tp_pack_open(copy, NULL, &pack, &err), -EPROTONOSUPPORT, "an unknown feature is told as one");
    has(err.message, "0x4", "with its bit");
    write_file(copy, "not a pack at all, but long enough to be taken for one: "
                     "it has a hundred and forty four bytes or more, as many as a header and a footer take together.", 150);
    is_int(tp_pack_open(copy, NULL, &pack, &err), -EBADMSG, "another file");
    has(err.message, "is not a pack", "is told as no pack");
    unlink(copy);
    tp_buffer_clear(&file);
    free(copy);
}

int main(void)
{
    struct tp_pack_report report;
    struct tp_pack *pack;
    char *base_dir, *base_out, *dir, *out;

    scratch = tap_tmpdir();
    base_dir = make_model("base", "--seed=1 --layers=1 --hidden=32 --inter=48 --vocab=64 --tokenizer=512");
    base_out = in_scratch("base.tnpk");
    base = must_pack(base_dir, base_out, NULL, &report);
    dir = make_model("tune", "--seed=1 --layers=1 --hidden=32 --inter=48 --vocab=64 --tokenizer=512 --noise=0.004");
    out = in_scratch("tune.tnpk");
    pack = must_pack(dir, out, base, &report);
    ok(report.codec_chunks[TP_CODEC_DELTA] + report.codec_chunks[TP_CODEC_SPARSE] > 0, "the fine-tune uses its base");
    tp_pack_close(pack);
    test_flips(base_out, "base");
    test_flips(out, "fine-tune");
    test_story(out);
    test_newer(out);
    tp_pack_close(base);
    tp_file_remove_tree(AT_FDCWD, scratch, NULL);
    free(base_dir);
    free(base_out);
    free(dir);
    free(out);
    free(scratch);
    return tap_done();
}
