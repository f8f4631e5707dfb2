/* SPDX-License-Identifier: MIT */
/* From what the user said of a base to an open pack: found, named, or packed first. */
#ifndef TP_STORE_CHOOSE_BASE_H
#define TP_STORE_CHOOSE_BASE_H

#include "store/ops.h"

/*
 * The base for the model at PATH; *OUT is NULL for none. Fills report->base, why and base_packed.
 */
int tp_choose_base(const char *path, const struct tp_compress_options *options,
                   struct tp_compress_report *report, struct tp_pack **out, struct tp_error *err);

#endif
