/* SPDX-License-Identifier: MIT */
/*
 * The bytes of a file that predict a run of elements, and the blocks that a range of a file lies
 * in.
 */
#ifndef TP_STORE_WINDOW_H
#define TP_STORE_WINDOW_H

#include "store/pack/index.h"
#include "store/pack/work.h"

/* LEN bytes of elements of DTYPE, OFF bytes into what FROM predicts. */
struct tp_window {
    const struct tp_predictor *from; /* resolved */
    enum tp_dtype dtype;
    uint64_t off;
    uint32_t len;
};
/* The bytes that predict the window's: OFF in FROM's file. */
struct tp_window_bytes {
    uint64_t off;
    size_t len;
};
struct tp_window_bytes tp_window_bytes(const struct tp_window *window);

/* A range of a file, taken from one block after the other. */
struct tp_range {
    const struct tp_index *index;
    const struct tp_segment *segment; /* that the next byte lies in */
    uint64_t off;
    size_t len, done;
    bool whole;          /* it is one chunk */
    bool single;         /* it is the beginning of one chunk, or all of it */
    uint8_t *joined;     /* where the blocks are put together; the caller's, unused where SINGLE */
    const uint8_t *data; /* all bytes, once DONE is LEN */
};
struct tp_part {
    uint32_t chunk;
    uint32_t off, len; /* within it */
};

/* OFF lies in SEGMENT, or in one after it of the same file. */
void tp_range_init(struct tp_range *range, const struct tp_index *index, uint32_t segment,
                   uint64_t off, size_t len);
/* The next part to add; false: DATA is complete. */
bool tp_range_next(struct tp_range *range, struct tp_part *part);
/* BLOCK is the content of PART's chunk. True: DATA points into BLOCK, which has to stay. */
bool tp_range_add(struct tp_range *range, const struct tp_part *part, const uint8_t *block);

/*
 * What a chunk of X is decoded from beside its own coded bytes: RANGE, of BASE or of X itself. It
 * is unset where there is nothing of that kind, or BASE is NULL. CHUNK does not refer to another of
 * X.
 */
enum tp_whence tp_chunk_range(const struct tp_index *x, const struct tp_index *base, uint32_t chunk,
                              struct tp_range *range);
/* Convert *DATA, LEN bytes of dtype FROM, to TO: in memory of WORK, where that is another one. */
int tp_work_convert(struct tp_work *work, enum tp_dtype from, enum tp_dtype to, size_t len,
                    const uint8_t **data, struct tp_error *err);

#endif
