/* SPDX-License-Identifier: MIT */
/*
 * The packed matrices of a lossy pack, as JSON: for each its name, its weights, its bytes, and the
 * SHA-256 of each section of its first part. For bench/quant, which compares them with what another
 * tool makes.
 */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "codec/quant/quant.h"
#include "store/model.h"

static int print_sections(const struct tp_quant_matrix *m, struct tp_error *err)
{
    static const char *const names[] = {"codes", "scales", "zeros", "table"};
    const char *separator = "";

    for (unsigned i = 0; i < TP_QUANT_SECTIONS; i++) {
        const struct tp_quant_section *s = &m->layout.section[0][i];
        uint8_t digest[TP_SHA256_LEN];

        if (s->bytes == 0)
            continue;
        if (tp_sha256(m->data + s->offset, s->bytes, digest) < 0)
            return tp_oom(err);
        printf("%s\"%s\": \"", separator, names[i]);
        for (unsigned k = 0; k < TP_SHA256_LEN; k++)
            printf("%02x", digest[k]);
        printf("\"");
        separator = ", ";
    }
    return 0;
}

static int print_matrix(struct tp_model *model, const struct tp_model_tensor *t, uint64_t bytes,
                        struct tp_error *err)
{
    tp_autofree uint8_t *data = malloc(bytes);
    struct tp_quant_matrix m;
    int rc;

    if (!data)
        return tp_oom(err);
    rc = tp_model_read_packed(model, t, data, bytes, err);
    if (rc == 0)
        rc = tp_quant_open(data, bytes, &m, err);
    if (rc < 0)
        return rc;
    printf("{\"name\": \"%s\", \"weights\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"sections\": {",
           t->name, (uint64_t)m.spec.rows * m.spec.cols, bytes);
    rc = print_sections(&m, err);
    printf("}}");
    return rc;
}

int main(int argc, char **argv)
{
    struct tp_error err = {0};
    struct tp_model *model;
    const char *separator = "[";
    int rc;

    if (argc != 2) {
        fputs("usage: packed_sections PACK\n", stderr);
        return 2;
    }
    rc = tp_model_open(argv[1], NULL, &model, &err);
    if (rc < 0) {
        fprintf(stderr, "packed_sections: %s\n", err.message);
        return 1;
    }
    for (size_t i = 0; rc == 0 && i < model->tensor_n; i++) {
        uint64_t bytes;
        bool transposed;

        if (!tp_model_packed(model, &model->tensors[i], &bytes, &transposed))
            continue;
        printf("%s\n", separator);
        rc = print_matrix(model, &model->tensors[i], bytes, &err);
        separator = ",";
    }
    puts(*separator == '[' ? "[]" : "\n]");
    if (rc < 0)
        fprintf(stderr, "packed_sections: %s\n", err.message);
    tp_model_close(model);
    return rc < 0;
}
