/* SPDX-License-Identifier: MIT */
/* The table of codecs is whole, and its wire ids and names are what packs hold. */
#include <config.h>

#include "codec/codec.h"
#include "tests/tap.h"

static const char *const names[TP_CODEC_COUNT] = {"raw",   "same",  "zstd",
                                                  "split", "delta", "sparse"};

static void whole(const struct tp_codec *codec, unsigned id)
{
    ok(codec->id == id, "%s: its own id", names[id]);
    is_str(codec->name, names[id], "its name");
    ok(codec->fits && codec->encode && codec->decode, "%s: functions", names[id]);
    ok(codec->needs_tables ==
           (codec->stats_create && codec->stats_add && codec->stats_finish &&
            codec->stats_destroy && codec->tables_create && codec->tables_destroy),
       "%s: functions of tables where it has some", names[id]);
    ok((tp_codec_tables_size((enum tp_codec_id)id) > 0) == codec->needs_tables,
       "%s: size of tables", names[id]);
    ok(!codec->fits(TP_DTYPE_COUNT), "%s: no dtype that is none", names[id]);
    ok(codec->fits(TP_DTYPE_BF16), "%s: bf16", names[id]);
}

int main(void)
{
    for (unsigned id = 0; id < TP_CODEC_COUNT; id++) {
        is_str(tp_codec_name(id), names[id], "name by number");
        if (id == TP_CODEC_RAW || id == TP_CODEC_SAME)
            ok(!tp_codec_get(id), "%s is the store's own", names[id]);
        else if (ok(tp_codec_get(id), "%s is there", names[id]))
            whole(tp_codec_get(id), id);
    }
    ok(!tp_codec_get(TP_CODEC_COUNT) && !tp_codec_get(255) && !tp_codec_get(~0u),
       "no codec by other numbers");
    is_str(tp_codec_name(TP_CODEC_COUNT), "unknown", "name of no codec");
    is_u64(tp_codec_tables_size(TP_CODEC_RAW), 0, "raw has no tables");
    return tap_done();
}
