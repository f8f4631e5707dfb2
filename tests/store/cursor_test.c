/* SPDX-License-Identifier: MIT */
/*
 * Which reads are prefetched: sequential readers in and out of order, several at once, and random
 * ones.
 */
#include <config.h>

#include "store/cursor.h"
#include "tests/tap.h"

enum { KIB = 1 << 10, MIB = 1 << 20 };

static uint64_t note(struct tp_cursors *cursors, uint64_t off, uint64_t len, uint64_t *until)
{
    uint64_t from, to;
    tp_cursors_note(cursors, off, off + len, &from, &to);
    if (to > from && to > *until)
        *until = to;
    return to - from;
}

static void test_sequential(void)
{
    struct tp_cursors cursors;
    uint64_t asked = 0, until = 0;
    bool ahead = true;

    tp_cursors_init(&cursors, 512 * KIB, 16 * MIB);
    is_u64(note(&cursors, 0, 128 * KIB, &until), 0, "the first read requests nothing");
    for (uint64_t off = 128 * KIB; off < 64 * MIB; off += 128 * KIB) {
        asked += note(&cursors, off, 128 * KIB, &until);
        ahead = ahead && until >= off + 128 * KIB + 256 * KIB;
    }
    ok(ahead, "a sequential reader is always led by half a window at least");
    ok(until > 64 * MIB + 7 * MIB, "the window has grown");
    ok(until <= 64 * MIB + 16 * MIB, "to its limit");
    ok(asked <= until, "nothing is requested twice");
}

static void test_out_of_order(void)
{
    struct tp_cursors cursors;
    uint64_t asked = 0, until = 0;

    /* Requests of the kernel's read-ahead as threads of the mount take them up. */
    tp_cursors_init(&cursors, 512 * KIB, 16 * MIB);
    for (uint64_t off = 0; off < 64; off += 4) {
        static const unsigned order[4] = {1, 0, 3, 2};
        for (unsigned i = 0; i < 4; i++)
            asked += note(&cursors, (off + order[i]) * MIB, MIB, &until);
    }
    ok(until >= 64 * MIB, "requests in another order are one reader's");
    ok(asked <= until, "and nothing is requested twice");
}

static void test_short(void)
{
    struct tp_cursors cursors;
    uint64_t from, to, asked = 0;
    bool gap = false;

    /* Bytes without space are requested again, so none are left out. */
    tp_cursors_init(&cursors, 512 * KIB, 16 * MIB);
    for (uint64_t off = 0; off < 64 * MIB; off += MIB) {
        tp_cursors_note(&cursors, off, off + MIB, &from, &to);
        if (from == to)
            continue;
        gap = gap || (asked > off + MIB && from != asked);
        asked = from + (to - from) / 3;
        tp_cursors_retract(&cursors, to, asked);
    }
    ok(!gap && asked > 64 * MIB, "the part that was not requested is requested next");
    tp_cursors_retract(&cursors, 1, 0);
    tp_cursors_note(&cursors, 64 * MIB, 65 * MIB, &from, &to);
    ok(from >= 64 * MIB, "a place that was not requested changes nothing");
}

static void test_random(uint64_t seed)
{
    struct tp_cursors cursors;
    uint64_t asked = 0, until = 0;

    tp_cursors_init(&cursors, 512 * KIB, 16 * MIB);
    for (int i = 0; i < 10000; i++)
        asked +=
            note(&cursors, tap_random(&seed) % (2048 * (uint64_t)MIB / 4096) * 4096, 4096, &until);
    diag("10000 random reads of 4 KiB in 2 GiB requested %.1f MiB", (double)asked / MIB);
    ok(asked < 16 * MIB, "random reads ask for next to nothing");
}

static void test_several(void)
{
    struct tp_cursors cursors;
    uint64_t until[6] = {0};
    bool ahead = true;

    tp_cursors_init(&cursors, 512 * KIB, 4 * MIB);
    for (uint64_t step = 0; step < 100; step++)
        for (unsigned reader = 0; reader < 6; reader++) {
            uint64_t off = reader * 1000 * (uint64_t)MIB + step * 128 * KIB;
            note(&cursors, off, 128 * KIB, &until[reader]);
            ahead = ahead && (step == 0 || until[reader] > off + 128 * KIB);
        }
    ok(ahead, "six readers of one file are each led");
}

int main(void)
{
    uint64_t seed = tap_seed();

    test_sequential();
    test_out_of_order();
    test_short();
    test_random(seed);
    test_several();
    return tap_done();
}
