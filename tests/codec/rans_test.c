/* SPDX-License-Identifier: MIT */
/*
 * rANS: frequency tables, streams of every length and number of lanes, instruction sets alike,
 * damage.
 */
#include <config.h>

#include "base/isa.h"
#include "codec/rans/rans.h"
#include "tests/codec/codec_check.h"

/* Counts of one of several shapes over at most 256 symbols, and N symbols drawn with them. */
static void draw(uint64_t *seed, uint8_t *syms, size_t n, uint32_t hist[256])
{
    unsigned range = 1 + (unsigned)(tap_random(seed) % 256),
             shape = (unsigned)(tap_random(seed) % 4);
    unsigned from = (unsigned)(tap_random(seed) % 256);

    memset(hist, 0, 256 * sizeof *hist);
    for (size_t i = 0; i < n; i++) {
        uint64_t r = tap_random(seed);
        unsigned a = (unsigned)(r % range), b = (unsigned)((r >> 20) % range);
        unsigned s = shape == 0 ? a : shape == 1 ? (a < b ? a : b) : shape == 2 ? a * b / range : 0;

        if (shape == 3 && (r >> 40) % 500 == 0)
            s = a;
        syms[i] = (uint8_t)(s + from);
        hist[syms[i]]++;
    }
}

static bool table_once(uint64_t *seed)
{
    uint8_t syms[3000];
    uint32_t hist[256];
    uint16_t freq[256], back[256];
    struct tp_buffer blob = {0};
    int escape = tap_random(seed) & 1 ? TP_RANS_NO_ESCAPE : (int)(tap_random(seed) % 256), used;
    uint32_t sum = 0;
    bool good = true;

    draw(seed, syms, tap_random(seed) % sizeof syms, hist);
    tp_rans_normalize(hist, escape, freq);
    for (int s = 0; s < 256; s++) {
        sum += freq[s];
        good &= (freq[s] > 0) >= (hist[s] > 0 || s == escape);
    }
    good &= sum == TP_RANS_ONE && tp_rans_freq_write(&blob, freq, escape) == 0;
    used = tp_rans_freq_read(blob.data, blob.len, escape, back);
    good &= used == (int)blob.len;
    good &= !memcmp(freq, back, sizeof freq);
    good &= blob.len == 0 || tp_rans_freq_read(blob.data, blob.len - 1, escape, back) == -EBADMSG;
    tp_buffer_clear(&blob);
    return good;
}

/* Any bytes: refused, or frequencies that sum to one and are written and read again. */
static bool table_damage(uint64_t *seed)
{
    size_t len = tap_random(seed) % 80;
    uint8_t *bytes = malloc(len + !len);
    int escape = tap_random(seed) & 1 ? TP_RANS_NO_ESCAPE : 255;
    uint16_t freq[256];
    uint32_t sum = 0;
    bool good;
    int used;

    if (!bytes)
        bail_out("out of memory");
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(tap_random(seed) & tap_random(seed));
    if (len > 2)
        bytes[1] = (uint8_t)(bytes[0] + bytes[1] % 8);
    used = tp_rans_freq_read(bytes, len, escape, freq);
    good = used == -EBADMSG || (used > 0 && used <= (int)len);
    if (used > 0) {
        for (int s = 0; s < 256; s++)
            sum += freq[s];
        good &= sum == TP_RANS_ONE;
    }
    free(bytes);
    return good;
}

/* Reciprocals of every frequency, at the ends of what they are used for and between. */
static bool quotients(uint64_t *seed)
{
    for (uint32_t f = 1; f <= TP_RANS_ONE; f++) {
        uint16_t freq[256] = {(uint16_t)f, (uint16_t)(TP_RANS_ONE - f)};
        struct tp_rans_enc enc;

        tp_rans_enc_init(&enc, freq);
        for (uint32_t i = 0; i < 600; i++) {
            uint32_t top = f << 20, r = (uint32_t)(tap_random(seed) % top);
            uint32_t x = i < 100   ? top - 1 - i
                         : i < 300 ? (r / f + 1) * f - 1
                         : i < 500 ? r / f * f
                                   : r;
            unsigned shift = 31 + (enc.sym[0].bits >> 24);

            if ((uint32_t)((uint64_t)x * enc.sym[0].rcp >> shift) != x / f) {
                diag("%u / %u", x, f);
                return false;
            }
        }
    }
    return true;
}

/* Tables for streams whose symbols choose among TABLES of them. */
struct model {
    struct tp_rans_enc enc[16];
    struct tp_rans_dec dec[16];
};

static void make_model(struct model *m, const uint8_t *syms, const uint8_t *tabs, size_t n,
                       unsigned tables)
{
    uint32_t hist[16][256] = {{0}};
    uint16_t freq[256];

    for (size_t i = 0; i < n; i++)
        hist[tabs ? tabs[i] : 0][syms[i]]++;
    for (unsigned t = 0; t < tables; t++) {
        tp_rans_normalize(hist[t], TP_RANS_NO_ESCAPE, freq);
        tp_rans_enc_init(&m->enc[t], freq);
        tp_rans_dec_init(&m->dec[t], freq);
    }
}

static size_t carry_len(unsigned lanes_log)
{
    return (((size_t)TP_RANS_CARRY_BITS << lanes_log) + 7) / 8;
}

/* What lanes carry, NULL too: any bits, and zeros up to the end of the byte. */
static uint8_t *make_carry(uint64_t *seed, unsigned lanes_log,
                           uint8_t carry_bytes[TP_RANS_CARRY_BYTES])
{
    if (tap_random(seed) & 1)
        return NULL;
    memset(carry_bytes, 0, TP_RANS_CARRY_BYTES);
    for (unsigned i = 0; i < (unsigned)TP_RANS_CARRY_BITS << lanes_log; i++)
        carry_bytes[i / 8] |= (uint8_t)((tap_random(seed) >> 20 & 1) << i % 8);
    return carry_bytes;
}

static bool check_decode(const struct model *m, const uint8_t *stream, size_t len,
                         const uint8_t *syms, const uint8_t *tabs, size_t n, const uint8_t *carry)
{
    uint8_t back[TP_RANS_CARRY_BYTES];
    struct tp_rans_reader r;
    bool good = tp_rans_reader_init(&r, stream, len) == 0;

    /*
     * With tables or a carry, the decoding one by one is all that there is apart from codec/delta.
     */
    for (size_t i = 0; i < n && good && (tabs || carry); i++)
        good =
            tp_rans_get(&r, i & ((1u << r.lanes_log) - 1), &m->dec[tabs ? tabs[i] : 0]) == syms[i];
    if (tabs || carry)
        return good && tp_rans_reader_finish(&r, carry ? back : NULL) == 0 &&
               (!carry || !memcmp(back, carry, carry_len(r.lanes_log)));
    for (int isa = TP_ISA_SCALAR; isa <= (int)tp_isa_best() && good; isa++) {
        uint8_t *out = check_alloc(n);

        tp_isa_set((enum tp_isa)isa);
        good = tp_rans_decode(m->dec, stream, len, out, n) == 0 && !memcmp(out, syms, n);
        free(out);
    }
    return good;
}

static bool stream_once(uint64_t *seed, struct model *m)
{
    size_t n = tap_random(seed) % 4 ? tap_random(seed) % 3000 : tap_random(seed) % 140000;
    uint8_t *syms = check_alloc(n), *tabs = tap_random(seed) & 1 ? check_alloc(n) : NULL;
    unsigned lanes_log = (unsigned)(tap_random(seed) % (TP_RANS_LANES_LOG_MAX + 1)), tables = 1;
    size_t bound = tp_rans_bound(n), first_len = 0;
    uint8_t *first = NULL, carry_bytes[TP_RANS_CARRY_BYTES],
            *carry = make_carry(seed, lanes_log, carry_bytes);
    uint32_t hist[256];
    bool good = true;

    draw(seed, syms, n, hist);
    if (tabs) {
        tables = 1 + (unsigned)(tap_random(seed) % 16);
        for (size_t i = 0; i < n; i++)
            tabs[i] = (uint8_t)(tap_random(seed) % tables);
    }
    make_model(m, syms, tabs, n, tables);
    for (int isa = TP_ISA_SCALAR; isa <= (int)tp_isa_best() && good; isa++) {
        uint8_t *work = malloc(bound), *p;
        size_t len;

        if (!work)
            bail_out("out of memory");
        tp_isa_set((enum tp_isa)isa);
        p = tp_rans_encode(m->enc, syms, tabs, n, lanes_log, carry, work + bound);
        len = (size_t)(work + bound - p);
        if (!first) {
            first = check_copy(p, len);
            first_len = len;
        }
        good = len == first_len && !memcmp(p, first, len);
        free(work);
    }
    good = good && check_decode(m, first, first_len, syms, tabs, n, carry);
    if (!good)
        diag("%zu symbols, %u tables, 2^%u lanes", n, tables, lanes_log);
    free(first);
    free(tabs);
    free(syms);
    return good;
}

static bool stream_damage(uint64_t *seed, struct model *m)
{
    size_t n = tap_random(seed) % 3000, bound = tp_rans_bound(n), len;
    uint8_t *syms = check_alloc(n), *work = check_alloc(bound + 8), *p, *bad, *first = NULL;
    uint32_t hist[256];
    int first_rc = 0;
    bool good = true;

    draw(seed, syms, n, hist);
    make_model(m, syms, NULL, n, 1);
    p = tp_rans_encode(m->enc, syms, NULL, n, (unsigned)(tap_random(seed) % 7), NULL, work + bound);
    len = (size_t)(work + bound - p);
    check_damage(seed, p, &len);
    bad = check_copy(p, len);
    for (int isa = TP_ISA_SCALAR; isa <= (int)tp_isa_best() && good; isa++) {
        uint8_t *out = check_alloc(n);
        int rc;

        tp_isa_set((enum tp_isa)isa);
        rc = tp_rans_decode(m->dec, bad, len, out, n);
        if (!first) {
            first = out;
            first_rc = rc;
            good = rc == 0 || rc == -EBADMSG;
            continue;
        }
        good = rc == first_rc && (rc || !memcmp(out, first, n));
        free(out);
    }
    free(first);
    free(bad);
    free(work);
    free(syms);
    return good;
}

/*
 * A symbol that is all there is costs nothing but the states; with a carry, these and what they
 * carry.
 */
static void constant(struct model *m)
{
    enum { N = 100000, STATES = 1 + 64 * (4 + TP_RANS_CARRY_BITS) / 8 };
    uint8_t *syms = check_alloc(N), *work = check_alloc(tp_rans_bound(N)), *p;
    uint8_t carry[TP_RANS_CARRY_BYTES] = {0}, *out = check_alloc(0);

    memset(syms, 77, N);
    make_model(m, syms, NULL, N, 1);
    p = tp_rans_encode(m->enc, syms, NULL, N, 6, NULL, work + tp_rans_bound(N));
    is_int(work + tp_rans_bound(N) - p, STATES, "a constant takes the states alone");
    ok(check_decode(m, p, STATES, syms, NULL, N, NULL), "and comes back");
    memset(carry, 0x5a, sizeof carry - 8);
    p = tp_rans_encode(m->enc, syms, NULL, N, 6, carry, work + tp_rans_bound(N));
    is_int(work + tp_rans_bound(N) - p, STATES, "with a carry too");
    ok(check_decode(m, p, STATES, syms, NULL, N, carry), "and both come back");
    is_int(tp_rans_decode(m->dec, p, STATES, out, 0), -EBADMSG,
           "a caller that wants no carry refuses it");
    free(out);
    free(syms);
    free(work);
}

int main(void)
{
    uint64_t seed = tap_seed();
    struct model *m = aligned_alloc(64, (sizeof *m + 63) / 64 * 64);
    bool good = true;

    if (!m)
        bail_out("out of memory");
    for (int i = 0; i < 1000 && good; i++)
        good = table_once(&seed);
    ok(good, "frequencies keep what was seen and come back from bytes");
    for (int i = 0; i < 20000 && good; i++)
        good = table_damage(&seed);
    ok(good, "any bytes as frequencies");
    ok(quotients(&seed), "reciprocals are exact");
    for (int i = 0; i < 150 && good; i++)
        good = stream_once(&seed, m);
    ok(good, "streams come back, the same bytes with every instruction set");
    for (int i = 0; i < 600 && good; i++)
        good = stream_damage(&seed, m);
    ok(good, "damaged streams give -EBADMSG at most");
    constant(m);
    free(m);
    return tap_done();
}
