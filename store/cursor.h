/* SPDX-License-Identifier: MIT */
/*
 * Where a file is read: several positions at once, since loaders share one descriptor and
 * the kernel sends the requests of one reader out of order. Says up to where it is worth
 * prefetching for each. Pure bookkeeping.
 */
#ifndef TP_STORE_CURSOR_H
#define TP_STORE_CURSOR_H

#include <stdint.h>

#define TP_CURSORS 8

struct tp_cursor {
    uint64_t pos;        /* end of the furthest read so far */
    uint64_t prefetched; /* prefetching was asked for up to here */
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
 * Note a read of [OFF, END). When it goes on where another one ended, more or less, [*FROM, *TO)
 * is what to decode next; otherwise the range is empty.
 */
void tp_cursors_note(struct tp_cursors *cursors, uint64_t off, uint64_t end, uint64_t *from,
                     uint64_t *to);

/*
 * Of what was to be decoded up to TO, what lies behind REACHED was not asked for: the next read
 * asks for it again.
 */
void tp_cursors_retract(struct tp_cursors *cursors, uint64_t to, uint64_t reached);

#endif
