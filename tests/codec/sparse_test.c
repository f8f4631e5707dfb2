/* SPDX-License-Identifier: MIT */
/*
 * The sparse codec: round trips at every density and dtype, the cost of a change, and damaged
 * input.
 */
#include <config.h>

#include "codec/scratch.h"
#include "tests/codec/codec_check.h"

static const struct tp_codec *sparse;
static struct tp_scratch *scratch;

/* How elements differ from the base's. */
enum change { ONE_STEP, SMALL, ANY, CHANGES };

/* SRC is BASE with one element in EVERY changed (0: none), and returns how many. */
static size_t change(uint64_t *seed, enum change how, unsigned unit, size_t every,
                     const uint8_t *base, uint8_t *src, size_t len)
{
    size_t changed = 0;

    memcpy(src, base, len);
    for (size_t i = 0; every && i < len; i += unit) {
        uint64_t x = 0, r = tap_random(seed), before;

        if (tap_random(seed) % every)
            continue;
        memcpy(&x, src + i, unit);
        before = x;
        x = how == ONE_STEP ? x + (r & 1 ? 1 : -UINT64_C(1))
            : how == SMALL  ? x + r % 1000 - 500
                            : r;
        memcpy(src + i, &x, unit);
        x = 0;
        memcpy(&x, src + i, unit);
        changed += x != before;
    }
    return changed;
}

static bool round_trip_once(uint64_t *seed, enum tp_dtype dtype)
{
    static const size_t densities[] = {0, 1, 2, 20, 300, 5000, 50000};
    size_t learn_len = check_length(seed, dtype), len = check_length(seed, dtype), coded_len = 0;
    size_t every = densities[tap_random(seed) % 7];
    enum change how = (enum change)(tap_random(seed) % CHANGES);
    enum check_kind kind = (enum check_kind)(tap_random(seed) % CHECK_KINDS);
    uint8_t *base = check_alloc(TP_CHUNK_MAX), *learn = check_alloc(learn_len),
            *src = check_alloc(len);
    uint8_t *coded = NULL, *base_copy;
    struct tp_buffer blob = {0};
    struct tp_tables *tables;
    double bits = -1;
    bool good;

    check_fill(seed, kind, dtype, base, TP_CHUNK_MAX / check_unit(dtype) * check_unit(dtype));
    change(seed, how, (unsigned)check_unit(dtype), every, base, learn, learn_len);
    tables = check_learn(sparse, dtype, learn, base, learn_len, &blob, &bits);
    if (tap_random(seed) % 3 == 0) {
        how = (enum change)(tap_random(seed) % CHANGES);
        every = densities[tap_random(seed) % 7];
    }
    change(seed, how, (unsigned)check_unit(dtype), every, base, src, len);
    base_copy = check_copy(base, len);
    good = bits > 0 && check_round_trip(sparse, tables, dtype, src, base_copy, len,
                                        2 * TP_CHUNK_MAX, scratch, &coded, &coded_len);
    /*
     * Changes at full density may need more than the scratch block has space for, when the tables
     * were learned from other ones; nothing else is refused.
     */
    good = good && (coded_len > 0 || (every && every <= 2));
    if (!good)
        diag("%zu bytes, one in %zu changed (%d), promised %g, coded %zu", len, every, how, bits,
             coded_len);
    sparse->tables_destroy(tables);
    tp_buffer_clear(&blob);
    free(coded);
    free(base_copy);
    free(base);
    free(learn);
    free(src);
    return good;
}

/* log2(1/p) + log2(e) bits to say where, one for the direction, and about 2 bytes a chunk. */
static void cost(uint64_t *seed, enum tp_dtype dtype, size_t every)
{
    enum { CHUNKS = 16 };
    size_t unit = check_unit(dtype), total = 0, changed = 0;
    uint8_t *base = check_alloc(CHUNKS * TP_CHUNK_MAX), *src = check_alloc(CHUNKS * TP_CHUNK_MAX);
    struct tp_buffer blob = {0};
    struct tp_tables *tables;
    double bits, ideal;
    bool good = true;

    check_fill(seed, CHECK_WEIGHTS, dtype, base, CHUNKS * TP_CHUNK_MAX);
    changed = change(seed, ONE_STEP, (unsigned)unit, every, base, src, CHUNKS * TP_CHUNK_MAX);
    tables = check_learn(sparse, dtype, src, base, CHUNKS * TP_CHUNK_MAX, &blob, &bits);
    for (size_t i = 0; i < CHUNKS && good; i++) {
        uint8_t *coded = NULL;
        size_t coded_len;

        good =
            check_round_trip(sparse, tables, dtype, src + i * TP_CHUNK_MAX, base + i * TP_CHUNK_MAX,
                             TP_CHUNK_MAX, TP_CHUNK_MAX, scratch, &coded, &coded_len);
        total += coded_len;
        free(coded);
    }
    ideal = (double)changed * (log2((double)every) + 1.4427 + 1) / 8;
    ok(good && (double)total < 1.03 * ideal + CHUNKS * 3,
       "%s, one in %zu changed: %zu bytes for %zu changes, at best %.0f", tp_dtype_name(dtype),
       every, total, changed, ideal);
    ok(fabs(bits * CHUNKS * TP_CHUNK_MAX / (double)unit / 8 - (double)total) <
           0.05 * (double)total + 10 * CHUNKS,
       "as promised: %g bits", bits);
    ok(blob.len < 200, "tables of %zu bytes", blob.len);
    sparse->tables_destroy(tables);
    tp_buffer_clear(&blob);
    free(base);
    free(src);
}

/* Three changed weights in a whole chunk, with tables learned from many chunks like it. */
static void three_changes(uint64_t *seed)
{
    enum { LEARN = 16 * TP_CHUNK_MAX };
    uint8_t *base = check_alloc(LEARN), *src = check_alloc(LEARN), *coded = NULL;
    struct tp_buffer blob = {0};
    struct tp_tables *tables;
    size_t coded_len;
    double bits;
    bool good;

    check_fill(seed, CHECK_WEIGHTS, TP_DTYPE_BF16, base, LEARN);
    change(seed, ONE_STEP, 2, TP_CHUNK_MAX / 2 / 3, base, src, LEARN);
    tables = check_learn(sparse, TP_DTYPE_BF16, src, base, LEARN, &blob, &bits);
    memcpy(src, base, TP_CHUNK_MAX);
    src[1000] ^= 1;
    src[150000] ^= 1;
    src[262142] ^= 1;
    good = check_round_trip(sparse, tables, TP_DTYPE_BF16, src, base, TP_CHUNK_MAX, TP_CHUNK_MAX,
                            scratch, &coded, &coded_len);
    ok(good && coded_len <= 12, "three changes: %zu bytes", coded_len);
    is_u64(
        sparse->encode(tables, TP_DTYPE_BF16, src, base, TP_CHUNK_MAX, coded, coded_len, scratch),
        0, "no more than CAP");
    free(coded);
    good = check_round_trip(sparse, tables, TP_DTYPE_BF16, base, base, TP_CHUNK_MAX, TP_CHUNK_MAX,
                            scratch, &coded, &coded_len);
    ok(good && coded_len == 1, "no change: one byte");
    free(coded);
    sparse->tables_destroy(tables);
    tp_buffer_clear(&blob);
    free(base);
    free(src);
}

static bool damage_once(uint64_t *seed, enum tp_dtype dtype)
{
    size_t unit = check_unit(dtype), len = check_length(seed, dtype) % 30000 / 24 * 24, coded_len;
    uint8_t *base = check_alloc(len), *src = check_alloc(len), *coded = NULL;
    struct tp_buffer blob = {0};
    struct tp_tables *tables, *other = NULL;
    struct tp_error err;
    double bits;
    bool good;

    check_fill(seed, CHECK_RANDOM, dtype, base, len);
    change(seed, (enum change)(tap_random(seed) % CHANGES), (unsigned)unit,
           1 + tap_random(seed) % 300, base, src, len);
    tables = check_learn(sparse, dtype, src, base, len, &blob, &bits);
    good = check_round_trip(sparse, tables, dtype, src, base, len, 2 * len + 64, scratch, &coded,
                            &coded_len);
    for (int i = 0; i < 40 && good; i++)
        good =
            check_damaged_decode(sparse, tables, dtype, coded, coded_len, base, len, scratch, seed);
    for (int i = 0; i < 40 && good; i++) {
        size_t bad_len = blob.len;
        uint8_t *bad = check_alloc(blob.len + 8), *exact;
        int rc;

        memcpy(bad, blob.data, blob.len);
        check_damage(seed, bad, &bad_len);
        exact = malloc(bad_len + !bad_len);
        memcpy(exact, bad, bad_len);
        rc = sparse->tables_create(dtype, exact, bad_len, &other, &err);
        good = rc == 0 || (rc == -EBADMSG && err.message[0]);
        if (rc == 0) {
            good = check_damaged_decode(sparse, other, dtype, coded, coded_len, base, len, scratch,
                                        seed);
            sparse->tables_destroy(other);
        }
        free(exact);
        free(bad);
    }
    sparse->tables_destroy(tables);
    tp_buffer_clear(&blob);
    free(coded);
    free(base);
    free(src);
    return good;
}

/* Every element changes a little: other codecs do that better, where there are others. */
static void worth_trying(void)
{
    uint8_t base[4096] = {0}, src[4096] = {0};

    for (size_t i = 0; i < sizeof src; i += 8)
        src[i] = 1;
    ok(tp_codec_worth(sparse, TP_DTYPE_F64, src, base, sizeof src),
       "it is tried where no other takes a base");
    ok(tp_codec_worth(sparse, TP_DTYPE_F4, src, base, sizeof src), "as below a byte");
    for (size_t i = 0; i < sizeof src; i += 2)
        src[i] = 1;
    ok(!tp_codec_worth(sparse, TP_DTYPE_BF16, src, base, sizeof src),
       "not on many changes where delta does");
    ok(tp_codec_worth(sparse, TP_DTYPE_BF16, base, base, sizeof src), "but on few");
}

int main(void)
{
    uint64_t seed = tap_seed();
    bool good;

    sparse = tp_codec_get(TP_CODEC_SPARSE);
    scratch = tp_scratch_create();
    if (!sparse || !scratch)
        bail_out("no codec");
    for (size_t i = 0; i < CHECK_DTYPES; i++) {
        good = true;
        for (int run = 0; run < 40 && good; run++)
            good = round_trip_once(&seed, check_dtypes[i]);
        ok(good, "%s: round trips", tp_dtype_name(check_dtypes[i]));
    }
    cost(&seed, TP_DTYPE_BF16, 50);
    cost(&seed, TP_DTYPE_BF16, 1000);
    cost(&seed, TP_DTYPE_BF16, 20000);
    cost(&seed, TP_DTYPE_F32, 500);
    cost(&seed, TP_DTYPE_I8, 500);
    three_changes(&seed);
    worth_trying();
    good = true;
    for (int i = 0; i < 60 && good; i++)
        good = damage_once(&seed, check_dtypes[tap_random(&seed) % CHECK_DTYPES]);
    ok(good, "damaged chunks and tables give -EBADMSG at most");
    tp_scratch_destroy(scratch);
    return tap_done();
}
