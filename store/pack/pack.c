/* SPDX-License-Identifier: MIT */
/* Opening a pack: its footer, its index, its base. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/cleanup.h"
#include "base/memory.h"
#include "base/progress.h"
#include "store/pack/bytes_file.h"
#include "store/pack/copies.h"
#include "store/pack/layout.h"
#include "store/pack/pack_internal.h"
#include "store/pack/window.h"

struct tp_pack {
    atomic_uint refs;
    uint64_t serial;
    struct tp_bytes *bytes;    /* its own source */
    struct tp_bytes *mirrored; /* the same, with copies as mirrors */
    struct tp_footer footer;
    struct tp_index index;
    struct tp_pack *base;
    unsigned depth;
    uint64_t effort; /* greatest effort of a chunk */
    uint8_t content_id[TP_SHA256_LEN];
    char base_error[TP_ERROR_MAX];
};

static atomic_ullong next_serial = 1;

struct tp_base_chain {
    const struct tp_base_chain *above; /* the pack that waits for this one */
    const struct tp_pack *pack;
    unsigned n;      /* number of packs in the chain */
    unsigned *tried; /* number of packs opened for the first one */
};

/* Limits the work in a directory of many packs with one content that all need a base. */
enum { TRIED_MAX = 64 };

/* A file without a footer: report whether it was ever a pack. */
static int read_footer(struct tp_bytes *bytes, struct tp_footer *footer, struct tp_error *err)
{
    uint8_t raw[TP_PACK_FOOTER_LEN], head[TP_PACK_HEADER_LEN];
    int rc;

    if (bytes->size < TP_PACK_HEADER_LEN + TP_PACK_FOOTER_LEN)
        return tp_fail(err, EBADMSG,
                       "'%s' is not a pack, or is cut short: it has %" PRIu64 " bytes", bytes->name,
                       bytes->size);
    rc = tp_bytes_read(bytes, raw, sizeof raw, bytes->size - sizeof raw, err);
    if (rc < 0)
        return rc;
    if (memcmp(raw, TP_PACK_MAGIC, TP_PACK_MAGIC_LEN) == 0)
        return tp_footer_decode(raw, bytes->size, bytes->name, footer, err);
    rc = tp_bytes_read(bytes, head, sizeof head, 0, err);
    if (rc < 0)
        return rc;
    return memcmp(head, TP_PACK_MAGIC, TP_PACK_MAGIC_LEN) == 0
               ? tp_fail(err, EBADMSG,
                         "'%s' is damaged: it is cut short, or its footer is overwritten",
                         bytes->name)
               : tp_fail(err, EBADMSG, "'%s' is not a pack", bytes->name);
}

static int decompress_index(struct tp_pack *pack, uint8_t *stored, uint8_t *decoded,
                            struct tp_error *err)
{
    const struct tp_footer *f = &pack->footer;
    size_t n = ZSTD_decompress(decoded, f->index_len, stored, f->index_stored);

    if (ZSTD_isError(n) || n != f->index_len)
        return tp_fail(err, EBADMSG,
                       "'%s' is damaged: its index at offset %" PRIu64 " does not expand",
                       pack->bytes->name, f->index_off);
    return 0;
}

static int read_index(struct tp_pack *pack, struct tp_error *err)
{
    const struct tp_footer *f = &pack->footer;
    uint8_t id[TP_SHA256_LEN], *stored = NULL, *decoded;
    /* The decoded records take about twice as much. */
    int rc = tp_memory_check(f->index_stored + 3 * f->index_len);

    if (rc == 0)
        stored = malloc(f->index_stored + 1);
    if (!stored)
        return tp_oom(err);
    decoded = stored;
    rc = tp_bytes_read(pack->bytes, stored, f->index_stored, f->index_off, err);
    if (rc == 0 && tp_xxh3(stored, f->index_stored) != f->index_hash)
        rc = tp_fail(err, EBADMSG,
                     "'%s' is damaged: its index (%" PRIu64 " bytes at offset %" PRIu64
                     ") does not match its checksum",
                     pack->bytes->name, f->index_stored, f->index_off);
    if (rc == 0 && f->coding == TP_INDEX_ZSTD) {
        decoded = malloc(f->index_len + 1);
        rc = decoded ? decompress_index(pack, stored, decoded, err) : tp_oom(err);
    }
    if (rc == 0)
        rc = tp_cancel_check(err);
    if (rc == 0)
        rc = tp_sha256(decoded, f->index_len, id);
    if (rc == 0 && memcmp(id, f->id, sizeof id) != 0)
        rc = tp_fail(err, EBADMSG, "'%s' is damaged: its index does not match its id",
                     pack->bytes->name);
    if (rc == 0) {
        rc = tp_index_decode(f->version, decoded, f->index_len, f->index_off - TP_PACK_HEADER_LEN,
                             &pack->index, err);
        if (rc < 0)
            tp_error_prefix(err, "'%s'", pack->bytes->name);
        else
            tp_index_fill_links(&pack->index);
    }
    if (decoded != stored)
        free(decoded);
    free(stored);
    return rc;
}

/* Read footer and index, and check that they agree. */
static int read_all(struct tp_pack *pack, struct tp_error *err)
{
    static const uint8_t none[TP_SHA256_LEN];
    const char *path = pack->bytes->name;
    int rc = read_footer(pack->bytes, &pack->footer, err);

    /* Chunks are stored in the order of reading, and several threads wait for them at once. */
    tp_bytes_advise(pack->bytes, 0, pack->bytes->size, TP_ADVICE_SEQUENTIAL);
    if (rc == 0)
        rc = read_index(pack, err);
    if (rc == 0 &&
        (memcmp(pack->footer.base_id, pack->index.base_id, TP_SHA256_LEN) != 0 ||
         pack->index.has_base != (memcmp(pack->index.base_id, none, TP_SHA256_LEN) != 0)))
        rc = tp_fail(err, EBADMSG, "'%s': its footer and its index name different bases", path);
    if (rc == 0 && pack->index.lossy != !!(pack->footer.features & TP_PACK_FEATURE_LOSSY))
        rc = tp_fail(err, EBADMSG, "'%s': its footer and its index differ about what it has lost",
                     path);
    if (rc == 0)
        rc = tp_cancel_check(err);
    if (rc == 0)
        rc = tp_index_content_id(&pack->index, pack->content_id, err);
    if (rc == 0 && pack->footer.version > 1 &&
        memcmp(pack->footer.content, pack->content_id, TP_CONTENT_PREFIX_LEN) != 0)
        rc = tp_fail(err, EBADMSG, "'%s': its footer and its index name different contents", path);
    if (rc == 0)
        rc = tp_effort_check(&pack->index, NULL, path, &pack->effort, err);
    return rc;
}

/* Open a pack without its base. Takes ownership of BYTES. */
static int open_alone(struct tp_bytes *bytes, struct tp_pack **out, struct tp_error *err)
{
    struct tp_pack *pack = calloc(1, sizeof *pack);
    int rc;

    *out = NULL;
    if (!pack) {
        rc = tp_oom(err);
        tp_bytes_close(bytes);
        return rc;
    }
    atomic_init(&pack->refs, 1);
    pack->serial = atomic_fetch_add(&next_serial, 1);
    pack->bytes = bytes;
    rc = tp_mirrors_open(bytes, tp_copies_find, pack, &pack->mirrored, err);
    if (rc == 0)
        rc = read_all(pack, err);
    if (rc < 0) {
        tp_pack_close(pack);
        return rc;
    }
    *out = pack;
    return 0;
}

static int open_path(const char *path, struct tp_pack **out, struct tp_error *err)
{
    struct tp_bytes *bytes;
    int rc = tp_bytes_file_open(AT_FDCWD, path, path, 0, &bytes, err);

    *out = NULL;
    return rc < 0 ? rc : open_alone(bytes, out, err);
}

/* Set BASE as PACK's base. On success PACK owns the reference. */
static int set_base(struct tp_pack *pack, struct tp_pack *base, struct tp_error *err)
{
    int rc = base->depth >= TP_BASE_DEPTH_MAX
                 ? tp_fail(err, ELOOP, "a chain of more than %d bases", TP_BASE_DEPTH_MAX)
                 : tp_pack_resolve(&pack->index, &base->index, pack->bytes->name, err);

    if (rc == 0)
        rc = tp_effort_check(&pack->index, base, pack->bytes->name, &pack->effort, err);
    if (rc < 0)
        return rc;
    pack->base = base;
    pack->depth = base->depth + 1;
    snprintf(pack->base_error, sizeof pack->base_error, "%s", base->base_error);
    return 0;
}

/*
 * A base with the right content is suitable if it has everything that PACK refers to, and does not
 * exceed the limit of effort.
 */
static bool is_suitable_base(void *arg, struct tp_pack *base)
{
    struct tp_pack *pack = arg;

    return base->depth < TP_BASE_DEPTH_MAX &&
           tp_pack_resolve(&pack->index, &base->index, pack->bytes->name, NULL) == 0 &&
           tp_effort_check(&pack->index, base, pack->bytes->name, &pack->effort, NULL) == 0;
}

/* FINDER may be NULL. */
static int find_base(struct tp_pack *pack, const struct tp_base_finder *finder,
                     const struct tp_base_chain *chain, struct tp_error *err)
{
    struct tp_base_query query = {.path = pack->bytes->name,
                                  .id = pack->index.base_id,
                                  .content =
                                      pack->index.version > 1 ? pack->index.base_content_id : NULL,
                                  .suits = is_suitable_base,
                                  .arg = pack,
                                  .chain = chain};
    struct tp_error why = {0};
    struct tp_pack *base = NULL;
    char id[TP_SHA256_HEX];
    int rc;

    if (chain->n > TP_BASE_DEPTH_MAX)
        rc = tp_fail(&why, ELOOP, "a chain of more than %d bases", TP_BASE_DEPTH_MAX);
    else
        rc = finder ? finder->find(finder->arg, &query, &base, &why)
                    : tp_fail(&why, ENOLINK, "no place to look for it");
    if (rc == 0) {
        rc = set_base(pack, base, &why);
        if (rc < 0)
            tp_pack_close(base);
        if (rc == -EBADMSG)
            return tp_fail(err, EBADMSG, "%s", why.message);
    }
    if (rc == 0)
        return 0;
    if (rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE)
        return tp_fail(err, -rc, "%s", why.message);
    tp_hex(pack->index.base_id, TP_SHA256_LEN, id);
    snprintf(pack->base_error, sizeof pack->base_error,
             "the base '%.255s' (id %.16s) is not there: %.600s", pack->index.base_name, id,
             why.message);
    return 0;
}

/* Whether PACK is being opened to find the base of itself. */
static bool is_in_chain(const struct tp_base_chain *chain, const struct tp_pack *pack)
{
    for (; chain; chain = chain->above)
        if (memcmp(chain->pack->footer.id, pack->footer.id, TP_SHA256_LEN) == 0)
            return true;
    return false;
}

int tp_pack_open(const char *path, const struct tp_base_finder *finder, struct tp_pack **out,
                 struct tp_error *err)
{
    return tp_pack_open_at(AT_FDCWD, path, path, finder, out, err);
}

int tp_pack_open_at(int dirfd, const char *name, const char *path,
                    const struct tp_base_finder *finder, struct tp_pack **out, struct tp_error *err)
{
    const struct tp_base_chain *above = finder ? finder->chain : NULL;
    unsigned tried = 0;
    struct tp_base_chain chain = {
        .above = above, .n = above ? above->n + 1 : 1, .tried = above ? above->tried : &tried};
    struct tp_bytes *bytes;
    int rc;

    *out = NULL;
    if (above && ++*above->tried > TRIED_MAX)
        return tp_fail(err, ELOOP, "more than %d packs for one base", TRIED_MAX);
    rc = tp_bytes_file_open(dirfd, name, path, 0, &bytes, err);
    if (rc == 0)
        rc = open_alone(bytes, out, err);
    if (rc < 0 || !(*out)->index.has_base)
        return rc;
    chain.pack = *out;
    rc = is_in_chain(above, *out) ? tp_fail(err, ELOOP, "'%s' stands on itself", path)
                                  : find_base(*out, finder, &chain, err);
    if (rc < 0) {
        tp_pack_close(*out);
        *out = NULL;
    }
    return rc;
}

int tp_pack_open_with(const char *path, struct tp_pack *base, struct tp_pack **out,
                      struct tp_error *err)
{
    int rc = open_path(path, out, err);

    if (rc < 0)
        return rc;
    if ((*out)->index.has_base != (base != NULL) ||
        (base && memcmp(base->footer.id, (*out)->index.base_id, TP_SHA256_LEN) != 0))
        rc = tp_fail(err, EBADMSG, "'%s' names another base", path);
    else if (base)
        rc = set_base(*out, base, err);
    if (rc == 0 && base)
        tp_pack_ref(base);
    if (rc < 0) {
        tp_pack_close(*out);
        *out = NULL;
    }
    return rc;
}

struct tp_pack *tp_pack_ref(struct tp_pack *pack)
{
    atomic_fetch_add(&pack->refs, 1);
    return pack;
}

void tp_pack_close(struct tp_pack *pack)
{
    if (!pack || atomic_fetch_sub(&pack->refs, 1) != 1)
        return;
    tp_tables_forget(pack->serial);
    tp_pack_close(pack->base);
    tp_index_clear(&pack->index);
    tp_bytes_close(pack->mirrored);
    tp_bytes_close(pack->bytes);
    free(pack);
}

int tp_pack_identify_bytes(struct tp_bytes *bytes, struct tp_pack_id *out, struct tp_error *err)
{
    static const uint8_t none[TP_SHA256_LEN];
    struct tp_footer footer;
    int rc = read_footer(bytes, &footer, err);

    if (rc < 0)
        return rc;
    memcpy(out->id, footer.id, TP_SHA256_LEN);
    memcpy(out->base_id, footer.base_id, TP_SHA256_LEN);
    out->version = footer.version;
    memcpy(out->content, footer.content, sizeof out->content);
    out->has_base = memcmp(footer.base_id, none, TP_SHA256_LEN) != 0;
    out->pack_bytes = bytes->size;
    out->lossy = footer.features & TP_PACK_FEATURE_LOSSY;
    return 0;
}

int tp_pack_identify(const char *path, struct tp_pack_id *out, struct tp_error *err)
{
    struct tp_bytes *bytes;
    int rc = tp_bytes_file_open(AT_FDCWD, path, path, 0, &bytes, err);

    if (rc == 0)
        rc = tp_pack_identify_bytes(bytes, out, err);
    tp_bytes_close(bytes);
    return rc;
}

int tp_pack_read_contents(const char *path, struct tp_pack_contents *out, struct tp_error *err)
{
    tp_autopack struct tp_pack *pack = NULL;
    int rc = open_path(path, &pack, err);

    if (rc < 0)
        return rc;
    memcpy(out->own, pack->content_id, TP_SHA256_LEN);
    memcpy(out->base, pack->index.base_content_id, TP_SHA256_LEN);
    return 0;
}

const struct tp_index *tp_pack_index(const struct tp_pack *pack)
{
    return &pack->index;
}

const char *tp_pack_path(const struct tp_pack *pack)
{
    return pack->bytes->name;
}

const uint8_t *tp_pack_get_id(const struct tp_pack *pack)
{
    return pack->footer.id;
}

uint64_t tp_pack_stored_bytes(const struct tp_pack *pack)
{
    return pack->bytes->size;
}

struct tp_pack *tp_pack_base(const struct tp_pack *pack)
{
    return pack->base;
}

const char *tp_pack_base_error(const struct tp_pack *pack)
{
    return pack->base_error;
}

bool tp_pack_is_shared(const struct tp_pack *pack)
{
    return atomic_load(&pack->refs) > 1;
}

uint64_t tp_pack_serial(const struct tp_pack *pack)
{
    return pack->serial;
}

struct tp_bytes *tp_pack_bytes(const struct tp_pack *pack)
{
    return pack->bytes;
}

struct tp_bytes *tp_pack_mirrored(const struct tp_pack *pack)
{
    return pack->mirrored;
}

const uint8_t *tp_pack_content_id(const struct tp_pack *pack)
{
    return pack->content_id;
}

unsigned tp_pack_version(const struct tp_pack *pack)
{
    return pack->index.version;
}

uint64_t tp_pack_effort(const struct tp_pack *pack)
{
    return pack->effort;
}

unsigned tp_pack_depth(const struct tp_pack *pack)
{
    return pack->depth;
}
