/* SPDX-License-Identifier: MIT */
/* What a search is known by. */
#include <config.h>

#include "optimizer/search/key.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cpu.h"
#include "base/isa.h"
#include "optimizer/quantize/recipe.h"

int tp_search_key(const struct tp_search_inputs *in, uint8_t out[TP_SHA256_LEN],
                  struct tp_error *err)
{
    const uint8_t *const hashes[] = {in->model, in->text->sha256, in->calibration->sha256};
    char hex[3][TP_SHA256_HEX];
    char *text;
    int rc;

    for (unsigned i = 0; i < 3; i++)
        tp_hex(hashes[i], TP_SHA256_LEN, hex[i]);
    text = tp_format("tenpak " PACKAGE_VERSION " %d\n%s\n%s %" PRIu64 " %" PRIu32 "\n%s %" PRIu64
                     " %" PRIu32 "\n%d %" PRIu32 " %u %s %u\n",
                     TP_QUANTIZE_REVISION, hex[0], hex[1], in->text->windows.n,
                     in->text->windows.context, hex[2], in->calibration->windows.n,
                     in->calibration->windows.context, in->embeddings_int8, in->batch, in->threads,
                     tp_isa_name(tp_isa_get()), tp_cpu_count());
    rc = text ? tp_sha256(text, strlen(text), out) : -ENOMEM;
    free(text);
    return rc < 0 ? tp_oom(err) : 0;
}
