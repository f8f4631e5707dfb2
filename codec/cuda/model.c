/* SPDX-License-Identifier: MIT */
/* Making the flat form of a tensor's tables, which warps read. */
#include <config.h>

#include "codec/cuda/model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec/delta/model.h"

#include "codec/split/tables.h"

_Static_assert(WARP_CONTEXTS == TP_DELTA_CONTEXTS && WARP_RANS_ONE == TP_RANS_ONE &&
                   WARP_RANS_LOW == TP_RANS_LOW && WARP_ESCAPE == TP_DELTA_ESCAPE &&
                   WARP_CARRY_BITS == TP_RANS_CARRY_BITS,
               "warps decode another format");
_Static_assert((int)WARP_CONST == (int)SPLIT_CONST && (int)WARP_RAW == (int)SPLIT_RAW &&
                   (int)WARP_RANS == (int)SPLIT_RANS && (int)WARP_OWN == (int)SPLIT_OWN,
               "warps decode another format");

static int flatten_delta(const struct tp_delta_tables *t, struct warp_model *model, uint32_t *slot)
{
    model->first = t->first;
    model->carries = t->carries;
    model->field_shift = t->kind->field_shift;
    model->field_mask = t->kind->field_mask;
    memcpy(model->table, t->table, sizeof model->table);
    memcpy(model->shift, t->shift, sizeof model->shift);
    memcpy(model->keep, t->keep, sizeof model->keep);
    for (unsigned i = 0; i < t->table_count; i++)
        memcpy(slot + i * TP_RANS_ONE, t->dec[i].slot, sizeof t->dec[i].slot);
    return t->table_count;
}

static int flatten_split(const struct tp_tables *t, struct warp_model *model, uint32_t *slot)
{
    model->is_split = 1;
    for (unsigned k = 0; k < 2; k++) {
        model->has_table[k] = t->plane[k].kind == SPLIT_RANS;
        memcpy(slot + k * TP_RANS_ONE, t->plane[k].dec.slot, sizeof t->plane[k].dec.slot);
    }
    return 2;
}

int tp_cuda_model_create(enum tp_codec_id codec, enum tp_dtype dtype, const uint8_t *blob,
                         size_t len, struct warp_model *model, size_t *slots, struct tp_error *err)
{
    const struct tp_codec *functions = tp_codec_get(codec);
    struct tp_tables *tables = NULL;
    uint32_t *slot;
    int rc;

    if ((codec != TP_CODEC_DELTA && codec != TP_CODEC_SPLIT) ||
        (dtype != TP_DTYPE_BF16 && dtype != TP_DTYPE_F16))
        return tp_fail(err, EOPNOTSUPP, "CUDA does not decode '%s' of %s", tp_codec_name(codec),
                       tp_dtype_name(dtype) ? tp_dtype_name(dtype) : "no dtype");
    rc = functions->tables_create(dtype, blob, len, &tables, err);
    if (rc)
        return rc;
    slot = calloc(TP_DELTA_CONTEXTS, TP_RANS_ONE * sizeof *slot);
    if (slot) {
        memset(model, 0, sizeof *model);
        rc = codec == TP_CODEC_SPLIT
                 ? flatten_split(tables, model, slot)
                 : flatten_delta((const struct tp_delta_tables *)tables, model, slot);
        model->slots = slot;
        *slots = (size_t)rc * TP_RANS_ONE;
    }
    functions->tables_destroy(tables);
    return slot ? 0 : tp_oom(err);
}
