/* SPDX-License-Identifier: MIT */
/* Growing arrays keep their items, and are unchanged when out of memory. */
#include <config.h>

#include "base/vector.h"

#include <stdint.h>

#include "tests/tap.h"

int main(void)
{
    struct item {
        uint64_t number;
        char text[24];
    } *items = NULL;
    size_t n = 0, cap = 0, grown = 0;
    bool kept = true;

    for (uint64_t i = 0; i < 5000; i++) {
        size_t before = cap;

        if (TP_VECTOR_GROW(items, n, cap) < 0)
            return 99;
        grown += cap != before;
        items[n++] = (struct item){.number = i};
    }
    for (uint64_t i = 0; i < n; i++)
        kept = kept && items[i].number == i;
    ok(kept, "all items are there, in their order");
    ok(cap >= n && cap < 4 * n, "space is of the order of the items");
    ok(grown < 20, "it grew %zu times for 5000 items", grown);

    void *old = items;
    volatile size_t full = SIZE_MAX / sizeof *items; /* unknown to the compiler */
    size_t most = full;
    is_int(tp_vector_grow(&items, most, &most, sizeof *items), -ENOMEM, "no more than memory has");
    ok(items == old && most == full, "and all is as it was");
    free(items);
    return tap_done();
}
