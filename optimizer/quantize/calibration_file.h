/* SPDX-License-Identifier: MIT */
/*
 * The statistics of a calibration, kept for later passes: DIR/.tenpak/calibration/KEY, where KEY is
 * a hash of the model's files, the tokens of the text and their windows, the version of tenpak, the
 * revision of its methods and the instruction set.
 *
 *   header of 128 bytes
 *     u32 magic, u32 layers, u32 width of each of the four inputs, 32 bytes KEY, xxh3 of these
 *   for each layer a record with the diagonal, the mean and the maximum of each input
 *   for each layer a record with the upper triangle of the Hessian of each input, row by row
 *
 * where a record is a header of 128 bytes, and fp32 numbers
 *
 *     u32 magic of its kind, u32 number of the layer
 *     for each input u64 vectors and u64 hash of its numbers
 *     xxh3 of these
 *
 * Places follow from the shapes of the model; nothing that the file says is used as a size.
 * Hessians take about as many bytes as the weights: they are kept if they take at most twice as
 * many, and at most half of what is free on the disk. The vectors are small.
 *
 * The file grows with the layers; a pass that was killed leaves what it had computed. Nothing is
 * synced: hashes find what a power failure damages. A process that writes has the file for itself,
 * and others that read do not disturb each other. A process that cannot open the file, or finds it
 * in use, computes everything. The file is removed when it was not used for some time.
 */
#ifndef TP_OPTIMIZER_QUANTIZE_CALIBRATION_FILE_H
#define TP_OPTIMIZER_QUANTIZE_CALIBRATION_FILE_H

#include "base/hash.h"
#include "optimizer/evaluate/passage.h"
#include "optimizer/quantize/calibration.h"

/* Where statistics are kept, and those of which model. */
struct tp_calibration_place {
    const char *dir;      /* the store; NULL: nowhere */
    const uint8_t *model; /* by tp_subject_hash */
};

/* What statistics of RT's inputs over TEXT are known by. -ENOMEM. */
int tp_calibration_key(const struct tp_calibration_place *place, const struct tp_runtime *rt,
                       const struct tp_passage *text, uint8_t key[TP_SHA256_LEN]);
/* The path of the file NAME beside it, for free(); NULL: there can be none. */
char *tp_calibration_path(const struct tp_calibration_place *place, const char *name);

enum tp_calibration_part { TP_CALIBRATION_VECTORS, TP_CALIBRATION_HESSIANS, TP_CALIBRATION_PARTS };

struct tp_calibration_file {
    char *path;
    int fd;                        /* -1: nothing is kept */
    bool writable, keeps_hessians; /* whether records are written, and those of Hessians */
    uint32_t layers;
    uint64_t begin[TP_CALIBRATION_PARTS], record[TP_CALIBRATION_PARTS]; /* bytes */
    uint32_t n[TP_CALIBRATION_PARTS];                                   /* records, from layer 0 */
    void *buffer;
};

/*
 * Open or create the file for the statistics that RT computes over TEXT. -EBADMSG: it was damaged
 * or is no such file; the damaged part counts as absent, and is written again. Otherwise 0, also if
 * there can be no file. OUT is for tp_calibration_file_close in any case.
 */
int tp_calibration_file_open(const struct tp_calibration_place *place, struct tp_runtime *rt,
                             const struct tp_passage *text, struct tp_calibration_file *out,
                             struct tp_error *err);
void tp_calibration_file_close(struct tp_calibration_file *file);

/* The layers, from the first on, whose statistics are kept, with Hessians or without. */
uint32_t tp_calibration_file_count(const struct tp_calibration_file *file, bool hessians);
/*
 * Read what C has of LAYER, which is one of them; the bits are those that were computed. -EBADMSG:
 * they are damaged; this layer and those after it do not count any more.
 */
int tp_calibration_file_load(struct tp_calibration_file *file, uint32_t layer,
                             struct tp_calibration *c, struct tp_error *err);
/*
 * Keep what C has of LAYER, if it is the next one. If that fails, as on a full disk, the file is
 * emptied and written no more.
 */
void tp_calibration_file_store(struct tp_calibration_file *file, uint32_t layer,
                               const struct tp_calibration *c);

/* Remove the files in DIR that were not used for DAYS days, and that no process uses. */
void tp_calibration_sweep(const char *dir, unsigned days);

#endif
