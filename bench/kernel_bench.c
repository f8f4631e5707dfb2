/* SPDX-License-Identifier: MIT */
/*
 * The speed of each codec's decoder without I/O and hashes, as JSON. The coded chunks of a pack and
 * the bytes of its base are in memory. TENPAK_CPU selects a lower instruction set.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/isa.h"
#include "bench/measure.h"
#include "codec/scratch.h"
#include "store/pack/decode.h"
#include "store/pack/pack_internal.h"
#include "store/store.h"

enum {
    KERNEL_CHUNKS = 256, /* of one codec, 64 MiB: larger than a processor's cache */
};

struct chunk_input {
    const struct tp_codec *codec;
    struct tp_tables_entry *tables;
    enum tp_dtype dtype;
    uint32_t len, coded_len;
    uint8_t *coded, *base;
};

static _Noreturn void fail(const char *what, const struct tp_error *err)
{
    fprintf(stderr, "kernel_bench: %s: %s\n", what, err ? err->message : strerror(errno));
    exit(1);
}

static void *allocate(size_t len)
{
    void *p = calloc(1, len + TP_SLACK);

    if (!p)
        fail("out of memory", NULL);
    return p;
}

/* The base's bytes for chunk C if the base's segment has the same chunk boundaries, otherwise NULL.
 */
static uint8_t *base_bytes(struct tp_pack *pack, uint32_t c, struct tp_work *work)
{
    const struct tp_index *index = tp_pack_index(pack);
    const struct tp_segment *s = &index->segments[index->chunks[c].segment], *b;
    struct tp_pack *base = tp_pack_base(pack);
    struct tp_error err = {0};
    uint8_t *out;

    if (!base || s->from.whence != TP_FROM_BASE)
        return NULL;
    b = &tp_pack_index(base)->segments[s->from.segment];
    if (b->dtype != s->dtype || b->len != s->len || b->file_off != s->from.off)
        return NULL;
    out = allocate(TP_CHUNK_MAX);
    if (tp_pack_decode_chunk(base, b->chunk_first + (c - s->chunk_first), out, work, &err) < 0)
        fail("the base", &err);
    return out;
}

static bool load_input(struct tp_pack *pack, uint32_t c, struct tp_work *work,
                       struct chunk_input *in)
{
    const struct tp_index *index = tp_pack_index(pack);
    const struct tp_chunk *chunk = &index->chunks[c];
    struct tp_error err = {0};

    memset(in, 0, sizeof *in);
    in->codec = tp_codec_get(chunk->codec);
    in->dtype = index->segments[chunk->segment].dtype;
    in->len = tp_index_chunk_len(index, c);
    in->coded_len = chunk->stored_len;
    if (in->codec->needs_base && !(in->base = base_bytes(pack, c, work)))
        return false;
    if (in->codec->needs_tables &&
        tp_tables_get(pack, tp_pack_bytes(pack), chunk->segment, in->codec, &in->tables, &err) < 0)
        fail("tables", &err);
    in->coded = allocate(in->coded_len);
    if (tp_bytes_read(tp_pack_bytes(pack), in->coded, in->coded_len, chunk->stored_off, &err) < 0)
        fail("reading the pack", &err);
    return true;
}

static void free_input(struct chunk_input *in)
{
    if (in->tables)
        tp_tables_put(in->tables);
    free(in->coded);
    free(in->base);
}

/* Whole chunks of this codec, spread evenly over the pack. */
static unsigned load_inputs(struct tp_pack *pack, unsigned codec, struct chunk_input *inputs)
{
    const struct tp_index *index = tp_pack_index(pack);
    struct tp_work *work = tp_work_create(NULL);
    uint32_t total = 0, seen = 0;
    unsigned n = 0;

    if (!work)
        fail("out of memory", NULL);
    for (uint32_t c = 0; c < index->chunk_n; c++)
        total += index->chunks[c].codec == codec;
    for (uint32_t c = 0; c < index->chunk_n && n < KERNEL_CHUNKS; c++) {
        if (index->chunks[c].codec != codec)
            continue;
        if ((uint64_t)seen++ * KERNEL_CHUNKS < (uint64_t)n * total)
            continue;
        if (load_input(pack, c, work, &inputs[n]))
            n++;
    }
    tp_work_destroy(work);
    return n;
}

/*
 * Processor time in seconds for all inputs, the best of RUNS. *BYTES: size of the output. 0: the
 * pack has no chunk of this codec.
 */
static double kernel(struct tp_pack *pack, unsigned codec, unsigned runs, uint64_t *bytes)
{
    static struct chunk_input inputs[KERNEL_CHUNKS];
    unsigned n = load_inputs(pack, codec, inputs);
    struct tp_scratch *scratch = tp_scratch_create();
    uint8_t *dst = allocate(TP_CHUNK_MAX);
    double best = 0;

    if (!scratch)
        fail("out of memory", NULL);
    *bytes = 0;
    for (unsigned i = 0; i < n; i++)
        *bytes += inputs[i].len;
    for (unsigned run = 0; run < runs && n > 0; run++) {
        double begin = thread_seconds();
        for (unsigned i = 0; i < n; i++) {
            const struct chunk_input *in = &inputs[i];
            const struct tp_tables *tables = in->tables ? tp_tables_of(in->tables) : NULL;
            if (in->codec->decode(tables, in->dtype, in->coded, in->coded_len, in->base, dst,
                                  in->len, scratch) < 0)
                fail("a kernel refuses what it wrote", NULL);
        }
        begin = thread_seconds() - begin;
        best = run == 0 || begin < best ? begin : best;
    }
    for (unsigned i = 0; i < n; i++)
        free_input(&inputs[i]);
    tp_scratch_destroy(scratch);
    free(dst);
    return best;
}

static struct tp_pack *open_pack(const char *path)
{
    struct tp_pack *pack;
    struct tp_error err = {0};

    if (tp_store_open_path(NULL, path, &pack, &err) < 0)
        fail("opening", &err);
    if (tp_pack_base_error(pack)[0]) {
        fprintf(stderr, "kernel_bench: %s\n", tp_pack_base_error(pack));
        exit(1);
    }
    return pack;
}

static void print_kernels(struct tp_pack *pack, unsigned runs)
{
    const char *comma = "";

    printf("\"kernels\": {");
    for (unsigned codec = 0; codec < TP_CODEC_COUNT; codec++) {
        uint64_t bytes;
        double seconds = tp_codec_get(codec) ? kernel(pack, codec, runs, &bytes) : 0;
        if (seconds > 0) {
            printf("%s\"%s\": {\"bytes\": %llu, \"seconds\": %.9f}", comma, tp_codec_name(codec),
                   (unsigned long long)bytes, seconds);
            comma = ", ";
        }
    }
    printf("}");
}

int main(int argc, char **argv)
{
    unsigned long runs = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    struct tp_pack *pack;

    if (runs < 1 || runs > 1000) {
        fputs("usage: kernel_bench PACK RUNS\n", stderr);
        return 2;
    }
    pack = open_pack(argv[1]);
    printf("{\"isa\": \"%s\", ", tp_isa_name(tp_isa_get()));
    print_kernels(pack, (unsigned)runs);
    printf("}\n");
    tp_pack_close(pack);
    return 0;
}
