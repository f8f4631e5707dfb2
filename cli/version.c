/* SPDX-License-Identifier: MIT */
/* tenpak version: what this program is, reads and writes, and runs on. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>
#include <openssl/crypto.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <utf8proc.h>
#include <xxhash.h>
#include <zstd.h>

#include "base/isa.h"
#include "cli/options.h"
#include "cli/report.h"
#include "codec/codec.h"
#include "store/pack/index.h"

static bool is_built(unsigned id)
{
    return id == TP_CODEC_RAW || id == TP_CODEC_SAME || tp_codec_get(id);
}

/* "10.42 2022-12-11": the number of it. */
static void pcre2_number(char out[64])
{
    out[0] = 0;
    pcre2_config(PCRE2_CONFIG_VERSION, out);
    out[strcspn(out, " ")] = 0;
}

static int print_json(void)
{
    char pcre2[64];
    struct tp_document doc;

    pcre2_number(pcre2);
    tp_document_begin(&doc);
    tp_json_put_string(&doc.json, "version", TENPAK_VERSION);
    tp_json_put_u64(&doc.json, "format_read_max", TP_PACK_VERSION);
    tp_json_put_u64(&doc.json, "format_written", TP_PACK_VERSION);
    tp_json_begin_array(&doc.json, "codecs");
    for (unsigned id = 0; id < TP_CODEC_COUNT; id++) {
        tp_json_begin_object(&doc.json, NULL);
        tp_json_put_u64(&doc.json, "id", id);
        tp_json_put_string(&doc.json, "name", tp_codec_name(id));
        tp_json_put_bool(&doc.json, "built", is_built(id));
        tp_json_end_object(&doc.json);
    }
    tp_json_end_array(&doc.json);
    tp_json_begin_object(&doc.json, "kernels");
    tp_json_put_string(&doc.json, "in_use", tp_isa_name(tp_isa_get()));
    tp_json_put_string(&doc.json, "best", tp_isa_name(tp_isa_best()));
    tp_json_end_object(&doc.json);
    tp_json_begin_object(&doc.json, "libraries");
    tp_json_put_string(&doc.json, "fuse", fuse_pkgversion());
    tp_json_put_string(&doc.json, "zstd", ZSTD_versionString());
    tp_json_put_stringf(&doc.json, "xxhash", "%u.%u.%u", XXH_versionNumber() / 10000,
                        XXH_versionNumber() / 100 % 100, XXH_versionNumber() % 100);
    tp_json_put_string(&doc.json, "crypto", OpenSSL_version(OPENSSL_VERSION));
    tp_json_put_string(&doc.json, "pcre2", pcre2);
    tp_json_put_string(&doc.json, "utf8proc", utf8proc_version());
    tp_json_end_object(&doc.json);
    return tp_document_end(&doc);
}

static int run_version(struct tp_options *o)
{
    char pcre2[64];

    if (tp_options_next(o) < 0)
        return o->exit;
    if (o->json)
        return print_json();
    printf("tenpak %s\nformat    %d\ncodecs   ", TENPAK_VERSION, TP_PACK_VERSION);
    for (unsigned id = 0; id < TP_CODEC_COUNT; id++)
        printf(" %s%s", tp_codec_name(id), is_built(id) ? "" : " (not built)");
    printf("\nkernels   %s (best of this CPU: %s)\n", tp_isa_name(tp_isa_get()),
           tp_isa_name(tp_isa_best()));
    pcre2_number(pcre2);
    printf("libraries fuse %s, zstd %s, xxhash %u.%u.%u, %s, pcre2 %s, utf8proc %s\n",
           fuse_pkgversion(), ZSTD_versionString(), XXH_versionNumber() / 10000,
           XXH_versionNumber() / 100 % 100, XXH_versionNumber() % 100,
           OpenSSL_version(OPENSSL_VERSION), pcre2, utf8proc_version());
    return tp_report_flush();
}

const struct tp_command tp_command_version = {
    .name = "version",
    .args = "[OPTION...]",
    .summary = "Show the version, the formats and codecs, and the libraries in use.",
    .examples = "  tenpak version\n"
                "  tenpak version --json | jq -r .kernels.in_use\n",
    .with = TP_WITH_JSON,
    .min_args = 0,
    .max_args = 0,
    .run = run_version,
};
