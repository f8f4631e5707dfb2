/* SPDX-License-Identifier: MIT */
/* The codecs by wire id. */
#include <config.h>

#include "codec/codec.h"

#include "codec/delta/delta.h"
#include "codec/sparse/sparse.h"
#include "codec/split/split.h"
#include "codec/zstd/zstd.h"

/*
 * Names stand apart from the functions: what a pack holds is named even where it cannot be decoded.
 */
static const struct {
    const char *name;
    const struct tp_codec *codec;
    const size_t *tables_size;
} codecs[TP_CODEC_COUNT] = {
    [TP_CODEC_RAW] = {"raw", NULL, NULL},
    [TP_CODEC_SAME] = {"same", NULL, NULL},
    [TP_CODEC_ZSTD] = {"zstd", &tp_codec_zstd, NULL},
    [TP_CODEC_SPLIT] = {"split", &tp_codec_split, &tp_split_tables_size},
    [TP_CODEC_DELTA] = {"delta", &tp_codec_delta, &tp_delta_tables_size},
    [TP_CODEC_SPARSE] = {"sparse", &tp_codec_sparse, &tp_sparse_tables_size},
};

const struct tp_codec *tp_codec_get(unsigned id)
{
    return id < TP_CODEC_COUNT ? codecs[id].codec : NULL;
}

const char *tp_codec_name(unsigned id)
{
    return id < TP_CODEC_COUNT ? codecs[id].name : "unknown";
}

size_t tp_codec_tables_size(enum tp_codec_id id)
{
    return (unsigned)id < TP_CODEC_COUNT && codecs[id].tables_size ? *codecs[id].tables_size : 0;
}
