/* SPDX-License-Identifier: MIT */
/*
 * Write a file of a model to standard output, or list the model's tensors, straight from a
 * directory of packs:
 *
 *     cc cat.c $(pkg-config --cflags --libs tenpak) -o cat
 *     ./cat /models my-finetune config.json
 *     ./cat /models my-finetune
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <tenpak.h>

static int list_tensors(struct tp_lib_model *model)
{
    struct tp_lib_tensor t = {.struct_size = sizeof t};
    for (size_t i = 0; tp_lib_tensor_get(model, i, &t) == 0; i++) {
        printf("%s\t%s\t[", t.name, t.dtype);
        for (unsigned d = 0; d < t.rank; d++)
            printf("%s%llu", d ? ", " : "", (unsigned long long)t.shape[d]);
        printf("]\t%llu\n", (unsigned long long)t.size);
    }
    return 0;
}

static int copy_file(struct tp_lib_model *model, const char *path)
{
    static char buf[1 << 20];
    struct tp_lib_error error;
    uint64_t offset = 0;
    ssize_t file = tp_lib_file_find(model, path), n;
    if (file < 0) {
        fprintf(stderr, "no such file: %s\n", path);
        return 1;
    }
    while ((n = tp_lib_pread(model, (size_t)file, buf, sizeof buf, offset, &error)) > 0) {
        if (fwrite(buf, 1, (size_t)n, stdout) != (size_t)n) {
            perror("cannot write");
            return 1;
        }
        offset += (uint64_t)n;
    }
    if (n < 0)
        fprintf(stderr, "%s\n", error.message);
    return n < 0;
}

int main(int argc, char **argv)
{
    struct tp_lib_error error;
    struct tp_lib_model *model = NULL;
    struct tp_lib *lib = NULL;
    int rc = 1;
    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: %s DIR MODEL [FILE]\n", argv[0]);
        return 2;
    }
    if (tp_lib_interface() < TP_LIB_INTERFACE) {
        fprintf(stderr, "libtenpak %s is too old\n", tp_lib_version());
        return 1;
    }
    if (tp_lib_open(argv[1], NULL, &lib, &error) < 0 ||
        tp_lib_model_open(lib, argv[2], &model, &error) < 0)
        fprintf(stderr, "%s\n", error.message);
    else
        rc = argc == 4 ? copy_file(model, argv[3]) : list_tensors(model);
    tp_lib_model_close(model);
    tp_lib_close(lib);
    return rc || fflush(stdout) ? 1 : 0;
}
