/* SPDX-License-Identifier: MIT */
/*
 * Writing lossy packs: a model with quantized matrices, which shows a directory of bf16 weights.
 *
 * The pack shows the files of the original that are not weights, and one file model.safetensors
 * with the tensors in the order in which they are put, in bf16. The numbers of a quantized tensor
 * are those of its matrix, rounded. Tensors that are kept have the dtype and the bytes of the
 * original. They stand before the others, those with the widest elements first, so that all are
 * aligned; those with elements of a byte or less stand behind the others. The file is written as a
 * stream, in memory of a few MiB beside what is put. The original is only read.
 */
#ifndef TP_STORE_LOSSY_H
#define TP_STORE_LOSSY_H

#include "codec/quant/quant.h"
#include "store/model.h"
#include "store/write/writer.h"

/* The attribute of the model directory that says what a lossy pack is: a JSON object. */
#define TP_LOSSY_ATTRIBUTE "user.tenpak.lossy"

struct tp_lossy_tensor {
    const char *name;
    unsigned rank;
    const uint64_t *shape; /* as the file shows it */
    bool quantized;
    bool transposed; /* of a quantized one: the file shows the matrix by columns */
    /* Of the original: it is not put but copied, with its name and shape. NULL: it is put. */
    const struct tp_model_tensor *kept;
};

struct tp_lossy;

/*
 * Begin the pack OUT of N tensors, which are copied. ORIGINAL is used until tp_lossy_finish.
 * THREADS: 0, one for each CPU. -EEXIST: OUT exists.
 */
int tp_lossy_create(struct tp_model *original, const char *out,
                    const struct tp_lossy_tensor *tensors, size_t n, unsigned threads,
                    struct tp_lossy **w, struct tp_error *err);
/*
 * Complete the pack, when all tensors are there: sync it and give it its name. -EBUSY: the original
 * has changed. REPORT may be NULL.
 */
int tp_lossy_finish(struct tp_lossy *w, struct tp_pack_report *report, struct tp_error *err);
/* Removes what is not finished. NULL is allowed. */
void tp_lossy_destroy(struct tp_lossy *w);

/* --- lossy_put.c --- */

/*
 * Put the next tensor, which is quantized. Its shape has as many elements as M, and M's columns are
 * the last dimension (TRANSPOSED: M's rows are). After an error the writer is of no further use.
 */
int tp_lossy_put_matrix(struct tp_lossy *w, const struct tp_quant_matrix *m, struct tp_error *err);
/* Put the next tensor, which is not quantized: all of its N elements. */
int tp_lossy_put_values(struct tp_lossy *w, const uint16_t *bf16, uint64_t n, struct tp_error *err);

/* --- publish.c --- */

/*
 * Make OUT, a copy of the lossy pack PACK whose attribute TP_LOSSY_ATTRIBUTE is the text JSON:
 * verified, synced and renamed. -EEXIST: OUT exists.
 */
int tp_lossy_publish(const char *pack, const char *out, const char *json, struct tp_error *err);

#endif
