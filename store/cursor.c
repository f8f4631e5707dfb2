/* SPDX-License-Identifier: MIT */
/* Distinguishing sequential from random readers, even if requests arrive out of order. */
#include <config.h>

#include "store/cursor.h"

#include <stddef.h>
#include <string.h>

void tp_cursors_init(struct tp_cursors *cursors, uint64_t window_min, uint64_t window_max)
{
    memset(cursors, 0, sizeof *cursors);
    cursors->window_min = window_min;
    cursors->window_max = window_max < window_min ? window_min : window_max;
}

/*
 * How far from a cursor a read may begin and still belong to it: the requests of one reader that
 * are in flight.
 */
static uint64_t cursor_reach(const struct tp_cursor *cursor, uint64_t len)
{
    return cursor->window > 2 * len ? cursor->window : 2 * len;
}

static struct tp_cursor *nearest_cursor(struct tp_cursors *cursors, uint64_t off, uint64_t len)
{
    struct tp_cursor *best = NULL;
    uint64_t best_distance = UINT64_MAX;

    for (int i = 0; i < TP_CURSORS; i++) {
        struct tp_cursor *cursor = &cursors->list[i];
        uint64_t distance = off > cursor->pos ? off - cursor->pos : cursor->pos - off;
        if (cursor->used && distance <= cursor_reach(cursor, len) && distance < best_distance) {
            best = cursor;
            best_distance = distance;
        }
    }
    return best;
}

static struct tp_cursor *replace_oldest(struct tp_cursors *cursors, uint64_t end)
{
    struct tp_cursor *oldest = &cursors->list[0];

    for (int i = 1; i < TP_CURSORS; i++)
        if (cursors->list[i].used < oldest->used)
            oldest = &cursors->list[i];
    *oldest = (struct tp_cursor){.pos = end, .prefetched = end};
    return oldest;
}

void tp_cursors_note(struct tp_cursors *cursors, uint64_t off, uint64_t end, uint64_t *from,
                     uint64_t *to)
{
    struct tp_cursor *cursor = nearest_cursor(cursors, off, end - off);

    *from = *to = end;
    cursors->clock++;
    if (!cursor) {
        replace_oldest(cursors, end)->used = cursors->clock;
        return;
    }
    cursor->used = cursors->clock;
    if (end <= cursor->pos)
        return; /* a late request, or a second read of the same bytes */
    cursor->pos = end;
    if (cursor->prefetched < end)
        cursor->prefetched = end;
    /* Request large steps: when half of the window is used. */
    if (cursor->window && cursor->prefetched - end > cursor->window / 2)
        return;
    cursor->window = cursor->window ? 2 * cursor->window : cursors->window_min;
    if (cursor->window > cursors->window_max)
        cursor->window = cursors->window_max;
    *from = cursor->prefetched;
    *to = end + cursor->window;
    cursor->prefetched = *to;
}

void tp_cursors_retract(struct tp_cursors *cursors, uint64_t to, uint64_t reached)
{
    for (int i = 0; i < TP_CURSORS; i++)
        if (cursors->list[i].used && cursors->list[i].prefetched == to)
            cursors->list[i].prefetched = reached;
}
