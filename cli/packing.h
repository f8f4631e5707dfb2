/* SPDX-License-Identifier: MIT */
/*
 * What `pack` and `delta compress` share: the codec's name checked, and the report of what was
 * packed.
 */
#ifndef TP_CLI_PACKING_H
#define TP_CLI_PACKING_H

#include "base/json.h"
#include "cli/options.h"
#include "cli/place.h"
#include "store/ops.h"


/* As tp_place_find, and the place can be packed: -EINVAL for a pack and for what holds no model. A
 * model that is a pack already while a run before died between pack and removal counts as a model.
 */
int tp_packing_place(const char *arg, struct tp_place *out, struct tp_error *err);

void tp_packing_json(struct tp_json_writer *json, const char *model, bool removed,
                     const struct tp_compress_report *report);
void tp_packing_print(const char *name, const struct tp_compress_report *report);

#endif
