/* SPDX-License-Identifier: MIT */
/* Buffers of a decoding thread, allocated on first use. */
#include <config.h>

#include "store/pack/work.h"

#include <stdlib.h>

#include "codec/scratch.h"

/* Twice the largest chunk: bytes of a base with wider elements. */
#define BUFFER_BYTES (2 * TP_CHUNK_MAX + TP_SLACK)

struct tp_work *tp_work_create(const atomic_int *cancel)
{
    struct tp_work *work = calloc(1, sizeof *work);

    if (!work)
        return NULL;
    work->cancel = cancel;
    work->scratch = tp_scratch_create();
    if (!work->scratch) {
        free(work);
        return NULL;
    }
    return work;
}

void tp_work_destroy(struct tp_work *work)
{
    if (!work)
        return;
    for (unsigned i = 0; i < TP_WORK_LEVELS; i++) {
        free(work->levels[i].block);
        free(work->levels[i].joined);
    }
    free(work->stored);
    free(work->converted);
    tp_scratch_destroy(work->scratch);
    free(work);
}

int tp_work_allocate(uint8_t **buffer, struct tp_error *err)
{
    if (!*buffer)
        *buffer = malloc(BUFFER_BYTES);
    return *buffer ? 0 : tp_oom(err);
}
