/* SPDX-License-Identifier: MIT */
/*
 * The code of CUDA kernels on a machine without a device: the code of a warp is plain C, so a
 * thread represents each lane and a barrier each operation of the warp. The results are compared
 * with the portable decoder's.
 */
#include <config.h>

#include <pthread.h>

#include "codec/cuda/model.h"
#include "codec/scratch.h"
#include "tests/codec/codec_check.h"

static __thread uint32_t this_lane;
static pthread_barrier_t barrier;
static uint32_t votes[2][32];
static __thread unsigned round_of;

static uint32_t ballot(bool vote)
{
    unsigned now =
        round_of++ & 1; /* two of them: a lane that is ahead must not spoil the last one's */
    uint32_t all = 0;

    votes[now][this_lane] = vote;
    pthread_barrier_wait(&barrier);
    for (unsigned l = 0; l < 32; l++)
        all |= votes[now][l] << l;
    return all;
}

#define WARP_FN static inline
#define WARP_LANE this_lane
#define WARP_BALLOT(p) ballot(p)
#define WARP_SYNC() pthread_barrier_wait(&barrier)
#define WARP_POPC(x) ((uint32_t)__builtin_popcount(x))
#include "codec/cuda/warp.h"

struct job {
    const struct warp_model *model;
    const struct warp_chunk *chunk;
    struct warp_shared shared;
    bool good[32];
};

struct worker {
    struct job *job;
    uint32_t lane;
};

static void *run_lane(void *arg)
{
    struct worker *w = arg;

    this_lane = w->lane;
    round_of = 0;
    w->job->good[this_lane] = warp_decode(w->job->model, w->job->chunk, &w->job->shared);
    return NULL;
}

/* 1: decoded; 0: refused; -1: the lanes do not agree. */
static int run_warp(const struct warp_model *model, const struct warp_chunk *chunk)
{
    struct job *job = calloc(1, sizeof *job);
    struct worker workers[32];
    pthread_t threads[32];
    int sum = 0;

    if (!job)
        bail_out("out of memory");
    job->model = model;
    job->chunk = chunk;
    for (uint32_t l = 0; l < 32; l++) {
        workers[l] = (struct worker){job, l};
        if (pthread_create(&threads[l], NULL, run_lane, &workers[l]))
            bail_out("no thread");
    }
    for (unsigned l = 0; l < 32; l++)
        pthread_join(threads[l], NULL);
    for (unsigned l = 0; l < 32; l++)
        sum += job->good[l];
    free(job);
    return sum == 32 ? 1 : sum == 0 ? 0 : -1;
}

/* Exactly the bytes: a device has no slack. */
static int decode_exact(const struct warp_model *model, const uint8_t *coded, size_t coded_len,
                        const uint8_t *base, uint8_t *out, size_t len)
{
    uint8_t *src = malloc(coded_len + !coded_len), *from = malloc(len + 1), *to = malloc(len + 1);
    struct warp_chunk chunk = {src, (uint16_t *)(void *)from, (uint16_t *)(void *)to,
                               (uint32_t)coded_len, (uint32_t)(len / 2)};
    int rc;

    if (!src || !from || !to)
        bail_out("out of memory");
    memcpy(src, coded, coded_len);
    if (len && base)
        memcpy(from, base, len);
    rc = run_warp(model, &chunk);
    memcpy(out, to, len);
    free(src);
    free(from);
    free(to);
    return rc;
}

static void make_pair(uint64_t *seed, unsigned spread, unsigned every, uint8_t *src, uint8_t *base,
                      size_t len)
{
    check_fill(seed, CHECK_WEIGHTS, TP_DTYPE_BF16, base, len);
    memcpy(src, base, len);
    for (size_t i = 0; i < len; i += 2)
        if (tap_random(seed) % every == 0)
            src[i] = (uint8_t)(src[i] + tap_random(seed) % spread - spread / 2);
    for (size_t i = 1; i < len; i += 2 * 700) {
        uint16_t any = (uint16_t)tap_random(seed);

        memcpy(src + i - 1, &any, 2);
    }
}

static void compare(uint64_t *seed, struct tp_scratch *scratch, const struct tp_codec *codec,
                    enum tp_dtype dtype, size_t learn_len, size_t len, unsigned spread,
                    unsigned every)
{
    uint8_t *src = check_alloc(learn_len), *base = check_alloc(learn_len), *coded,
            *out = check_alloc(len);
    struct tp_buffer blob = {0};
    struct tp_tables *tables;
    struct warp_model model;
    struct tp_error err = {0};
    size_t coded_len, slots;
    double bits;
    bool good = true;
    int rc;

    make_pair(seed, spread, every, src, base, learn_len);
    tables =
        check_learn(codec, dtype, src, codec->needs_base ? base : NULL, learn_len, &blob, &bits);
    rc = tp_cuda_model_create(codec->id, dtype, blob.data, blob.len, &model, &slots, &err);
    ok(rc == 0 && slots > 0, "%s: a model for warps", codec->name);
    if (every == 1 &&
        codec->id == TP_CODEC_SPLIT) /* what is not like its tensor: a table of its own */
        for (size_t i = 0; i < len; i++)
            src[i] = (uint8_t)(0x41 + tap_random(seed) % 5);
    if (!check_round_trip(codec, tables, dtype, src, base, len, 2 * len + 2048, scratch, &coded,
                          &coded_len))
        bail_out("the portable decoder fails");
    rc = decode_exact(&model, coded, coded_len, base, out, len);
    ok(rc == 1 && !memcmp(out, src, len), "%s %s: %zu bytes as %zu, by warp", codec->name,
       tp_dtype_name(dtype), len, coded_len);
    for (int i = 0; i < 12 && good && len <= 20000; i++) {
        uint8_t *bad = check_alloc(coded_len + 8);
        size_t bad_len = coded_len;

        memcpy(bad, coded, coded_len);
        check_damage(seed, bad, &bad_len);
        good = decode_exact(&model, bad, bad_len, base, out, len) >= 0;
        free(bad);
    }
    ok(good, "%s: damaged bytes, and all lanes agree", codec->name);
    codec->tables_destroy(tables);
    tp_buffer_clear(&blob);
    free((void *)(uintptr_t)model.slots);
    free(coded);
    free(src);
    free(base);
    free(out);
}

int main(void)
{
    const struct tp_codec *delta = tp_codec_get(TP_CODEC_DELTA),
                          *split = tp_codec_get(TP_CODEC_SPLIT);
    struct tp_scratch *scratch = tp_scratch_create();
    struct warp_model model;
    struct tp_error err = {0};
    uint64_t seed = tap_seed();
    size_t slots;

    if (!scratch || pthread_barrier_init(&barrier, NULL, 32))
        bail_out("out of memory");
    compare(&seed, scratch, delta, TP_DTYPE_BF16, 200000, 100000, 255, 1); /* 64 lanes, raw bits */
    compare(&seed, scratch, delta, TP_DTYPE_BF16, 100000, 16000, 5, 3);
    compare(&seed, scratch, delta, TP_DTYPE_F16, 100000, 4002, 40, 1);
    compare(&seed, scratch, delta, TP_DTYPE_BF16, 100000, 6, 5, 3);
    compare(&seed, scratch, delta, TP_DTYPE_BF16, 100000, 0, 5, 3);
    compare(&seed, scratch, split, TP_DTYPE_BF16, 200000, 150000, 5, 3);
    compare(&seed, scratch, split, TP_DTYPE_BF16, 100000, 16000, 9, 1);
    compare(&seed, scratch, split, TP_DTYPE_F16, 100000, 4002, 5, 3);
    compare(&seed, scratch, split, TP_DTYPE_BF16, 100000, 2, 5, 3);
    is_int(tp_cuda_model_create(TP_CODEC_SPARSE, TP_DTYPE_BF16, NULL, 0, &model, &slots, &err),
           -EOPNOTSUPP, "no other codec");
    is_int(tp_cuda_model_create(TP_CODEC_DELTA, TP_DTYPE_F32, NULL, 0, &model, &slots, &err),
           -EOPNOTSUPP, "no other dtype");
    is_int(tp_cuda_model_create(TP_CODEC_DELTA, TP_DTYPE_BF16, (const uint8_t *)"", 0, &model,
                                &slots, &err),
           -EBADMSG, "damaged tables");
    pthread_barrier_destroy(&barrier);
    tp_scratch_destroy(scratch);
    return tap_done();
}
