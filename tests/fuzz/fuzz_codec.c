/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as the tables and the coded chunk of any codec: refused, or decoded to the same bytes
 * with every instruction set. The input: codec, dtype, elements (16 bits), length of the tables (16
 * bits), tables, chunk.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/isa.h"
#include "base/le.h"
#include "codec/codec.h"
#include "codec/scratch.h"
#include "tests/fuzz/codec_base.h"
#include "tests/fuzz/fuzz.h"

#define HEAD 6

/* LEN bytes and the slack that codecs may read or write, and nothing after it. */
static uint8_t *with_slack(const uint8_t *data, size_t len)
{
    uint8_t *p = malloc(len + TP_SLACK);

    FUZZ_CHECK(p != NULL);
    memset(p, 0xa5, len + TP_SLACK);
    if (data && len)
        memcpy(p, data, len);
    return p;
}

static void decode_all(const struct tp_codec *codec, const struct tp_tables *tables,
                       enum tp_dtype dtype, const uint8_t *coded, size_t coded_len, size_t len)
{
    struct tp_scratch *scratch = tp_scratch_create();
    uint8_t *src = with_slack(coded, coded_len), *base = with_slack(NULL, len);
    uint8_t *first = NULL;
    int first_rc = 0;

    FUZZ_CHECK(scratch != NULL);
    codec_base_fill(base, len);
    for (int isa = TP_ISA_SCALAR; isa <= (int)tp_isa_best(); isa++) {
        uint8_t *dst = with_slack(NULL, len);
        int rc;

        tp_isa_set((enum tp_isa)isa);
        rc = codec->decode(tables, dtype, src, coded_len, codec->needs_base ? base : NULL, dst, len,
                           scratch);
        FUZZ_CHECK(rc == 0 || rc == -EBADMSG);
        if (!first) {
            first = dst;
            first_rc = rc;
            continue;
        }
        FUZZ_CHECK(rc == first_rc && (rc || !memcmp(first, dst, len)));
        free(dst);
    }
    free(first);
    free(base);
    free(src);
    tp_scratch_destroy(scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct tp_codec *codec;
    struct tp_tables *tables = NULL;
    struct tp_error err = {0};
    enum tp_dtype dtype;
    size_t elements, tables_len, chunk;

    if (len < HEAD)
        return 0;
    codec = tp_codec_get(data[0] % TP_CODEC_COUNT);
    dtype = (enum tp_dtype)(data[1] % TP_DTYPE_COUNT);
    elements = tp_get_le16(data + 2);
    tables_len = tp_get_le16(data + 4);
    if (!codec || !codec->fits(dtype) || tables_len > len - HEAD)
        return 0;
    chunk = elements * tp_dtype_bits(dtype) / 8;
    if (chunk > TP_CHUNK_MAX)
        return 0;
    if (codec->needs_tables) {
        uint8_t *blob = malloc(tables_len + !tables_len);
        int rc;

        FUZZ_CHECK(blob != NULL);
        memcpy(blob, data + HEAD, tables_len);
        rc = codec->tables_create(dtype, blob, tables_len, &tables, &err);
        free(blob);
        FUZZ_CHECK(rc == 0 || (rc == -EBADMSG && err.message[0]));
        if (rc)
            return 0;
    }
    decode_all(codec, tables, dtype, data + HEAD + tables_len, len - HEAD - tables_len, chunk);
    if (codec->needs_tables)
        codec->tables_destroy(tables);
    return 0;
}
