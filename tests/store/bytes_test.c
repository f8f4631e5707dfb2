/* SPDX-License-Identifier: MIT */
/* Sources of bytes: a file; one that fails, ends early or returns short reads; and mirrors. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>

#include "base/hash.h"
#include "store/pack/bytes_file.h"
#include "store/pack/mirrors.h"
#include "tests/tap.h"

enum { LEN = 10000 };

static uint8_t content[LEN];
static char *dir;

/* A source in memory, with faults. */
struct memory {
    struct tp_bytes source;
    uint8_t data[LEN];
    uint64_t end;      /* reads give nothing from here on */
    uint64_t fails_at; /* reads of this byte are EIO */
    size_t most;       /* bytes a read gives */
    unsigned reads;
};

static unsigned open_sources;

static ssize_t memory_read(struct tp_bytes *bytes, void *dst, size_t len, uint64_t off)
{
    struct memory *m = (struct memory *)bytes;

    m->reads++;
    if (off >= m->end)
        return 0;
    len = len < m->most ? len : m->most;
    if (off <= m->fails_at && m->fails_at < off + len)
        return -EIO;
    len = len < m->end - off ? len : (size_t)(m->end - off);
    memcpy(dst, m->data + off, len);
    return (ssize_t)len;
}

static void memory_advise(struct tp_bytes *bytes, uint64_t off, uint64_t len, enum tp_advice advice)
{
    (void)bytes, (void)off, (void)len, (void)advice;
}

static void memory_close(struct tp_bytes *bytes)
{
    open_sources--;
    free(bytes);
}

static struct memory *make_memory(uint8_t number)
{
    static const struct tp_bytes_operations operations = {
        .read = memory_read, .advise = memory_advise, .close = memory_close};
    static char name[] = "memory";
    struct memory *m = calloc(1, sizeof *m);

    if (!m)
        bail_out("memory");
    m->source = (struct tp_bytes){.operations = &operations, .name = name, .size = LEN};
    m->source.identity.bytes[0] = number;
    memcpy(m->data, content, LEN);
    m->end = m->most = LEN;
    m->fails_at = UINT64_MAX;
    open_sources++;
    return m;
}

static void write_file(const char *name, const uint8_t *data, size_t len)
{
    char path[4096];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    f = fopen(path, "w");
    if (!f || fwrite(data, 1, len, f) != len || fclose(f) != 0)
        bail_out("cannot write '%s'", path);
}

static struct tp_bytes *open_file(const char *name, int *rc, struct tp_error *err)
{
    char path[4096];
    struct tp_bytes *bytes;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    *rc = tp_bytes_file_open(AT_FDCWD, path, path, 0, &bytes, err);
    return bytes;
}

static void test_file(void)
{
    struct tp_error err;
    uint8_t got[LEN];
    struct tp_owner owner;
    char path[4096];
    int rc;

    write_file("a", content, LEN);
    write_file("b", content, LEN);
    struct tp_bytes *a = open_file("a", &rc, &err), *again = open_file("a", &rc, &err),
                    *b = open_file("b", &rc, &err);
    if (!a || !again || !b)
        bail_out("%s", err.message);
    is_u64(a->size, LEN, "the size of a file");
    ok(tp_identity_equal(&a->identity, &again->identity), "opened twice it is one object");
    ok(!tp_identity_equal(&a->identity, &b->identity), "another file is another one");
    ok(tp_bytes_read(a, got, 100, 17, &err) == 0 && memcmp(got, content + 17, 100) == 0, "a range");
    ok(tp_bytes_read(a, got, 0, LEN, &err) == 0, "nothing at its end");
    is_int(tp_bytes_read(a, got, 2, LEN - 1, &err), -EBADMSG, "a range that passes its end");
    is_int(tp_bytes_read(a, got, 8, UINT64_MAX - 3, &err), -EBADMSG, "one that wraps around");
    is_int(tp_bytes_sync(a, &err), 0, "it is synced");
    ok(tp_bytes_owner(a, &owner, &err) == 0 && owner.uid == geteuid(), "it has an owner");
    tp_bytes_advise(a, 0, LEN, TP_ADVICE_WILL_NEED);
    tp_bytes_advise(a, 0, LEN, TP_ADVICE_DONE);
    ok(tp_bytes_read(a, got, LEN, 0, &err) == 0 && memcmp(got, content, LEN) == 0,
       "advice changes nothing");
    snprintf(path, sizeof path, "%s/a", dir);
    if (truncate(path, LEN / 2) < 0)
        bail_out("truncate");
    is_int(tp_bytes_read(a, got, LEN, 0, &err), -EBADMSG, "a file that was cut short");
    ok(strstr(err.message, "ends at byte 5000, 5000 bytes too soon") != NULL, "says where it ends");
    tp_bytes_close(a);
    tp_bytes_close(again);
    tp_bytes_close(b);
    open_file("none", &rc, &err);
    is_int(rc, -ENOENT, "a file that is not there");
    open_file(".", &rc, &err);
    is_int(rc, -EINVAL, "a directory is none");
    if (symlinkat(path, AT_FDCWD, "link") == 0) {
        is_int(tp_bytes_file_open(AT_FDCWD, "link", "link", O_NOFOLLOW, &a, &err), -ELOOP,
               "a link, where none is followed");
        unlink("link");
    }
}

static void test_lock(void)
{
    struct tp_error err;
    int rc, one, two;
    struct tp_bytes *b = open_file("b", &rc, &err);

    if (!b)
        bail_out("%s", err.message);
    is_int(tp_bytes_file_lock(b, false, &one, &err), 0, "a shared lock");
    is_int(tp_bytes_file_lock(b, false, &two, &err), 0, "and another one");
    close(two);
    is_int(tp_bytes_file_lock(b, true, &two, &err), -EWOULDBLOCK, "not one that is exclusive");
    is_int(two, -1, "and there is no descriptor");
    close(one);
    is_int(tp_bytes_file_lock(b, true, &two, &err), 0,
           "it is available once the first lock is released");
    close(two);
    write_file("c", content, LEN);
    if (renameat(AT_FDCWD, "c", AT_FDCWD, "b") < 0)
        bail_out("rename");
    is_int(tp_bytes_file_lock(b, false, &one, &err), -EBUSY, "another file has its name");
    unlink("b");
    is_int(tp_bytes_file_lock(b, false, &one, &err), -ENOENT, "none has");
    tp_bytes_close(b);
}

static void test_reads(void)
{
    struct memory *m = make_memory(1);
    struct tp_error err;
    uint8_t got[LEN] = {0};

    m->most = 7;
    ok(tp_bytes_read(&m->source, got, LEN, 0, &err) == 0 && memcmp(got, content, LEN) == 0,
       "short reads are put together");
    is_u64(m->reads, (LEN + 6) / 7, "one after the other");
    m->fails_at = 5000;
    is_int(tp_bytes_read(&m->source, got, LEN, 0, &err), -EIO, "one that fails in the middle");
    ok(strstr(err.message, "cannot read 'memory' at byte 4998: ") != NULL, "says where");
    is_int(tp_bytes_read_checked(&m->source, got, LEN, 0, tp_xxh3(content, LEN), &err), -EIO,
           "so does one that is checked");
    m->fails_at = UINT64_MAX;
    m->end = 6000;
    is_int(tp_bytes_read(&m->source, got, LEN, 0, &err), -EBADMSG, "one that ends");
    m->end = LEN;
    is_int(tp_bytes_read_checked(&m->source, got, 100, 50, tp_xxh3(content + 50, 100), &err), 0,
           "bytes with their checksum");
    m->data[60] ^= 1;
    is_int(tp_bytes_read_checked(&m->source, got, 100, 50, tp_xxh3(content + 50, 100), &err), 1,
           "bytes without it");
    is_int(tp_bytes_sync(&m->source, &err), 0, "nothing to sync");
    tp_bytes_close(&m->source);
}

struct found {
    struct memory *list[8];
    unsigned n, searches;
};

static void find(void *arg, struct tp_mirrors *mirrors)
{
    struct found *found = arg;

    found->searches++;
    for (unsigned i = 0; i < found->n; i++)
        tp_mirrors_add(mirrors, &found->list[i]->source);
    found->n = 0;
}

static int read_one(struct tp_bytes *bytes, uint64_t off)
{
    uint8_t got[100];
    struct tp_error err = {0};
    int rc = tp_bytes_read_checked(bytes, got, sizeof got, off, tp_xxh3(content + off, sizeof got),
                                   &err);

    return rc == 0 && memcmp(got, content + off, sizeof got) != 0 ? -EILSEQ : rc;
}

static void test_mirrors(void)
{
    struct memory *own = make_memory(1), *same = make_memory(1), *bad = make_memory(2),
                  *good = make_memory(3), *longer = make_memory(4);
    struct found found = {.list = {same, bad, good, longer}, .n = 4};
    struct tp_bytes *mirrored;
    struct tp_error err;
    uint8_t got[LEN];

    if (tp_mirrors_open(&own->source, find, &found, &mirrored, &err) < 0)
        bail_out("%s", err.message);
    ok(tp_bytes_read(mirrored, got, LEN, 0, &err) == 0 && memcmp(got, content, LEN) == 0,
       "a source with mirrors gives its own bytes");
    is_int(read_one(mirrored, 0), 0, "checked, too");
    is_u64(found.searches, 0, "and no mirror is looked for");
    own->data[150] ^= 1;
    bad->data[160] ^= 1;
    longer->source.size = LEN + 1;
    is_int(read_one(mirrored, 100), 0, "what is damaged comes from the mirror that is whole");
    is_u64(found.searches, 1, "which was looked for");
    is_u64(open_sources, 3, "the source itself, and one of another size, are no mirrors");
    is_int(read_one(&own->source, 100), 1, "the source alone is as it was");
    own->fails_at = 320;
    is_int(read_one(mirrored, 300), 0, "what cannot be read comes from a mirror");
    own->data[550] ^= 1;
    bad->fails_at = good->fails_at = 520;
    is_int(read_one(mirrored, 500), 1, "where all fail it is damaged");
    own->fails_at = 520;
    is_int(read_one(mirrored, 500), -EIO, "or cannot be read");
    is_u64(found.searches, 1, "and is not searched for again at once");
    tp_bytes_close(mirrored);
    is_u64(open_sources, 1, "closing it closes the mirrors only");
    for (unsigned i = 0; i < 6; i++)
        found.list[found.n++] = make_memory((uint8_t)(10 + i));
    own->data[150] ^= 1;
    own->data[151] ^= 1;
    if (tp_mirrors_open(&own->source, find, &found, &mirrored, &err) < 0)
        bail_out("%s", err.message);
    is_int(read_one(mirrored, 100), 0, "many mirrors");
    is_u64(open_sources, 5, "four of them are kept");
    tp_bytes_close(mirrored);
    tp_bytes_close(&own->source);
    is_u64(open_sources, 0, "all are closed");
}

int main(void)
{
    uint64_t state = tap_seed();

    for (unsigned i = 0; i < LEN; i++)
        content[i] = (uint8_t)tap_random(&state);
    dir = tap_tmpdir();
    if (chdir(dir) < 0)
        bail_out("no directory");
    test_file();
    test_lock();
    test_reads();
    test_mirrors();
    unlink("a");
    if (chdir("/") < 0 || rmdir(dir) < 0)
        diag("'%s' stays", dir);
    return tap_done();
}
