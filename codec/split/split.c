/* SPDX-License-Identifier: MIT */
/*
 * The codec for weights without a base. Each byte plane is coded separately, with the tables of the
 * tensor, or in another way if that makes the chunk smaller. doc/codecs.md specifies the layout.
 */
#include <config.h>

#include "codec/split/tables.h"

#include "base/isa.h"
#include "codec/split/split.h"
#include "codec/scratch_impl.h"
#include "base/le.h"

#include <errno.h>
#include <string.h>

/*
 * A plane that is raw by the tables is examined again if a sample of it takes fewer bits per symbol
 * than this.
 */
#define RAW_BITS 7u
/* The sample is one block of this many. */
#define SAMPLE_STEP 16u
#define SAMPLE_BLOCK 64u
#define OWN_TABLE_BYTES 48u /* bytes of a chunk's own table, about */

static bool fits_dtype(enum tp_dtype dtype)
{
    return tp_dtype_bits(dtype) != 0;
}

/* The scratch block has the planes one after the other, each with its slack. */
static size_t plane_stride(size_t n)
{
    return (n + TP_SLACK + 63) & ~(size_t)63;
}

static size_t head_bytes(unsigned planes)
{
    return planes > 4 ? 2 : 1;
}

/* Encoding. */

struct output {
    uint8_t *p;
    uint8_t *end;
    uint8_t *work_end; /* streams are written below it */
};

static bool put_bytes(struct output *out, const void *data, size_t len)
{
    if (len > (size_t)(out->end - out->p))
        return false;
    memcpy(out->p, data, len);
    out->p += len;
    return true;
}

static bool put_number(struct output *out, size_t v)
{
    uint8_t bytes[8];
    size_t n = 0;

    for (; v >= 0x80; v >>= 7)
        bytes[n++] = (uint8_t)(v | 0x80);
    bytes[n++] = (uint8_t)v;
    return put_bytes(out, bytes, n);
}

static bool put_length(struct output *out, size_t len)
{
    uint8_t bytes[3] = {(uint8_t)len, (uint8_t)(len >> 8), (uint8_t)(len >> 16)};

    return put_bytes(out, bytes, sizeof bytes);
}

/* Whether a sample of a plane shows that coding it may pay. */
static bool worth_counting(const uint8_t *plane, size_t n)
{
    uint32_t hist[256] = {0}, seen = 0;

    if (n < SAMPLE_STEP * SAMPLE_BLOCK)
        return true;
    for (size_t at = 0; at + SAMPLE_BLOCK <= n; at += SAMPLE_STEP * SAMPLE_BLOCK) {
        for (unsigned i = 0; i < SAMPLE_BLOCK; i++)
            hist[plane[at + i]]++;
        seen += SAMPLE_BLOCK;
    }
    return tp_split_entropy(hist, seen) < (uint64_t)seen * RAW_BITS;
}

/*
 * Choose the kind that makes this plane of the chunk smallest. *BYTES: about its size. HIST is
 * filled if counts decide.
 */
static enum split_kind choose_kind(const struct split_plane *trained, const uint8_t *plane,
                                   size_t n, uint32_t *hist, size_t *bytes)
{
    size_t own, table = SIZE_MAX, overhead;
    uint64_t bits = 0;

    if (!memcmp(plane, plane + 1, n - 1))
        return SPLIT_CONST;
    if (trained->kind == SPLIT_RAW && !worth_counting(plane, n))
        return SPLIT_RAW;
    tp_split_count(plane, n, hist);
    own = (size_t)(tp_split_entropy(hist, (uint32_t)n) / 8);
    overhead = 4 + 1 + ((size_t)3 << tp_rans_lanes_log(n, own));
    if (trained->kind == SPLIT_RANS) {
        for (unsigned s = 0; s < 256; s++)
            bits += (uint64_t)hist[s] * trained->cost[s];
        table = (size_t)(bits >> 11) + overhead;
    }
    own += own / 64 + OWN_TABLE_BYTES +
           overhead; /* and the time that expanding a table takes, as bytes */
    *bytes = own < table ? own : table;
    if (*bytes >= n - n / 64)
        return SPLIT_RAW;
    return own < table ? SPLIT_OWN : SPLIT_RANS;
}

/* Replace symbols that the table lacks, and record their positions. */
static bool put_patches(struct output *out, const struct split_plane *trained, uint8_t *plane,
                        const uint32_t *hist)
{
    size_t patches = 0, next = 0;

    for (unsigned s = 0; s < 256; s++)
        patches += trained->freq[s] ? 0 : hist[s];
    if (!put_number(out, patches))
        return false;
    for (size_t i = 0; patches; i++) {
        if (trained->freq[plane[i]])
            continue;
        if (!put_number(out, i - next) || !put_bytes(out, &plane[i], 1))
            return false;
        plane[i] = trained->filler;
        next = i + 1;
        patches--;
    }
    return true;
}

static bool put_stream(struct output *out, const struct tp_rans_enc *enc, const uint8_t *plane,
                       size_t n, size_t bytes, uint8_t *length_at)
{
    uint8_t *stream =
        tp_rans_encode(enc, plane, NULL, n, tp_rans_lanes_log(n, bytes), NULL, out->work_end);
    size_t len = (size_t)(out->work_end - stream);

    length_at[0] = (uint8_t)len;
    length_at[1] = (uint8_t)(len >> 8);
    length_at[2] = (uint8_t)(len >> 16);
    return put_bytes(out, stream, len);
}

static bool put_own(struct output *out, const uint8_t *plane, size_t n, const uint32_t *hist,
                    size_t bytes)
{
    uint8_t *length_at = out->p;
    struct tp_buffer table = {0};
    struct tp_rans_enc enc;
    uint16_t freq[256];
    bool good;

    tp_rans_normalize(hist, TP_RANS_NO_ESCAPE, freq);
    good = !tp_rans_freq_write(&table, freq, TP_RANS_NO_ESCAPE) && put_length(out, 0) &&
           put_bytes(out, table.data, table.len);
    tp_buffer_clear(&table);
    if (!good)
        return false;
    tp_rans_enc_init(&enc, freq);
    return put_stream(out, &enc, plane, n, bytes, length_at);
}

/* Write one plane. *KIND: how it is coded. */
static bool put_plane(struct output *out, const struct split_plane *trained, uint8_t *plane,
                      size_t n, enum split_kind *kind)
{
    uint8_t *length_at = out->p;
    uint32_t hist[256];
    size_t bytes = 0;

    *kind = choose_kind(trained, plane, n, hist, &bytes);
    switch (*kind) {
    case SPLIT_CONST:
        return put_bytes(out, plane, 1);
    case SPLIT_RANS:
        return put_length(out, 0) && put_patches(out, trained, plane, hist) &&
               put_stream(out, &trained->enc, plane, n, bytes, length_at);
    case SPLIT_OWN:
        return put_own(out, plane, n, hist, bytes);
    default:
        return put_bytes(out, plane, n);
    }
}

static size_t encode(const struct tp_tables *tables, enum tp_dtype dtype, const void *src,
                     const void *base, size_t len, void *dst, size_t cap,
                     struct tp_scratch *scratch)
{
    unsigned planes = tables->shape.width, kinds = 0;
    size_t n = len / planes, head = head_bytes(planes);
    uint8_t *plane[SPLIT_PLANES_MAX] = {NULL}, *begin = dst;
    struct output out = {begin + head, begin + cap, scratch->block + TP_SCRATCH_SIZE};

    (void)dtype, (void)base;
    if (cap <= head)
        return 0;
    for (unsigned k = 0; k < planes; k++)
        plane[k] = scratch->block + k * plane_stride(n);
    tp_split_kernels.cut[tp_isa_get()](plane, src, n, tables->shape);
    for (unsigned k = planes; n && k-- > 0;) {
        enum split_kind kind;

        if (!put_plane(&out, &tables->plane[k], plane[k], n, &kind))
            return 0;
        kinds |= (unsigned)kind << 2 * k;
    }
    if ((size_t)(out.p - begin) >= cap)
        return 0;
    begin[0] = (uint8_t)kinds;
    if (head > 1)
        begin[1] = (uint8_t)(kinds >> 8);
    return (size_t)(out.p - begin);
}

/* Decoding. */

struct input {
    const uint8_t *p;
    const uint8_t *end;
};

static bool get_bytes(struct input *in, size_t len, const uint8_t **out)
{
    if (len > (size_t)(in->end - in->p))
        return false;
    *out = in->p;
    in->p += len;
    return true;
}

static bool get_number(struct input *in, size_t *out)
{
    size_t v = 0;

    for (unsigned shift = 0; in->p != in->end && shift <= 14; shift += 7) {
        uint8_t byte = *in->p++;

        v |= (size_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *out = v;
            return true;
        }
    }
    return false;
}

/* Patches are checked here and applied when the plane is decoded. */
static bool get_patches(struct input *in, size_t n, size_t *count, struct input *patches)
{
    size_t next = 0, gap;

    if (!get_number(in, count) || *count > n)
        return false;
    patches->p = in->p;
    for (size_t i = 0; i < *count; i++) {
        const uint8_t *symbol;

        if (!get_number(in, &gap) || gap >= n - next || !get_bytes(in, 1, &symbol))
            return false;
        next += gap + 1;
    }
    patches->end = in->p;
    return true;
}

static void apply_patches(struct input patches, size_t count, uint8_t *plane)
{
    size_t gap = 0;

    while (count-- && get_number(&patches, &gap)) {
        plane += gap;
        *plane++ = *patches.p++;
    }
}

/*
 * A plane without patches is decoded piece by piece while the elements are joined. So it never
 * leaves the nearest cache, and the stores of one piece complete while the next is decoded.
 */
#define PIECE 2048u
struct later {
    const struct tp_rans_dec *dec; /* NULL: the plane is decoded already */
    struct tp_rans_reader reader;
};

static int get_coded(struct input *in, const struct split_plane *trained, bool own, uint8_t *plane,
                     size_t n, struct later *later)
{
    const struct tp_rans_dec *dec = &trained->dec;
    struct input patches = {NULL, NULL};
    const uint8_t *length, *stream;
    struct tp_rans_dec own_dec;
    size_t len, count = 0;
    int rc;

    if (!get_bytes(in, 3, &length))
        return -EBADMSG;
    len = (size_t)length[0] | (size_t)length[1] << 8 | (size_t)length[2] << 16;
    if (own) {
        uint16_t freq[256];
        int used = tp_rans_freq_read(in->p, (size_t)(in->end - in->p), TP_RANS_NO_ESCAPE, freq);

        if (used < 0)
            return used;
        in->p += used;
        tp_rans_dec_init(&own_dec, freq);
        dec = &own_dec;
    } else if (trained->kind != SPLIT_RANS || !get_patches(in, n, &count, &patches)) {
        return -EBADMSG;
    }
    if (!get_bytes(in, len, &stream))
        return -EBADMSG;
    if (!own && !count) {
        later->dec = dec;
        return tp_rans_reader_init(&later->reader, stream, len);
    }
    rc = tp_rans_decode(dec, stream, len, plane, n);
    if (!rc)
        apply_patches(patches, count, plane);
    return rc;
}

/* *PLANE is SPACE, or the place of a raw plane in the input. */
static int get_plane(struct input *in, const struct split_plane *trained, enum split_kind kind,
                     uint8_t *space, size_t n, const uint8_t **plane, struct later *later)
{
    const uint8_t *byte;

    *plane = space;
    switch (kind) {
    case SPLIT_CONST:
        if (!get_bytes(in, 1, &byte))
            return -EBADMSG;
        memset(space, *byte, n);
        return 0;
    case SPLIT_RAW:
        return get_bytes(in, n, plane) ? 0 : -EBADMSG;
    default:
        return get_coded(in, trained, kind == SPLIT_OWN, space, n, later);
    }
}

/*
 * Join elements with the kernel that decodes symbols and joins them with the other plane in one
 * step. Returns their number.
 */
static size_t join_planes(uint8_t *dst, const uint8_t *const plane[], struct later *later, size_t n,
                          struct split_shape shape)
{
    tp_split_join_fn *kernel = tp_split_kernels.join[tp_isa_get()];

    if (!kernel || shape.width != 2 || later[0].dec || !later[1].dec)
        return 0;
    return kernel(&later[1].reader, later[1].dec, plane[0], dst, n, shape.rotate);
}

/* Join the elements; SPACE is that of the first plane. */
static int merge_planes(uint8_t *dst, const uint8_t *const plane[], struct later *later,
                        uint8_t *space, size_t n, struct split_shape shape)
{
    size_t step;

    for (size_t at = join_planes(dst, plane, later, n, shape); at < n; at += step) {
        const uint8_t *piece[SPLIT_PLANES_MAX];

        step = n - at < PIECE ? n - at : PIECE;
        for (unsigned k = 0; k < shape.width; k++) {
            uint8_t *symbols = space + k * plane_stride(n);

            piece[k] = later[k].dec ? symbols : plane[k] + at;
            if (later[k].dec)
                tp_rans_read(&later[k].reader, later[k].dec, symbols, step);
        }
        tp_split_kernels.merge[tp_isa_get()](dst + at * shape.width, piece, step, shape);
    }
    for (unsigned k = 0; k < shape.width; k++)
        if (later[k].dec && tp_rans_reader_finish(&later[k].reader, NULL))
            return -EBADMSG;
    return 0;
}

static int decode(const struct tp_tables *tables, enum tp_dtype dtype, const void *src,
                  size_t src_len, const void *base, void *dst, size_t len,
                  struct tp_scratch *scratch)
{
    struct split_shape shape = tables->shape;
    size_t n = len / shape.width, head = head_bytes(shape.width);
    const uint8_t *kinds, *plane[SPLIT_PLANES_MAX] = {NULL};
    struct input in = {src, (const uint8_t *)src + src_len};
    struct later later[SPLIT_PLANES_MAX];

    (void)dtype, (void)base;
    if (!get_bytes(&in, head, &kinds))
        return -EBADMSG;
    for (unsigned k = shape.width; n && k-- > 0;) {
        enum split_kind kind = (enum split_kind)(kinds[k / 4] >> k % 4 * 2 & 3);
        int rc;

        later[k].dec = NULL;
        rc = get_plane(&in, &tables->plane[k], kind, scratch->block + k * plane_stride(n), n,
                       &plane[k], &later[k]);

        if (rc)
            return rc;
    }
    if (in.p != in.end)
        return -EBADMSG;
    return n ? merge_planes(dst, plane, later, scratch->block, n, shape) : 0;
}

const struct tp_codec tp_codec_split = {
    .id = TP_CODEC_SPLIT,
    .name = "split",
    .needs_base = false,
    .needs_tables = true,
    .tables_bytes = sizeof(struct tp_tables) + SPLIT_PLANES_MAX * sizeof(struct split_plane),
    .fits = fits_dtype,
    .stats_create = tp_split_stats_create,
    .stats_add = tp_split_stats_add,
    .stats_finish = tp_split_stats_finish,
    .stats_destroy = tp_split_stats_destroy,
    .tables_create = tp_split_tables_create,
    .tables_destroy = tp_split_tables_destroy,
    .encode = encode,
    .decode = decode,
};
