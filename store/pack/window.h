/* SPDX-License-Identifier: MIT */
/*
 * The bytes of a file that predict a run of elements, and the blocks that contain a range of a
 * file.
 */
#ifndef TP_STORE_WINDOW_H
#define TP_STORE_WINDOW_H

#include "store/pack/index.h"
#include "store/pack/work.h"

/* A run of elements: LEN bytes of dtype DTYPE, at OFF in the segment that FROM predicts. */
struct tp_window {
    const struct tp_predictor *from; /* resolved against the base */
    enum tp_dtype dtype;
    uint64_t off;
    uint32_t len;
};
/* The bytes that predict a window: LEN bytes at OFF in FROM's file. */
struct tp_window_bytes {
    uint64_t off;
    size_t len;
};
struct tp_window_bytes tp_window_bytes(const struct tp_window *window);

/* A range of a file that is read block by block. */
struct tp_range {
    const struct tp_index *index;
    const struct tp_segment *segment; /* contains the next byte */
    uint64_t off;
    size_t len, done;
    bool whole;  /* the range is exactly one chunk */
    bool single; /* the range is the start of one chunk, or one chunk */
    uint8_t
        *joined; /* buffer in which blocks are joined, owned by the caller; not used if SINGLE */
    const uint8_t *data; /* all bytes, when DONE equals LEN */
};
struct tp_part {
    uint32_t chunk;
    uint32_t off, len; /* within the chunk */
};

/* OFF is in SEGMENT or in a later segment of the same file. */
void tp_range_init(struct tp_range *range, const struct tp_index *index, uint32_t segment,
                   uint64_t off, size_t len);
/* Get the next part to add. False: DATA is complete. */
bool tp_range_next(struct tp_range *range, struct tp_part *part);
/* Add BLOCK, the content of PART's chunk. True: DATA points into BLOCK, which must stay valid. */
bool tp_range_add(struct tp_range *range, const struct tp_part *part, const uint8_t *block);

/*
 * The bytes besides the coded ones that a chunk of X is decoded from: RANGE, in BASE or in X
 * itself. RANGE is not set if there are none, or if BASE is NULL. CHUNK must not refer to another
 * chunk of X.
 */
enum tp_whence tp_chunk_range(const struct tp_index *x, const struct tp_index *base, uint32_t chunk,
                              struct tp_range *range);
/*
 * Convert *DATA, LEN bytes of dtype FROM, to dtype TO. If the dtypes differ, *DATA then points into
 * memory of WORK.
 */
int tp_work_convert(struct tp_work *work, enum tp_dtype from, enum tp_dtype to, size_t len,
                    const uint8_t **data, struct tp_error *err);

#endif
