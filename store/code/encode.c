/* SPDX-License-Identifier: MIT */
/* Coding one chunk with the codec that makes it smallest. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "store/code/code.h"

uint32_t tp_code_chunk_n(const struct tp_code_source *source)
{
    return (uint32_t)(source->len / source->chunk_size + (source->len % source->chunk_size != 0));
}

uint32_t tp_code_chunk_len(const struct tp_code_source *source, uint32_t chunk)
{
    uint64_t rest = source->len - (uint64_t)chunk * source->chunk_size;

    return rest < source->chunk_size ? (uint32_t)rest : source->chunk_size;
}

int tp_coder_init(struct tp_coder *coder, struct tp_error *err)
{
    *coder = (struct tp_coder){.scratch = tp_scratch_create(),
                               .src = calloc(1, TP_CODED_CAP),
                               .spare = calloc(1, TP_CODED_CAP)};
    if (coder->scratch && coder->src && coder->spare)
        return 0;
    tp_coder_clear(coder);
    return tp_oom(err);
}

void tp_coder_clear(struct tp_coder *coder)
{
    tp_scratch_destroy(coder->scratch);
    free(coder->src);
    free(coder->spare);
    *coder = (struct tp_coder){0};
}

size_t tp_code_general(const struct tp_code_options *options, struct tp_coder *coder,
                       const void *src, size_t len, void *dst, size_t cap)
{
    tp_scratch_set_level(coder->scratch, options->level);
    return tp_codec_general()->encode(NULL, TP_DTYPE_BYTES, src, NULL, len, dst, cap,
                                      coder->scratch);
}

/*
 * Keep the coding of N bytes in the coder's spare buffer, plus TABLES bytes of tables, if it is
 * smaller than OUT. N is 0 if there is no coding.
 */
static void take_smaller(struct tp_coding *out, struct tp_coder *coder,
                         const struct tp_codec *codec, size_t n, size_t tables)
{
    uint8_t *was = out->bytes;

    if (n == 0 || n + tables >= out->cost)
        return;
    out->codec = (uint8_t)codec->id;
    out->len = (uint32_t)n;
    out->cost = (uint32_t)(n + tables);
    out->bytes = coder->spare;
    coder->spare = was;
}

/* Whether the bytes repeat with a period of 64. Only the general codec codes such bytes well. */
static bool has_period_64(const uint8_t *src, uint32_t len)
{
    return len > 64 && memcmp(src, src + 64, len - 64) == 0;
}

/* If the tensor has one chunk, the chunk bears the cost of the tables. */
static size_t tables_cost(const struct tp_code_source *source, const struct tp_candidate *c)
{
    return tp_code_chunk_n(source) == 1 ? c->blob.len : 0;
}

int tp_code_chunk(const struct tp_code_source *source, uint32_t chunk, const uint8_t *src,
                  const struct tp_trained *trained, const struct tp_code_options *options,
                  struct tp_coder *coder, struct tp_coding *out, struct tp_error *err)
{
    const struct tp_codec *general = tp_codec_general();
    uint32_t len = tp_code_chunk_len(source, chunk);
    const uint8_t *base = NULL;
    bool whole;

    out->codec = TP_CODEC_RAW;
    out->len = out->cost = len;
    for (unsigned i = 0; trained && i < trained->n; i++) {
        const struct tp_candidate *c = &trained->candidates[i];
        size_t tables = tables_cost(source, c);
        int rc = 0;

        if (tables >= out->cost)
            continue;
        if (c->codec->needs_base && !base)
            rc = source->predict(source->arg, chunk, len, &base, &whole, err);
        if (rc < 0)
            return rc;
        if (tp_codec_worth(c->codec, source->dtype, src, base, len))
            take_smaller(out, coder, c->codec,
                         c->codec->encode(c->tables, source->dtype, src, base, len, coder->spare,
                                          out->cost - tables, coder->scratch),
                         tables);
    }
    if (options->allowed[general->id] &&
        (!trained || trained->try_general || has_period_64(src, len)))
        take_smaller(out, coder, general,
                     tp_code_general(options, coder, src, len, coder->spare, out->cost), 0);
    return 0;
}
