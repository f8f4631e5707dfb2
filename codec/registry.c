/* SPDX-License-Identifier: MIT */
/* The codecs by wire id. */
#include <config.h>

#include "codec/codec.h"

#include "codec/delta/delta.h"
#include "codec/quant/chunk.h"
#include "codec/sparse/sparse.h"
#include "codec/split/split.h"
#include "codec/zstd/zstd.h"

#include <string.h>

/*
 * Names are in a table of their own, because codecs that this program cannot decode also have one.
 */
static const struct {
    const char *name;
    const struct tp_codec *codec;
} codecs[TP_CODEC_COUNT] = {
    [TP_CODEC_RAW] = {"raw", NULL},
    [TP_CODEC_SAME] = {"same", NULL},
    [TP_CODEC_ZSTD] = {"zstd", &tp_codec_zstd},
    [TP_CODEC_SPLIT] = {"split", &tp_codec_split},
    [TP_CODEC_DELTA] = {"delta", &tp_codec_delta},
    [TP_CODEC_SPARSE] = {"sparse", &tp_codec_sparse},
    [TP_CODEC_QUANT] = {"quant", &tp_codec_quant},
};

const char *const tp_codec_choices[] = {"auto", "delta", "sparse", "split", "zstd", NULL};

const struct tp_codec *tp_codec_get(unsigned id)
{
    return id < TP_CODEC_COUNT ? codecs[id].codec : NULL;
}

unsigned tp_codec_limit(bool lossy)
{
    return lossy ? TP_CODEC_COUNT : TP_CODEC_QUANT;
}

const char *tp_codec_name(unsigned id)
{
    return id < TP_CODEC_COUNT ? codecs[id].name : "unknown";
}

const struct tp_codec *tp_codec_find(const char *name)
{
    for (unsigned id = 0; id < TP_CODEC_COUNT; id++)
        if (codecs[id].codec && codecs[id].codec->encode && !strcmp(codecs[id].name, name))
            return codecs[id].codec;
    return NULL;
}

const struct tp_codec *tp_codec_general(void)
{
    return codecs[TP_CODEC_ZSTD].codec;
}
