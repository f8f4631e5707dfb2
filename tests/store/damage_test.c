/* SPDX-License-Identifier: MIT */
/*
 * Damage: every byte of a pack flipped, every length cut. All of it is detected, and no wrong byte
 * is returned.
 */
#include <config.h>

#include "base/le.h"
#include "store/pack/decode.h"
#include "store/pack/layout.h"
#include "tests/store/model.h"

static struct tp_pack *base;

struct truth {
    uint32_t chunk_n;
    uint8_t **chunks;
};

static void know(struct tp_pack *pack, struct truth *t)
{
    struct tp_work *work = tp_work_create(NULL);
    struct tp_error err = {0};

    t->chunk_n = tp_pack_index(pack)->chunk_n;
    t->chunks = calloc(t->chunk_n, sizeof *t->chunks);
    for (uint32_t i = 0; i < t->chunk_n; i++) {
        t->chunks[i] = malloc(TP_CHUNK_MAX + TP_SLACK);
        if (tp_pack_decode_chunk(pack, i, t->chunks[i], work, &err) < 0)
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

static void collect(void *arg, const char *message)
{
    struct tp_buffer *all = arg;

    tp_buffer_appendf(all, "%s\n", message);
}

/* Whether some chunk decodes to other bytes than it should. */
static bool serves_wrong(struct tp_pack *pack, const struct truth *t, struct tp_work *work,
                         uint8_t *dst)
{
    const struct tp_index *x = tp_pack_index(pack);
    bool wrong = x->chunk_n != t->chunk_n;

    for (uint32_t i = 0; !wrong && i < x->chunk_n; i++)
        wrong = tp_pack_decode_chunk(pack, i, dst, work, NULL) == 0 &&
                memcmp(dst, t->chunks[i], tp_index_chunk_len(x, i)) != 0;
    return wrong;
}

/*
 * Open and verify the file at PATH: 0 whole, 1 noticed at open, 2 noticed by verify, -1 a wrong
 * byte, -2 no message.
 */
static int examine(const char *path, const struct truth *t, struct tp_work *work, uint8_t *dst)
{
    struct tp_verify_report report;
    struct tp_buffer stories = {0};
    struct tp_error err = {0};
    struct tp_pack *pack;
    int rc, result;

    if (tp_store_open_path(NULL, path, &pack, &err) < 0)
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
    struct tp_work *work = tp_work_create(NULL);
    uint8_t *dst = malloc(TP_CHUNK_MAX + TP_SLACK);
    unsigned missed = 0, wrong = 0, mute = 0;
    uint64_t seed = tap_seed();
    struct truth truth;
    struct tp_pack *pack;
    struct tp_error err = {0};
    int fd;

    if (tp_store_open_path(NULL, path, &pack, &err) < 0)
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
    is_int(mute, 0, "each is reported, with the pack's path");
    close(fd);
    diag("%s: %zu bytes flipped", name, file.len);

    missed = 0;
    for (size_t n = file.len; n-- > 0;) {
        if (truncate(copy, (off_t)n) < 0)
            bail_out("cannot cut '%s'", copy);
        missed += tp_store_open_path(NULL, copy, &pack, &err) == 0 || !strstr(err.message, copy);
    }
    is_int(missed, 0, "every shorter length is noticed");
    write_file(copy, file.data, file.len);
    fd = open(copy, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (write(fd, "x", 1) != 1)
        bail_out("cannot write '%s'", copy);
    close(fd);
    is_int(tp_store_open_path(NULL, copy, &pack, &err), -EBADMSG, "a longer file is noticed");
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
    char *copy = in_scratch("message.tnpk");
    struct tp_verify_report report;
    struct tp_error err = {0};
    const struct tp_index *x;
    struct tp_pack *pack;
    uint32_t chunk = 0;

    if (tp_store_open_path(NULL, path, &pack, &err) < 0)
        bail_out("%s", err.message);
    x = tp_pack_index(pack);
    while (x->chunks[chunk].stored_len == 0 ||
           x->segments[x->chunks[chunk].segment].dtype == TP_DTYPE_BYTES)
        chunk++;
    file.data[x->chunks[chunk].stored_off] ^= 1;
    tp_buffer_appendf(
        &want, "chunk %" PRIu32 " (bytes from %" PRIu64 " of '%s', offset %" PRIu64 " in the pack)",
        chunk, x->segments[x->chunks[chunk].segment].file_off,
        x->files[x->segments[x->chunks[chunk].segment].file].path, x->chunks[chunk].stored_off);
    tp_pack_close(pack);
    write_file(copy, file.data, file.len);
    if (tp_store_open_path(NULL, copy, &pack, &err) < 0)
        bail_out("%s", err.message);
    is_int(tp_pack_verify(pack, 2, NULL, NULL, NULL, &report, &err), -EBADMSG,
           "a flipped byte in a chunk");
    has(err.message, (char *)want.data, "its message names file, chunk and offset");
    has(err.message, copy, "and the pack");
    is_u64(report.bad_chunks, 1, "one chunk is bad");
    is_u64(report.bad_files, 1, "and one file");
    tp_pack_close(pack);
    unlink(copy);
    tp_buffer_clear(&file);
    tp_buffer_clear(&want);
    free(copy);
}

/* Prints of what the pack's files are, as its writer takes them. */
static struct tp_file_print *print_files(struct tp_pack *pack, const struct truth *t)
{
    const struct tp_index *x = tp_pack_index(pack);
    struct tp_file_print *prints = calloc(x->file_n, sizeof *prints);
    struct tp_xxh128 *xxh = tp_xxh128_create();

    if (!prints || !xxh)
        bail_out("memory");
    for (uint32_t f = 0; f < x->file_n; f++) {
        for (uint32_t i = 0; i < t->chunk_n; i++)
            if (x->segments[x->chunks[i].segment].file == f)
                tp_xxh128_update(xxh, t->chunks[i], tp_index_chunk_len(x, i));
        tp_xxh128_final(xxh, prints[f].xxh128);
    }
    tp_xxh128_destroy(xxh);
    return prints;
}

/*
 * The first two chunks of a pack of raw ones change places, and every checksum is made right again.
 */
static void swap_chunks(struct tp_buffer *file, const struct tp_index *x)
{
    struct tp_chunk first = x->chunks[0], second = x->chunks[1];
    uint8_t *at = file->data + first.stored_off, *held = malloc(first.stored_len);
    struct tp_buffer index = {0};
    struct tp_footer footer;
    struct tp_error err;

    if (!held || first.codec != TP_CODEC_RAW || second.codec != TP_CODEC_RAW ||
        first.stored_len != second.stored_len ||
        tp_footer_decode(file->data + file->len - TP_PACK_FOOTER_LEN, file->len, "", &footer,
                         &err) < 0)
        bail_out("chunks that cannot change places");
    memcpy(held, at, first.stored_len);
    memcpy(at, file->data + second.stored_off, second.stored_len);
    memcpy(file->data + second.stored_off, held, first.stored_len);
    x->chunks[0] = second;
    x->chunks[1] = first;
    if (tp_index_encode(x, &index, &err) < 0)
        bail_out("%s", err.message);
    footer.coding = TP_INDEX_RAW;
    footer.index_stored = footer.index_len = index.len;
    footer.index_hash = tp_xxh3(index.data, index.len);
    tp_sha256(index.data, index.len, footer.id);
    file->len = footer.index_off;
    if (tp_buffer_append(file, index.data, index.len) < 0 ||
        tp_buffer_reserve(file, TP_PACK_FOOTER_LEN) < 0)
        bail_out("memory");
    tp_footer_encode(&footer, file->data + file->len);
    file->len += TP_PACK_FOOTER_LEN;
    tp_buffer_clear(&index);
    free(held);
}

static int verify_file(const char *path, const struct tp_file_print *prints, unsigned threads,
                       struct tp_error *err)
{
    struct tp_pack *pack;
    int rc;

    if (tp_store_open_path(NULL, path, &pack, err) < 0)
        bail_out("%s", err->message);
    rc = tp_pack_verify_written(pack, prints, threads, NULL, err);
    tp_pack_close(pack);
    return rc;
}

/*
 * What only a hash of the whole file tells that was taken of the source: every checksum in the pack
 * is right.
 */
static void test_assembly(void)
{
    size_t len = 2 * TP_CHUNK_MAX;
    char *dir = in_scratch("raw"), *name = in_scratch("raw/weights.bin"),
         *out = in_scratch("raw.tnpk");
    uint8_t *bytes = malloc(len);
    uint64_t seed = tap_seed();
    struct tp_pack_report report;
    struct tp_file_print *prints;
    struct tp_error err = {0};
    struct tp_buffer file;
    struct tp_pack *pack;
    struct truth truth;

    for (size_t i = 0; bytes && i < len; i++)
        bytes[i] = (uint8_t)(tap_random(&seed) >> 11);
    if (!bytes || mkdir(dir, 0700) < 0)
        bail_out("cannot make '%s'", dir);
    write_file(name, bytes, len);
    pack = must_pack(dir, out, NULL, &report);
    know(pack, &truth);
    prints = print_files(pack, &truth);
    is_int(verify_file(out, prints, 1, &err), 0,
           "a pack decodes to what was printed of its source");
    is_int(verify_file(out, prints, 2, &err), 0, "on two threads as well");
    prints[0].xxh128[3] ^= 16;
    is_int(verify_file(out, prints, 1, &err), -EBADMSG, "another file's print is not its own");
    has(err.message, "'weights.bin' does not match what was read of it",
        "and the message names the file");
    prints[0].xxh128[3] ^= 16;
    file = read_file(out);
    swap_chunks(&file, tp_pack_index(pack));
    write_file(out, file.data, file.len);
    is_int(verify_file(out, prints, 1, &err), -EBADMSG, "chunks that changed places are noticed");
    has(err.message, "'weights.bin' does not match what was read of it",
        "by the hash of the whole file");
    is_int(verify_file(out, prints, 2, &err), -EBADMSG, "on two threads as well");
    tp_pack_close(pack);
    tp_file_remove_tree(AT_FDCWD, dir, NULL);
    unlink(out);
    tp_buffer_clear(&file);
    forget(&truth);
    free(prints);
    free(bytes);
    free(dir);
    free(name);
    free(out);
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
    is_int(tp_store_open_path(NULL, copy, &pack, &err), -EPROTONOSUPPORT,
           "a newer version is reported as newer");
    has(err.message, "format 3", "with its number");
    is_int(tp_pack_identify(copy, &id, &err), -EPROTONOSUPPORT,
           "also when only its id is requested");
    footer[8] = TP_PACK_VERSION;
    footer[12] = 4;
    tp_put_le64(footer + 120, tp_xxh3(footer, 120));
    write_file(copy, file.data, file.len);
    is_int(tp_store_open_path(NULL, copy, &pack, &err), -EPROTONOSUPPORT,
           "an unknown feature is reported as newer");
    has(err.message, "0x4", "with its bit");
    write_file(copy,
               "not a pack at all, but long enough to be taken for one: "
               "it has a hundred and forty four bytes or more, as many as a header and a footer "
               "take together.",
               150);
    is_int(tp_store_open_path(NULL, copy, &pack, &err), -EBADMSG, "another file");
    has(err.message, "is not a pack", "is reported as no pack");
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
    base_dir =
        make_model("base", "--seed=1 --layers=1 --hidden=32 --inter=48 --vocab=64 --tokenizer=512");
    base_out = in_scratch("base.tnpk");
    base = must_pack(base_dir, base_out, NULL, &report);
    dir = make_model(
        "tune",
        "--seed=1 --layers=1 --hidden=32 --inter=48 --vocab=64 --tokenizer=512 --noise=0.004");
    out = in_scratch("tune.tnpk");
    pack = must_pack(dir, out, base, &report);
    ok(report.codec_chunks[TP_CODEC_DELTA] + report.codec_chunks[TP_CODEC_SPARSE] > 0,
       "the fine-tune uses its base");
    tp_pack_close(pack);
    test_flips(base_out, "base");
    test_flips(out, "fine-tune");
    test_story(out);
    test_assembly();
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
