/* SPDX-License-Identifier: MIT */
/* The table of codecs is complete, and its wire ids and names are those in packs. */
#include <config.h>

#include "codec/codec.h"
#include "tests/tap.h"

static const char *const names[TP_CODEC_COUNT] = {"raw",   "same",   "zstd", "split",
                                                  "delta", "sparse", "quant"};

static void whole(const struct tp_codec *codec, unsigned id)
{
    ok(codec->id == id, "%s: its own id", names[id]);
    is_str(codec->name, names[id], "its name");
    ok(codec->fits && codec->decode, "%s: functions", names[id]);
    ok(!codec->encode == (id == TP_CODEC_QUANT), "%s: has an encoder, or is lossy", names[id]);
    ok(codec->needs_tables == (codec->tables_create && codec->tables_destroy),
       "%s: functions of tables where it has some", names[id]);
    ok((codec->needs_tables && codec->encode) ==
           (codec->stats_create && codec->stats_add && codec->stats_finish && codec->stats_destroy),
       "%s: functions of training where its tables are trained", names[id]);
    ok((codec->tables_bytes > 0) == codec->needs_tables, "%s: size of tables", names[id]);
    ok(codec->needs_tables || (!codec->needs_base && codec->fits(TP_DTYPE_BYTES)),
       "%s: trained, or for bytes of any kind", names[id]);
    ok(!codec->worth || codec->needs_base, "%s: what is worth it shows in the base", names[id]);
    ok(tp_codec_find(names[id]) == (codec->encode ? codec : NULL), "%s: by name", names[id]);
    ok(!codec->fits(TP_DTYPE_COUNT), "%s: no dtype that is none", names[id]);
    ok(codec->fits(TP_DTYPE_BF16), "%s: bf16", names[id]);
}

/* Every codec with an encoder can be chosen, and nothing else but all of them. */
static void choices(void)
{
    size_t n = 0, codecs = 0;
    bool good = true;

    is_str(tp_codec_choices[0], "auto", "the first choice is all of them");
    while (tp_codec_choices[n]) {
        good &= n == 0 || tp_codec_find(tp_codec_choices[n]);
        good &= n < 2 || strcmp(tp_codec_choices[n - 1], tp_codec_choices[n]) < 0;
        n++;
    }
    ok(good, "the others are codecs, in the order of the alphabet");
    for (unsigned id = 0; id < TP_CODEC_COUNT; id++)
        codecs += tp_codec_get(id) && tp_codec_get(id)->encode;
    is_u64(n, codecs + 1, "and all codecs with an encoder");
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
    ok(!tp_codec_find("raw") && !tp_codec_find("same") && !tp_codec_find("auto") &&
           !tp_codec_find(""),
       "no codec by other names");
    ok(!tp_codec_general()->needs_tables && tp_codec_general()->fits(TP_DTYPE_BYTES),
       "the general codec takes bytes of any kind");
    choices();
    return tap_done();
}
