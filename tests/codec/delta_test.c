/* SPDX-License-Identifier: MIT */
/*
 * The delta codec: round trips of every dtype near to and far from its base, sizes, and damaged
 * input.
 */
#include <config.h>

#include "base/isa.h"
#include "codec/delta/carry.h"
#include "codec/delta/delta.h"
#include "codec/scratch.h"
#include "tests/codec/codec_check.h"

static const struct tp_codec *delta = &tp_codec_delta;
static struct tp_scratch *scratch;

static const enum tp_dtype dtypes[] = {
    TP_DTYPE_U8,          TP_DTYPE_I8,      TP_DTYPE_U16,     TP_DTYPE_I16,
    TP_DTYPE_F16,         TP_DTYPE_BF16,    TP_DTYPE_U32,     TP_DTYPE_I32,
    TP_DTYPE_F32,         TP_DTYPE_F8_E4M3, TP_DTYPE_F8_E5M2, TP_DTYPE_F8_E4M3FNUZ,
    TP_DTYPE_F8_E5M2FNUZ, TP_DTYPE_F8_E8M0,
};
#define DTYPES (sizeof dtypes / sizeof dtypes[0])

enum change {
    CHANGE_NONE,
    CHANGE_NEAR,
    CHANGE_SOME,
    CHANGE_WIDE,
    CHANGE_SPECIAL,
    CHANGE_ALL,
    CHANGE_KINDS
};

/*
 * NaNs with payloads, infinities, denormals, both zeros, of bf16 or the upper half of fp32; and
 * plain limits.
 */
static uint64_t special(uint64_t r)
{
    static const uint32_t some[] = {0x00000000, 0x80000000, 0x7f800000, 0xff800000,
                                    0x7fc00000, 0xffc12345, 0x7f800001, 0x00000001,
                                    0x807fffff, 0xffffffff, 0x7fffffff, 0x3f800000};
    uint32_t v = some[r % (sizeof some / sizeof some[0])];

    return r >> 32 & 1 ? v >> 16 : v;
}

/* A fine-tune of BASE. */
static void change(uint64_t *seed, enum change how, size_t unit, const uint8_t *base, uint8_t *p,
                   size_t len)
{
    for (size_t i = 0; i < len; i += unit) {
        uint64_t r = tap_random(seed);
        uint64_t v = 0;

        memcpy(&v, base + i, unit);
        if (how == CHANGE_NEAR)
            v += (r >> 8) % 7 - 3;
        else if (how == CHANGE_SOME)
            v += r % 20 ? 0 : (r >> 8) % 1000 - 500;
        else if (how == CHANGE_WIDE)
            v += ((r >> 8) & ((1u << r % 32) - 1)) - (1u << r % 32) / 2;
        else if (how == CHANGE_SPECIAL)
            v = r % 3 ? v + (r >> 8) % 2 : special(r >> 8);
        else if (how == CHANGE_ALL)
            v = r;
        memcpy(p + i, &v, unit);
    }
}

static void round_trips(uint64_t *seed, enum tp_dtype dtype)
{
    size_t unit = check_unit(dtype);
    bool good = true;

    for (int run = 0; run < 80 && good; run++) {
        enum check_kind kind = (enum check_kind)(tap_random(seed) % CHECK_KINDS);
        enum change how = (enum change)(tap_random(seed) % CHANGE_KINDS);
        size_t learn_len = check_length(seed, dtype), len = check_length(seed, dtype), coded_len;
        size_t most = learn_len > len ? learn_len : len;
        uint8_t *base = check_alloc(most), *learn = check_alloc(learn_len), *src = check_alloc(len),
                *coded = NULL;
        struct tp_buffer blob = {0};
        struct tp_tables *tables;
        double bits = -1;

        check_fill(seed, kind, dtype, base, most);
        change(seed, how, unit, base, learn, learn_len);
        if (tap_random(seed) % 3 == 0)
            how = (enum change)(tap_random(seed) % CHANGE_KINDS);
        change(seed, how, unit, base, src, len);
        tables = check_learn(delta, dtype, learn, base, learn_len, &blob, &bits);
        good = bits >= 0 && bits <= 2 * tp_dtype_bits(dtype) + 11 && blob.len < 4096 &&
               check_round_trip(delta, tables, dtype, src, base, len, 3 * len + 512, scratch,
                                &coded, &coded_len) &&
               coded_len > 0;
        if (!good)
            diag("%zu bytes of kind %d, change %d, promised %g bits, coded %zu", len, kind, how,
                 bits, coded_len);
        delta->tables_destroy(tables);
        tp_buffer_clear(&blob);
        free(coded);
        free(base);
        free(learn);
        free(src);
    }
    ok(good, "%s: round trips", tp_dtype_name(dtype));
}

/*
 * A chunk of weights and their fine-tune with noise of this deviation, in bf16 or, unrounded, fp32.
 */
static void make_pair(uint64_t *seed, size_t unit, double noise, uint8_t *base, uint8_t *src,
                      size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float b = (float)(0.02 * check_normal(seed)), f;
        uint32_t bits;

        memcpy(&bits, &b, sizeof bits);
        bits = unit == 2 ? (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000 : bits;
        memcpy(&b, &bits, sizeof b);
        memcpy(base + unit * i, (uint8_t *)&bits + 4 - unit, unit);
        f = b + (float)(noise * check_normal(seed));
        memcpy(&bits, &f, sizeof bits);
        bits = unit == 2 ? bits + 0x7fff + (bits >> 16 & 1) : bits;
        memcpy(src + unit * i, (uint8_t *)&bits + 4 - unit, unit);
    }
}

/* Entropy of the plain 16-bit difference given the base's exponent, in bits an element. */
static double conditional_entropy(const uint8_t *base, const uint8_t *src, size_t n)
{
    uint32_t *hist = calloc(256 * 65536, sizeof *hist);
    double sum = 0;

    if (!hist)
        bail_out("out of memory");
    for (size_t i = 0; i < n; i++) {
        uint16_t b, f;

        memcpy(&b, base + 2 * i, 2);
        memcpy(&f, src + 2 * i, 2);
        int32_t ob = b & 0x8000 ? -(b & 0x7fff) - 1 : b, of = f & 0x8000 ? -(f & 0x7fff) - 1 : f;

        hist[(size_t)(b >> 7 & 255) * 65536 + (uint16_t)(of - ob)]++;
    }
    for (size_t e = 0; e < 256; e++) {
        double total = 0;

        for (size_t d = 0; d < 65536; d++)
            total += hist[e * 65536 + d];
        for (size_t d = 0; d < 65536 && total > 0; d++)
            if (hist[e * 65536 + d])
                sum += hist[e * 65536 + d] * log2(total / hist[e * 65536 + d]);
    }
    free(hist);
    return sum / (double)n;
}

/* How small: against the conditional entropy of the same chunks, tables and all. */
static void sizes(uint64_t *seed)
{
    enum { N = TP_CHUNK_MAX / 2, CHUNKS = 8 };
    static const double noises[] = {2e-3, 5e-4, 1e-4, 1e-5};
    uint8_t *base = check_alloc(2 * N * CHUNKS), *src = check_alloc(2 * N * CHUNKS);

    for (size_t i = 0; i < sizeof noises / sizeof noises[0]; i++) {
        struct tp_buffer blob = {0};
        struct tp_tables *tables;
        double promised, entropy, bits;
        size_t total = 0;
        bool good = true;

        make_pair(seed, 2, noises[i], base, src, N * CHUNKS);
        entropy = conditional_entropy(base, src, N * CHUNKS);
        tables = check_learn(delta, TP_DTYPE_BF16, src, base, 2 * N * CHUNKS, &blob, &promised);
        for (size_t c = 0; c < CHUNKS && good; c++) {
            uint8_t *from = check_copy(src + 2 * N * c, 2 * N),
                    *with = check_copy(base + 2 * N * c, 2 * N);
            uint8_t *coded = NULL;
            size_t coded_len;

            good = check_round_trip(delta, tables, TP_DTYPE_BF16, from, with, 2 * N, 2 * N, scratch,
                                    &coded, &coded_len) &&
                   coded_len > 0;
            total += coded_len;
            free(coded);
            free(from);
            free(with);
        }
        bits = 8.0 * (double)total / (N * CHUNKS);
        ok(good && bits < 1.03 * promised, "noise %g: %.4f bits as promised", noises[i], bits);
        bits += 8.0 * (double)blob.len / (N * CHUNKS);
        /* Lanes and the least frequency weigh more where a weight takes half a bit. */
        ok(bits < (entropy < 1 ? 1.05 : 1.02) * entropy,
           "noise %g: %.4f bits, all counted, for an entropy of %.4f", noises[i], bits, entropy);
        delta->tables_destroy(tables);
        tp_buffer_clear(&blob);
    }
    free(base);
    free(src);
}

/* What the learning never saw is coded all the same; what equals the base costs next to nothing. */
static void deviations(uint64_t *seed)
{
    enum { N = TP_CHUNK_MAX / 2 };
    uint8_t *base = check_alloc(2 * N), *src = check_alloc(2 * N), *coded = NULL;
    struct tp_buffer blob = {0};
    struct tp_tables *tables;
    size_t coded_len;
    double bits;
    bool good;

    make_pair(seed, 2, 0, base, src, N);
    tables = check_learn(delta, TP_DTYPE_BF16, src, base, 2 * N, &blob, &bits);
    good = check_round_trip(delta, tables, TP_DTYPE_BF16, src, base, 2 * N, 2 * N, scratch, &coded,
                            &coded_len);
    ok(good && coded_len > 0 && coded_len < 128, "equal to the base: %zu bytes", coded_len);
    free(coded);
    for (size_t i = 7; i < N; i += 1000) {
        src[2 * i] ^= 0x55;
        src[2 * i + 1] ^= 0xff;
    }
    good = check_round_trip(delta, tables, TP_DTYPE_BF16, src, base, 2 * N, 2 * N, scratch, &coded,
                            &coded_len);
    ok(good && coded_len > 0 && coded_len < 1024, "132 unforeseen elements: %zu bytes", coded_len);
    free(coded);
    uint8_t *out = check_alloc(2 * N);

    is_u64(delta->encode(tables, TP_DTYPE_BF16, src, base, 2 * N, out, coded_len, scratch), 0,
           "no more than CAP");
    is_u64(delta->encode(tables, TP_DTYPE_BF16, src, base, 2 * N, out, coded_len + 1, scratch),
           coded_len, "as CAP says");
    free(out);
    delta->tables_destroy(tables);
    tp_buffer_clear(&blob);
    free(base);
    free(src);
}

/*
 * Tables that can only code differences of 0: the format allows them, and an escape then has no
 * code.
 */
static void no_escapes(void)
{
    static const uint8_t only_zero[18] = {0, 1}; /* one table, which all contexts use */
    uint8_t *base = check_alloc(2000), *src = check_alloc(2000), *coded = NULL;
    struct tp_tables *tables = NULL;
    size_t coded_len;
    bool good;

    /* Exp-Golomb of 2048, order 0: of u = 4096: v = 4097 has 13 bits. */
    struct tp_buffer blob = {0};
    uint8_t bits[8] = {0};
    size_t at = 16;
    uint32_t v = 2 * 2048 + 1;

    tp_buffer_append(&blob, only_zero, sizeof only_zero);
    at += 12;
    bits[at / 8] |= (uint8_t)(1u << at % 8);
    at++;
    for (int i = 0; i < 12; i++, at++)
        bits[at / 8] |= (uint8_t)((v >> i & 1) << at % 8);
    tp_buffer_append(&blob, bits, (at + 7) / 8);
    if (!ok(delta->tables_create(TP_DTYPE_BF16, blob.data, blob.len, &tables, NULL) == 0,
            "tables by hand"))
        bail_out("no tables");
    memset(base, 0x3c, 2000);
    memset(src, 0x3c, 2000);
    good = check_round_trip(delta, tables, TP_DTYPE_BF16, src, base, 2000, 2000, scratch, &coded,
                            &coded_len);
    ok(good && coded_len > 0 && coded_len < 100, "frequency 2048: %zu bytes", coded_len);
    free(coded);
    src[1000] ^= 1;
    is_u64(delta->encode(tables, TP_DTYPE_BF16, src, base, 2000, base, 2000, scratch), 0,
           "what has no code is not coded");
    delta->tables_destroy(tables);
    tp_buffer_clear(&blob);
    free(base);
    free(src);
}

static bool damaged_tables(uint64_t *seed, enum tp_dtype dtype, const struct tp_buffer *blob,
                           const uint8_t *coded, size_t coded_len, const uint8_t *base, size_t len)
{
    size_t bad_len = blob->len;
    uint8_t *bad = check_alloc(blob->len + 8), *exact;
    struct tp_tables *tables = NULL;
    struct tp_error err = {0};
    bool good;
    int rc;

    memcpy(bad, blob->data, blob->len);
    check_damage(seed, bad, &bad_len);
    exact = malloc(bad_len + !bad_len);
    if (!exact)
        bail_out("out of memory");
    memcpy(exact, bad, bad_len);
    rc = delta->tables_create(dtype, exact, bad_len, &tables, &err);
    good = rc == 0 || (rc == -EBADMSG && err.message[0]);
    if (rc == 0) {
        good =
            check_damaged_decode(delta, tables, dtype, coded, coded_len, base, len, scratch, seed);
        delta->tables_destroy(tables);
    }
    free(exact);
    free(bad);
    return good;
}

static bool damage_once(uint64_t *seed, enum tp_dtype dtype)
{
    enum check_kind kind = (enum check_kind)(tap_random(seed) % CHECK_KINDS);
    enum change how = (enum change)(tap_random(seed) % CHANGE_KINDS);
    size_t len = check_length(seed, dtype) % 9000 / 4 * 4, coded_len;
    uint8_t *base = check_alloc(len), *src = check_alloc(len), *coded = NULL;
    struct tp_buffer blob = {0};
    struct tp_tables *tables;
    double bits;
    bool good;

    check_fill(seed, kind, dtype, base, len);
    change(seed, how, check_unit(dtype), base, src, len);
    tables = check_learn(delta, dtype, src, base, len, &blob, &bits);
    good = check_round_trip(delta, tables, dtype, src, base, len, 3 * len + 512, scratch, &coded,
                            &coded_len);
    for (int i = 0; i < 30 && good; i++)
        good =
            check_damaged_decode(delta, tables, dtype, coded, coded_len, base, len, scratch, seed);
    for (int i = 0; i < 30 && good; i++)
        good = damaged_tables(seed, dtype, &blob, coded, coded_len, base, len);
    delta->tables_destroy(tables);
    tp_buffer_clear(&blob);
    free(coded);
    free(base);
    free(src);
    return good;
}

static uint32_t random_low(uint64_t *seed, unsigned bits)
{
    return (uint32_t)(tap_random(seed) >> 20) & ((1u << bits) - 1);
}

/*
 * SRC as a kernel would leave it that got the last raw bits wrong, in DST; W gets its raw bits.
 * Returns how many these are.
 */
static size_t lose_bits(uint64_t *seed, const struct tp_delta_tables *t, const uint8_t *src,
                        const uint8_t *base, uint8_t *dst, size_t n, size_t lost,
                        struct tp_delta_writer *w)
{
    unsigned width = t->kind->width;
    const uint8_t *begin = w->raw;
    size_t total = 0;

    for (size_t i = 0; i < n; i++) {
        uint32_t b = tp_delta_load(base, i, width);
        unsigned c = tp_delta_context_of(b, t->kind, t->first), shift = t->shift[c];
        uint32_t z = tp_delta_diff(tp_delta_load(src, i, width), t->keep[c] ? b : 0, width,
                                   t->kind->is_float);

        if (z)
            tp_delta_put_raw(w, (z - 1) & ((1u << shift) - 1), shift);
    }
    *w->raw = (uint8_t)w->acc;
    total = (size_t)(w->raw - begin) * 8 + w->acc_bits;
    for (size_t i = n, at = total; i-- > 0;) {
        uint32_t b = tp_delta_load(base, i, width);
        unsigned c = tp_delta_context_of(b, t->kind, t->first), shift = t->shift[c];
        uint32_t from = t->keep[c] ? b : 0;
        uint32_t z = tp_delta_diff(tp_delta_load(src, i, width), from, width, t->kind->is_float);
        size_t gone = total - at;
        unsigned wrong = !z || gone >= lost    ? 0
                         : lost - gone < shift ? (unsigned)(lost - gone)
                                               : shift;

        if (z) {
            z = ((z - 1) ^ random_low(seed, wrong) << (shift - wrong)) + 1;
            at -= shift;
        }
        tp_delta_store(dst, i, width, tp_delta_undiff(z, from, width, t->kind->is_float));
    }
    return total;
}

/* Take the last bits out of a chunk and put them back, with each number of lanes. */
static bool carry_once(uint64_t *seed, enum tp_dtype dtype)
{
    size_t unit = check_unit(dtype), len = check_length(seed, dtype), n = len / unit;
    enum change how = tap_random(seed) & 1 ? CHANGE_SOME : CHANGE_WIDE;
    uint8_t *base = check_alloc(len), *src = check_alloc(len), *dst = check_alloc(len),
            *raw = check_alloc(len);
    struct tp_buffer blob = {0};
    struct tp_tables *tables;
    double bits;
    bool good = true;

    check_fill(seed, tap_random(seed) & 1 ? CHECK_WEIGHTS : CHECK_RANDOM, dtype, base, len);
    change(seed, how, unit, base, src, len);
    tables = check_learn(delta, dtype, src, base, len, &blob, &bits);
    const struct tp_delta_tables *t = (const struct tp_delta_tables *)tables;

    for (unsigned log = 0; log <= TP_RANS_LANES_LOG_MAX && t->carries && good; log++) {
        for (int isa = TP_ISA_SCALAR; isa <= (int)tp_isa_best() && good; isa++) {
            struct tp_delta_writer w = {.raw = raw};
            uint8_t carry[TP_RANS_CARRY_BYTES];
            size_t space = (size_t)TP_RANS_CARRY_BITS << log;
            size_t total = lose_bits(seed, t, src, base, dst, n, space, &w);
            size_t left = tp_delta_carry_take(t, raw, total, log, carry);
            struct tp_delta_reader r = {
                .raw = raw, .raw_bit = total, .esc_begin = raw + (left + 7) / 8};

            r.rans.lanes_log = log;
            tp_isa_set((enum tp_isa)isa);
            memset(raw + (left + 7) / 8, 0xa5, len - (left + 7) / 8);
            good = left == (total > space ? total - space : 0) &&
                   tp_delta_carry_put(t, &r, carry, base, dst, n) && !memcmp(src, dst, len);
            /* More than there is, and bits that belong to nothing. */
            r.raw_bit = total + 8;
            good &= !tp_delta_carry_put(t, &r, carry, base, dst, n) || total + 8 <= space;
            r.raw_bit = total;
            carry[(space - 1) / 8] |= (uint8_t)(1u << (space - 1) % 8);
            good &= total >= space || !tp_delta_carry_put(t, &r, carry, base, dst, n);
        }
    }
    tp_isa_set(tp_isa_best());
    if (!good)
        diag("%s, %zu elements", tp_dtype_name(dtype), n);
    delta->tables_destroy(tables);
    tp_buffer_clear(&blob);
    free(raw);
    free(dst);
    free(src);
    free(base);
    return good;
}

/*
 * Tables whose raw bits cannot be put back afterwards carry nothing: too wide shifts, and escapes
 * of 0.
 */
static void not_carried(void)
{
    /*
     * One table, of zeros and escapes, and one that is all escape; all contexts shift by BITS and
     * use TABLE.
     */
    for (unsigned i = 0; i < 3; i++) {
        static const struct {
            enum tp_dtype dtype;
            uint8_t shift, table;
            bool carries;
        } cases[] = {{TP_DTYPE_F32, 24, 0, true},
                     {TP_DTYPE_F32, 25, 0, false},
                     {TP_DTYPE_F32, 24, 1, false}};
        uint8_t head[22] = {0, 2};
        struct tp_buffer blob = {0};
        struct tp_tables *tables = NULL;
        uint16_t freq[2][256] = {{1024, 1023}, {0}};

        for (int c = 0; c < TP_DELTA_CONTEXTS; c++) {
            head[2 + c] = (uint8_t)(cases[i].table | (cases[i].shift & 7) << 5);
            head[18 + c / 4] |= (uint8_t)(cases[i].shift >> 3 << 2 * (c % 4));
        }
        freq[0][TP_DELTA_ESCAPE] = 1;
        freq[1][TP_DELTA_ESCAPE] = TP_RANS_ONE;
        tp_buffer_append(&blob, head, sizeof head);
        for (int t = 0; t < 2; t++)
            tp_rans_freq_write(&blob, freq[t], TP_DELTA_ESCAPE);
        ok(delta->tables_create(cases[i].dtype, blob.data, blob.len, &tables, NULL) == 0 &&
               ((struct tp_delta_tables *)tables)->carries == cases[i].carries,
           "shift %u, table %u: %s", cases[i].shift, cases[i].table,
           cases[i].carries ? "carried" : "not carried");
        delta->tables_destroy(tables);
        tp_buffer_clear(&blob);
    }
}

int main(void)
{
    uint64_t seed = tap_seed();
    bool good = true;

    scratch = tp_scratch_create();
    if (!scratch)
        bail_out("out of memory");
    for (size_t i = 0; i < DTYPES; i++)
        round_trips(&seed, dtypes[i]);
    for (unsigned dtype = 0; dtype < TP_DTYPE_COUNT; dtype++) {
        bool listed = false;

        for (size_t i = 0; i < DTYPES; i++)
            listed |= dtypes[i] == dtype;
        good &= delta->fits((enum tp_dtype)dtype) == listed;
    }
    ok(good, "fits just the dtypes that it codes");
    sizes(&seed);
    deviations(&seed);
    no_escapes();
    not_carried();
    for (int i = 0; i < 150 && good; i++)
        good = carry_once(&seed, dtypes[tap_random(&seed) % DTYPES]);
    ok(good, "carried bits come back, with any number of lanes");
    for (int i = 0; i < 100 && good; i++)
        good = damage_once(&seed, dtypes[tap_random(&seed) % DTYPES]);
    ok(good, "damaged chunks and tables give -EBADMSG at most");
    tp_scratch_destroy(scratch);
    return tap_done();
}
