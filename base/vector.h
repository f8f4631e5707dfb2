/* SPDX-License-Identifier: MIT */
/*
 * Growing arrays. The owner has three members: a pointer to the items, how many there are, and for
 * how many there is space (size_t); all are zero at first.
 *
 *     if (TP_VECTOR_GROW(list->items, list->n, list->cap) < 0)
 *         return -ENOMEM;
 *     list->items[list->n++] = item;
 */
#ifndef TP_BASE_VECTOR_H
#define TP_BASE_VECTOR_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * Make space for one more than N items of SIZE bytes; ARRAY is the address of the pointer to the
 * items. -ENOMEM: all is as it was.
 */
static inline int tp_vector_grow(void *array, size_t n, size_t *cap, size_t size)
{
    size_t wanted = *cap ? 2 * *cap : 16;
    void *items;

    if (n < *cap)
        return 0;
    /* Sanitizers abort in an allocation of an impossible size. */
    if (*cap > SIZE_MAX / 2 / size)
        return -ENOMEM;
    memcpy(&items, array, sizeof items);
    items = realloc(items, wanted * size);
    if (!items)
        return -ENOMEM;
    memcpy(array, &items, sizeof items);
    *cap = wanted;
    return 0;
}

#define TP_VECTOR_GROW(items, n, cap) tp_vector_grow(&(items), n, &(cap), sizeof *(items))

#endif
