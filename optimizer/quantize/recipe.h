/* SPDX-License-Identifier: MIT */
/*
 * Recipes: how the matrices of a model are quantized. One table has the candidates of a search and
 * the targets of 'tenpak pack'.
 *
 * A recipe is a method (codec/quant/method.h) and the groups that attention and MLP get. A group
 * that does not divide the width of a matrix becomes the largest divisor of the width below it.
 */
#ifndef TP_OPTIMIZER_QUANTIZE_RECIPE_H
#define TP_OPTIMIZER_QUANTIZE_RECIPE_H

#include "codec/quant/method.h"
#include "optimizer/runtime/runtime.h"

/*
 * Raised when a recipe gives other bytes for the same layer: what was kept of another revision is
 * not used. tests/optimizer/revision_test.c has the bytes of this one.
 */
#define TP_QUANTIZE_REVISION 2

struct tp_recipe {
    const char *name;
    const char *summary;                 /* one line, for users */
    const char *method;                  /* a row of tp_quant_methods; NULL: all weights in bf16 */
    uint32_t attention_group, mlp_group; /* wanted; 0: the method's */
    unsigned bits;                       /* 0: the method's */
    bool target;                         /* not a candidate of a search */
    bool of_method;                      /* not of the table: a method with its own groups */
};

/* Candidates, then targets; ends with a NULL name. */
extern const struct tp_recipe tp_recipes[];
/* NULL: there is no such candidate, or with TARGET no such target. */
const struct tp_recipe *tp_recipe_find(const char *name, bool target);

/* Recipe I of those that a search can have: the candidates, then methods. False: no more. */
bool tp_recipe_get(size_t i, struct tp_recipe *out);

/*
 * A target, a candidate, or METHOD[:GROUP[:BITS]] with one group for all matrices. The names in OUT
 * are static. -ENOENT: there is no such recipe; -EDOM: the method has no groups; -EINVAL: no group,
 * or no number of bits.
 */
int tp_recipe_parse(const char *text, struct tp_recipe *out, struct tp_error *err);

/* The method; NULL: all weights in bf16. */
const struct tp_quant_method *tp_recipe_method(const struct tp_recipe *recipe);
/* What it needs to know of the inputs: enum tp_quant_needs; 0: no calibration. */
unsigned tp_recipe_needs(const struct tp_recipe *recipe);
/*
 * Whether a calibration of TOKENS is too short for methods that need NEEDS: LINE then says why. It
 * has SIZE bytes, and is empty otherwise.
 */
bool tp_calibration_is_short(const struct tp_arch *arch, unsigned needs, uint64_t tokens,
                             char *line, size_t size);
/* The settings for the matrix of ROLE. The recipe has a method. */
struct tp_quant_settings tp_recipe_settings(const struct tp_recipe *recipe, enum tp_role role);

/*
 * The group of ROLE that is wanted, and the one that is used. False: the family has no such matrix,
 * or the method has no groups.
 */
bool tp_recipe_group(const struct tp_recipe *recipe, const struct tp_arch *arch, enum tp_role role,
                     uint32_t *wanted, uint32_t *used);

/*
 * The packed bytes of all matrices of one layer, as the pack will have them: of layers without
 * columns that bnb_int8 keeps, which calibration decides. Without a method those of bf16.
 */
int tp_recipe_layer_bytes(const struct tp_recipe *recipe, const struct tp_arch *arch, uint64_t *out,
                          struct tp_error *err);

/* Elements of everything in a layer that is not a matrix. */
uint64_t tp_layer_vectors(const struct tp_arch *arch);

/*
 * The bytes of a model: of its quantized matrices, exact as above, and of everything else in bf16,
 * before the exact codecs of the pack. With EMBEDDINGS_INT8 embedding and head count among the
 * matrices.
 */
struct tp_recipe_bytes {
    uint64_t matrices, others;
};
int tp_recipe_bytes(const struct tp_recipe *recipe, const struct tp_runtime *rt,
                    bool embeddings_int8, struct tp_recipe_bytes *out, struct tp_error *err);

#endif
