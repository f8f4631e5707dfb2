/* SPDX-License-Identifier: MIT */
/*
 * The codec for chunks with few changes: codes the gap to each changed element and the size of the
 * change. One range variant of asymmetric numeral systems with a 64-bit state holds tokens and
 * plain bits alike. The state begins at zero and is written in as few bytes as it has, so that a
 * chunk costs its information and nothing more.
 *
 * A coded chunk: the number of changes (seven bits per byte, the last without the top bit), the
 * state, then 32-bit words in the order in which the decoder reads them. If R bytes follow the
 * number, the state has R bytes if R < 5, otherwise 5 to 8, so that whole words remain.
 */
#include <config.h>

#include "codec/sparse/tables.h"

#include "codec/sparse/sparse.h"
#include "codec/scratch_impl.h"

#include <errno.h>
#include <string.h>

#define STATE_LOW (UINT64_C(1) << 31) /* words remain: the state is at least this */
#define STATE_BITS 63
#define PIECE_BITS 24u /* plain bits are coded in pieces of at most this many */
/*
 * Words that one change can emit: two escapes and tokens, 16 + 61 plain bits, over 32, rounded up.
 */
#define WORDS_PER_CHANGE 6
/* From so many changes on, one in so many is sampled first, to decide whether to go on. */
#define GUESS_CHANGES 4096u
#define GUESS_STEP 8u

static bool fits_dtype(enum tp_dtype dtype)
{
    return tp_dtype_bits(dtype) != 0;
}

/* Encoding: last change first, words downwards. */

struct writer {
    uint64_t state;
    uint8_t *word; /* the last one written */
};

TP_INLINE void push_word(struct writer *w)
{
    w->word -= 4;
    tp_put_le32(w->word, (uint32_t)w->state);
    w->state >>= 32;
}

TP_INLINE void put_symbol(struct writer *w, const struct sparse_alphabet *a, unsigned symbol)
{
    uint64_t freq = a->freq[symbol];

    if (w->state >> (STATE_BITS - SPARSE_SCALE_BITS) >= freq)
        push_word(w);
    w->state = (w->state / freq << SPARSE_SCALE_BITS) + a->start[symbol] + w->state % freq;
}

TP_INLINE void put_bits(struct writer *w, uint64_t v, unsigned n)
{
    while (n) {
        unsigned piece = n % PIECE_BITS ? n % PIECE_BITS : PIECE_BITS;

        n -= piece;
        if (w->state >> (STATE_BITS - piece))
            push_word(w);
        w->state = w->state << piece | (v >> n & ((UINT64_C(1) << piece) - 1));
    }
}

TP_INLINE void put_number(struct writer *w, const struct sparse_alphabet *a, unsigned escape,
                          unsigned escape_bits, uint64_t v)
{
    struct token t = token_of(v);

    put_bits(w, v & ((UINT64_C(1) << t.extra) - 1), t.extra);
    if (a->freq[t.symbol]) {
        put_symbol(w, a, t.symbol);
    } else {
        put_bits(w, t.symbol, escape_bits);
        put_symbol(w, a, escape);
    }
}

static size_t put_count(uint8_t *dst, size_t n)
{
    size_t len = 0;

    for (; n >= 0x80; n >>= 7)
        dst[len++] = (uint8_t)(n | 0x80);
    dst[len++] = (uint8_t)n;
    return len;
}

/* The number of bytes of the state: at least 5 if words follow. */
static size_t state_bytes(uint64_t state, bool words)
{
    size_t n = state ? (71 - (size_t)__builtin_clzll(state)) / 8 : 0;

    return words && n < 5 ? 5 : n;
}

TP_INLINE bool write_changes(struct writer *w, const struct tp_tables *tables, const uint8_t *src,
                             const uint8_t *base, const uint32_t *position, size_t n,
                             struct sparse_shape shape, const uint8_t *floor)
{
    while (n--) {
        size_t at = (size_t)position[n] * shape.width;
        uint64_t change = change_number(element_get(src + at, shape.width),
                                        element_get(base + at, shape.width), shape);

        if (w->word - floor < 4 * WORDS_PER_CHANGE)
            return false;
        put_number(w, &tables->value, VALUE_ESCAPE, 8, change);
        put_number(w, &tables->gap, GAP_ESCAPE, 7,
                   n ? position[n] - position[n - 1] - 1 : position[0]);
    }
    return true;
}

static bool write_any(struct writer *w, const struct tp_tables *tables, const uint8_t *src,
                      const uint8_t *base, const uint32_t *position, size_t n,
                      struct sparse_shape shape, const uint8_t *floor)
{
    switch (shape.width) {
    case 1:
        shape.width = 1;
        return write_changes(w, tables, src, base, position, n, shape, floor);
    case 2:
        shape.width = 2;
        return write_changes(w, tables, src, base, position, n, shape, floor);
    case 4:
        shape.width = 4;
        return write_changes(w, tables, src, base, position, n, shape, floor);
    default:
        shape.width = 8;
        return write_changes(w, tables, src, base, position, n, shape, floor);
    }
}

/* Sixteenths of a bit, about. */
static unsigned symbol_cost(const struct sparse_alphabet *a, unsigned symbol)
{
    unsigned freq = a->freq[symbol], log = 31 - (unsigned)__builtin_clz(freq);

    return (SPARSE_SCALE_BITS - log) * 16 - ((freq << 4 >> log) - 16);
}

static unsigned number_cost(const struct sparse_alphabet *a, unsigned escape, unsigned escape_bits,
                            uint64_t v)
{
    struct token t = token_of(v);

    return 16 * t.extra + (a->freq[t.symbol] ? symbol_cost(a, t.symbol)
                                             : symbol_cost(a, escape) + 16 * escape_bits);
}

/* Whether a sample of many changes shows that they take far more than CAP. */
static bool far_above(const struct tp_tables *tables, const uint8_t *src, const uint8_t *base,
                      const uint32_t *position, size_t n, struct sparse_shape shape, size_t cap)
{
    uint64_t cost = 0;

    if (n < GUESS_CHANGES)
        return false;
    for (size_t i = GUESS_STEP; i < n; i += GUESS_STEP) {
        size_t at = (size_t)position[i] * shape.width;

        cost += number_cost(&tables->value, VALUE_ESCAPE, 8,
                            change_number(element_get(src + at, shape.width),
                                          element_get(base + at, shape.width), shape));
        cost += number_cost(&tables->gap, GAP_ESCAPE, 7, position[i] - position[i - 1] - 1);
    }
    return cost / (16 * 8) * GUESS_STEP > cap + cap / 8;
}

static size_t encode(const struct tp_tables *tables, enum tp_dtype dtype, const void *src,
                     const void *base, size_t len, void *dst, size_t cap,
                     struct tp_scratch *scratch)
{
    struct sparse_shape shape = tp_sparse_shape(dtype);
    uint32_t *position = (uint32_t *)(void *)scratch->block;
    size_t list = (len / shape.width + 1) * sizeof *position;
    uint8_t *end = scratch->block + TP_SCRATCH_SIZE, *out = dst;
    struct writer w = {0, end};
    size_t n, space, head, state_len, words;
    uint8_t count[8];

    n = tp_sparse_positions(src, base, len, shape, position);
    if (far_above(tables, src, base, position, n, shape, cap))
        return 0;
    /* CAP limits the number of words. */
    space = TP_SCRATCH_SIZE - list;
    if (cap + 4 * WORDS_PER_CHANGE < space)
        space = cap + 4 * WORDS_PER_CHANGE;
    if (!write_any(&w, tables, src, base, position, n, shape, end - space))
        return 0;
    words = (size_t)(end - w.word);
    head = put_count(count, n);
    state_len = state_bytes(w.state, words != 0);
    if (head + state_len + words >= cap)
        return 0;
    memcpy(out, count, head);
    for (size_t i = 0; i < state_len; i++)
        out[head + i] = (uint8_t)(w.state >> 8 * i);
    memcpy(out + head + state_len, w.word, words);
    return head + state_len + words;
}

/* Decoding. */

struct reader {
    uint64_t state;
    const uint8_t *word; /* the next one */
    const uint8_t *end;
};

TP_INLINE void refill_bits(struct reader *r)
{
    if (r->state < STATE_LOW && r->word != r->end) {
        r->state = r->state << 32 | tp_get_le32(r->word);
        r->word += 4;
    }
}

TP_INLINE unsigned get_symbol(struct reader *r, const struct sparse_alphabet *a)
{
    uint32_t slot = a->slot[r->state % SPARSE_SCALE];

    r->state =
        (r->state >> SPARSE_SCALE_BITS) * ((slot >> 20) + 1) + (slot >> 9 & (SPARSE_SCALE - 1));
    refill_bits(r);
    return slot & 0x1ff;
}

TP_INLINE uint64_t get_bits(struct reader *r, unsigned n)
{
    uint64_t v = 0;

    for (unsigned got = 0; got < n;) {
        unsigned piece = n - got < PIECE_BITS ? n - got : PIECE_BITS;

        v |= (r->state & ((UINT64_C(1) << piece) - 1)) << got;
        r->state >>= piece;
        got += piece;
        refill_bits(r);
    }
    return v;
}

/* Read a number of an alphabet. UINT64_MAX, which no number equals: there is no such token. */
TP_INLINE uint64_t get_number(struct reader *r, const struct sparse_alphabet *a, unsigned escape,
                              unsigned escape_bits)
{
    unsigned symbol = get_symbol(r, a), extra;
    uint64_t least;

    if (__builtin_expect(symbol == escape, 0)) {
        symbol = (unsigned)get_bits(r, escape_bits);
        if (symbol >= escape)
            return UINT64_MAX;
    }
    least = token_base(symbol, &extra);
    return extra ? least + get_bits(r, extra) : least;
}

TP_INLINE int read_changes(struct reader *r, const struct tp_tables *tables, uint8_t *dst, size_t n,
                           size_t elements, struct sparse_shape shape)
{
    size_t next = 0;

    while (n--) {
        uint64_t gap = get_number(r, &tables->gap, GAP_ESCAPE, 7);
        uint64_t change = get_number(r, &tables->value, VALUE_ESCAPE, 8);
        uint8_t *p;

        if (gap >= elements - next)
            return -EBADMSG;
        p = dst + (next + gap) * shape.width;
        element_put(p, shape.width, change_apply(change, element_get(p, shape.width), shape));
        next += gap + 1;
    }
    return r->state || r->word != r->end ? -EBADMSG : 0;
}

static int read_any(struct reader *r, const struct tp_tables *tables, uint8_t *dst, size_t n,
                    size_t elements, struct sparse_shape shape)
{
    switch (shape.width) {
    case 1:
        shape.width = 1;
        return read_changes(r, tables, dst, n, elements, shape);
    case 2:
        shape.width = 2;
        return read_changes(r, tables, dst, n, elements, shape);
    case 4:
        shape.width = 4;
        return read_changes(r, tables, dst, n, elements, shape);
    default:
        shape.width = 8;
        return read_changes(r, tables, dst, n, elements, shape);
    }
}

/*
 * Read the number of changes, which begins every chunk. False: larger than the number of elements,
 * or truncated.
 */
static bool get_count(const uint8_t **p, const uint8_t *end, size_t most, size_t *out)
{
    size_t n = 0;

    for (unsigned shift = 0; *p != end && shift <= 14; shift += 7) {
        uint8_t byte = *(*p)++;

        n |= (size_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *out = n;
            return n <= most;
        }
    }
    return false;
}

static int decode(const struct tp_tables *tables, enum tp_dtype dtype, const void *src,
                  size_t src_len, const void *base, void *dst, size_t len,
                  struct tp_scratch *scratch)
{
    struct sparse_shape shape = tp_sparse_shape(dtype);
    const uint8_t *p = src, *end = p + src_len;
    struct reader r = {0, NULL, end};
    size_t n, rest, state_len;

    (void)scratch;
    if (!get_count(&p, end, len / shape.width, &n))
        return -EBADMSG;
    rest = (size_t)(end - p);
    state_len = rest < 5 ? rest : 5 + (rest - 5) % 4;
    for (size_t i = 0; i < state_len; i++)
        r.state |= (uint64_t)p[i] << 8 * i;
    if (r.state >> STATE_BITS)
        return -EBADMSG;
    r.word = p + state_len;
    memcpy(dst, base, len);
    return read_any(&r, tables, dst, n, len / shape.width, shape);
}

const struct tp_codec tp_codec_sparse = {
    .id = TP_CODEC_SPARSE,
    .name = "sparse",
    .needs_base = true,
    .needs_tables = true,
    .whole_samples = true, /* it counts the distances between changes */
    .tables_bytes = sizeof(struct tp_tables),
    .fits = fits_dtype,
    .worth = tp_sparse_worth,
    .stats_create = tp_sparse_stats_create,
    .stats_add = tp_sparse_stats_add,
    .stats_finish = tp_sparse_stats_finish,
    .stats_destroy = tp_sparse_stats_destroy,
    .tables_create = tp_sparse_tables_create,
    .tables_destroy = tp_sparse_tables_destroy,
    .encode = encode,
    .decode = decode,
};
