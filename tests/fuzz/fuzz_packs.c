/* SPDX-License-Identifier: MIT */
/*
 * Chains of up to three packs, valid by construction, of all that the format has (pack_draft.h);
 * the last one, where the input says so, with bytes of its index changed and all its checksums
 * right. A valid pack opens, verifies, and reads as what went into it: each chunk, whole files and
 * ranges of them. A changed one is refused, or reads as far as verifying says. No chunk takes more
 * than the pack was found to take when it was opened, and nothing more memory than a little.
 *
 * The input: how many packs, what each has, then which bytes of the last index change.
 */
#include <config.h>

#include <errno.h>
#include <sys/resource.h>

#include "store/pack/decode.h"
#include "store/reader.h"
#include "store/verify.h"
#include "tests/fuzz/pack_draft.h"

enum {
    PACKS_MAX = 3,
    CHANGES_MAX = 4,
    RANGES = 4,
    MEMORY_MAX_MIB = 1536 /* of all inputs, with what a sanitizer keeps */
};

static struct tp_engine *engine;

/* Whether all of PACK decodes; that no chunk takes more than it may. */
static bool decode_all(struct tp_pack *pack, const struct draft *d)
{
    const struct tp_index *x = tp_pack_index(pack);
    struct tp_work *work = tp_work_create(NULL);
    bool good = true;

    FUZZ_CHECK(work != NULL && tp_pack_effort(pack) <= TP_EFFORT_MAX);
    for (uint32_t i = 0; i < x->chunk_n; i++) {
        const struct tp_segment *s = &x->segments[x->chunks[i].segment];
        uint32_t len = tp_index_chunk_len(x, i);
        uint64_t before = work->decoded;
        uint8_t *dst = malloc(len + TP_SLACK);
        struct tp_error err = {0};
        int rc;

        FUZZ_CHECK(dst != NULL);
        rc = tp_pack_decode_chunk(pack, i, dst, work, &err);
        FUZZ_CHECK(rc == 0 ? tp_xxh3(dst, len) == x->chunks[i].content_hash
                           : rc == -EBADMSG && err.message[0]);
        FUZZ_CHECK(work->decoded - before <= tp_pack_effort(pack));
        FUZZ_CHECK(!d || (rc == 0 && memcmp(dst,
                                            d->content[s->file] + s->file_off +
                                                (uint64_t)(i - s->chunk_first) * x->chunk_size,
                                            len) == 0));
        good &= rc == 0;
        free(dst);
    }
    tp_work_destroy(work);
    return good;
}

/* One file: all of it, then ranges. MUST: it is known to be whole. */
static void read_file(struct tp_pack *pack, uint32_t file, const uint8_t *content, bool must)
{
    uint64_t size = tp_pack_index(pack)->files[file].size;
    struct tp_error err = {0};
    struct tp_reader *reader;
    uint8_t *dst;

    if (size > DRAFT_BYTES_MAX)
        return;
    FUZZ_CHECK(tp_reader_open(engine, pack, file, &reader, &err) == 0);
    dst = malloc(size + 1);
    FUZZ_CHECK(dst != NULL && tp_reader_size(reader) == size);
    for (unsigned i = 0; i <= RANGES; i++) {
        uint64_t off = i == 0 || size == 0 ? 0 : (size * i * 37 / 100 + i * 4093) % size;
        size_t want = i == 0 ? size + 1 : 1 + (size_t)(size / (i * i)), left = size - off;
        ssize_t n = 0, got = 1;

        want = want < size + 1 ? want : size + 1;
        while (n < (ssize_t)want && got > 0) {
            got = tp_reader_pread(reader, dst + n, want - (size_t)n, off + (uint64_t)n, &err);
            n += got > 0 ? got : 0;
        }
        FUZZ_CHECK(got >= 0 ? n == (ssize_t)(want < left ? want : left) : !must && err.message[0]);
        FUZZ_CHECK(!content || memcmp(dst, content + off, (size_t)n) == 0);
    }
    free(dst);
    tp_reader_close(reader);
}

/* The listing: every path leads to its file. */
static void read_all(struct tp_pack *pack, const struct draft *d, bool must)
{
    const struct tp_index *x = tp_pack_index(pack);

    for (uint32_t i = 0; i < x->file_n; i++) {
        const struct tp_pack_file *f = &x->files[i];

        FUZZ_CHECK(tp_index_find(x, f->path) == f);
        FUZZ_CHECK(tp_index_file_of(x, f)->link == TP_NONE);
        if (f->type == TP_ENTRY_FILE)
            read_file(pack, i, d ? d->content[tp_index_file_of(x, f) - x->files] : NULL, must);
    }
}

/* D: what it must hold; NULL: it was changed. */
static void check(struct tp_pack *pack, const struct draft *d)
{
    struct tp_verify_report report;
    struct tp_error err = {0};
    bool decodes = decode_all(pack, d);
    int rc = tp_pack_verify(pack, 1, NULL, NULL, NULL, &report, &err);

    if (rc < 0 && d)
        fprintf(stderr, "%s\n", err.message);
    FUZZ_CHECK(rc == 0 ? decodes : !d && rc == -EBADMSG && err.message[0]);
    read_all(pack, d, rc == 0);
}

/* Whether the index is to be changed: then some of its bytes are. */
static bool change(struct feed *feed, struct tp_buffer *index)
{
    uint32_t n = feed->len ? feed_below(feed, CHANGES_MAX + 1) : 0;

    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = feed_byte(feed) << 8 | feed_byte(feed);

        index->data[at % index->len] = (uint8_t)feed_byte(feed);
    }
    return n > 0;
}

static struct tp_pack *open_pack(const struct draft *d, const struct tp_buffer *index, bool valid,
                                 struct tp_pack *base)
{
    static const uint8_t none[TP_SHA256_LEN];
    struct tp_error err = {0};
    struct tp_pack *pack;
    struct tp_index x;
    int fd;

    if (!valid &&
        tp_index_decode(TP_PACK_VERSION, index->data, index->len, d->data.len, &x, &err) < 0) {
        FUZZ_CHECK(err.message[0]);
        return NULL;
    }
    if (!valid)
        tp_index_clear(&x);
    fd = pack_assemble(TP_PACK_VERSION, index->data, index->len, d->data.data, d->data.len,
                       base ? tp_pack_get_id(base) : none);
    pack = pack_open_fd(fd, base, &err);
    close(fd);
    /* What takes too much to decode is refused, also where it is valid. */
    if (!pack && valid && !strstr(err.message, "128 MiB"))
        fprintf(stderr, "%s\n", err.message);
    FUZZ_CHECK(pack || (err.message[0] && (!valid || strstr(err.message, "128 MiB"))));
    return pack;
}

static void check_memory(void)
{
    struct rusage use;

    FUZZ_CHECK(getrusage(RUSAGE_SELF, &use) == 0 && use.ru_maxrss >> 10 < MEMORY_MAX_MIB);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct draft drafts[PACKS_MAX];
    struct tp_pack *packs[PACKS_MAX] = {NULL};
    struct feed feed = {data, len};
    uint32_t n = 1 + feed_below(&feed, PACKS_MAX), made = 0;
    bool good = true;

    if (!engine) {
        struct tp_engine_options options = {.threads = 1, .cache_bytes = 8 << 20};

        FUZZ_CHECK(tp_engine_create(&options, &engine, NULL) == 0);
    }
    for (; good && made < n; made++) {
        struct draft *d = &drafts[made];
        struct tp_pack *base = made ? packs[made - 1] : NULL;
        struct tp_buffer index = {0};
        bool valid;

        draft_make(d, &feed, made ? &drafts[made - 1] : NULL, base);
        FUZZ_CHECK(tp_index_encode(&d->x, &index, NULL) == 0);
        valid = made + 1 < n || !change(&feed, &index);
        packs[made] = open_pack(d, &index, valid, base);
        if (packs[made])
            check(packs[made], valid ? d : NULL);
        good = packs[made] != NULL;
        tp_buffer_clear(&index);
    }
    while (made-- > 0) {
        tp_pack_close(packs[made]);
        draft_clear(&drafts[made]);
    }
    check_memory();
    return 0;
}
