/* SPDX-License-Identifier: MIT */
/*
 * The positions at which a file is read, and how far prefetching is useful for each. There are
 * several positions because loaders share one descriptor, and because the kernel sends the requests
 * of one reader out of order. This module only computes.
 */
#ifndef TP_STORE_CURSOR_H
#define TP_STORE_CURSOR_H

#include <stdint.h>

#define TP_CURSORS 8

struct tp_cursor {
    uint64_t pos;        /* end of the furthest read */
    uint64_t prefetched; /* prefetching was requested up to here */
    uint64_t window;     /* bytes to prefetch; 0: not known to be sequential */
    uint64_t used;
};

struct tp_cursors {
    struct tp_cursor list[TP_CURSORS];
    uint64_t clock;
    uint64_t window_min, window_max;
};

void tp_cursors_init(struct tp_cursors *cursors, uint64_t window_min, uint64_t window_max);

/*
 * Note a read of [OFF, END). If it continues, roughly, where another read ended, [*FROM, *TO) is
 * the range to prefetch. Otherwise the range is empty.
 */
void tp_cursors_note(struct tp_cursors *cursors, uint64_t off, uint64_t end, uint64_t *from,
                     uint64_t *to);

/*
 * Of a range to prefetch up to TO, only the part up to REACHED was requested. The next read
 * requests the rest.
 */
void tp_cursors_retract(struct tp_cursors *cursors, uint64_t to, uint64_t reached);

#endif
