/* SPDX-License-Identifier: MIT */
/*
 * The speed at which the decode engine reads a whole pack from the page cache. Everything is read
 * once before. Then each round decodes every chunk of every file, and blocks of the base, through a
 * cache that holds a small part of them. Rounds of different thread counts alternate. Prints the
 * best and the median of the rounds.
 */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cpu.h"
#include "store/reader.h"
#include "store/store.h"

enum { ROUNDS_MAX = 64, CONFIGURATIONS = 2 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int fail(const struct tp_error *err)
{
    fprintf(stderr, "engine_bench: %s\n", err->message);
    return -1;
}

/*
 * Read every file from its beginning to its end, as a mount does. *SECONDS and *STATS are those of
 * this pass.
 */
static int read_all(struct tp_engine *engine, struct tp_pack *pack, double *seconds,
                    struct tp_engine_stats *stats)
{
    const struct tp_index *index = tp_pack_index(pack);
    struct tp_engine_stats before;
    struct tp_error err;
    int rc = 0;

    tp_engine_get_stats(engine, &before);
    double start = now();
    for (uint32_t i = 0; i < index->file_n && rc == 0; i++) {
        struct tp_reader *reader;
        struct tp_span span;
        if (index->files[i].type != TP_ENTRY_FILE)
            continue;
        rc = tp_reader_open(engine, pack, i, &reader, &err);
        for (uint64_t off = 0; rc == 0 && off < index->files[i].size; off += span.len) {
            rc = tp_reader_span(reader, off, 1u << 20, &span, &err);
            if (rc == 0 && span.len == 0)
                break;
            size_t len = span.len;
            tp_span_release_given(&span);
            span.len = len;
        }
        if (reader)
            tp_reader_close(reader);
    }
    *seconds = now() - start;
    tp_engine_get_stats(engine, stats);
    stats->decoded_bytes -= before.decoded_bytes;
    stats->decode_nsec -= before.decode_nsec;
    return rc < 0 ? fail(&err) : 0;
}

/* Drop the blocks of the last round. */
static void empty_cache(struct tp_engine *engine, struct tp_pack *pack)
{
    for (; pack; pack = tp_pack_base(pack))
        tp_engine_forget(engine, pack);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int usage(void)
{
    fputs("usage: engine_bench STORE MODEL [ROUNDS [CACHE_MIB]]\n", stderr);
    return 2;
}

int main(int argc, char **argv)
{
    static double seconds[CONFIGURATIONS][ROUNDS_MAX];
    unsigned threads[CONFIGURATIONS] = {1, tp_cpu_count()};
    struct tp_engine_stats stats[CONFIGURATIONS];
    struct tp_engine *engines[CONFIGURATIONS];
    struct tp_store *store;
    struct tp_pack *pack;
    struct tp_error err;

    if (argc < 3 || argc > 5)
        return usage();
    int rounds = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 5;
    uint64_t cache_bytes = (argc > 4 ? strtoull(argv[4], NULL, 10) : 64) << 20;
    if (rounds < 1 || rounds > ROUNDS_MAX)
        return usage();
    if (tp_store_open(argv[1], &store, &err) < 0 ||
        tp_store_open_pack(store, argv[2], &pack, &err) < 0)
        return fail(&err) < 0;

    double logical = (double)tp_pack_index(pack)->logical_bytes;
    for (int c = 0; c < CONFIGURATIONS; c++) {
        struct tp_engine_options options = {.threads = threads[c], .cache_bytes = cache_bytes};

        if (tp_engine_create(&options, &engines[c], &err) < 0)
            return fail(&err) < 0;
    }
    /*
     * The first round, which is not counted, brings the packs into the page cache, and touches the
     * engine's memory.
     */
    for (int round = -1; round < rounds; round++)
        for (int c = 0; c < CONFIGURATIONS; c++) {
            if (read_all(engines[c], pack, &seconds[c][round < 0 ? 0 : round], &stats[c]) < 0)
                return 1;
            empty_cache(engines[c], pack);
        }
    for (int c = 0; c < CONFIGURATIONS; c++) {
        qsort(seconds[c], (size_t)rounds, sizeof seconds[c][0], by_size);
        printf("%u threads: best %.3f GB/s, median %.3f GB/s; decoded %.2f x of the model, "
               "%.3f GB/s a core\n",
               threads[c], logical / seconds[c][0] / 1e9, logical / seconds[c][rounds / 2] / 1e9,
               (double)stats[c].decoded_bytes / logical, logical / (double)stats[c].decode_nsec);
    }
    for (int c = 0; c < CONFIGURATIONS; c++)
        tp_engine_destroy(engines[c]);
    tp_pack_close(pack);
    tp_store_close(store);
    return 0;
}
