/* SPDX-License-Identifier: MIT */
/* Stamps of files differ if any part differs, and clocks advance. */
#include <config.h>

#include "base/stamp.h"

#include "base/clock.h"
#include "tests/tap.h"

int main(void)
{
    struct stat st = {.st_dev = 1,
                      .st_ino = 2,
                      .st_size = 3,
                      .st_mtim = {4, 5},
                      .st_ctim = {6, 7},
                      .st_atim = {8, 9}},
                other = st;
    struct tp_stamp stamp = tp_stamp_of(&st);

    other.st_atim.tv_sec++;
    ok(tp_stamp_equal(&stamp, &(struct tp_stamp){1, 2, 3, {4, 5}, {6, 7}}),
       "a stamp has its parts");
    other.st_mode = 0600;
    ok(tp_stamp_equal(&stamp, &(struct tp_stamp){other.st_dev, other.st_ino, other.st_size,
                                                 other.st_mtim, other.st_ctim}),
       "the time of access and the mode are none of them");

    const struct tp_stamp others[] = {{0, 2, 3, {4, 5}, {6, 7}}, {1, 0, 3, {4, 5}, {6, 7}},
                                      {1, 2, 0, {4, 5}, {6, 7}}, {1, 2, 3, {0, 5}, {6, 7}},
                                      {1, 2, 3, {4, 0}, {6, 7}}, {1, 2, 3, {4, 5}, {0, 7}},
                                      {1, 2, 3, {4, 5}, {6, 0}}};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        ok(!tp_stamp_equal(&stamp, &others[i]), "part %zu makes another stamp", i);

    other = st;
    other.st_size = 0;
    ok(tp_same_file(&st, &other), "a file is the same whatever its size");
    other.st_ino++;
    ok(!tp_same_file(&st, &other), "another inode is another file");
    other = st;
    other.st_dev++;
    ok(!tp_same_file(&st, &other), "another device, too");

    double began = tp_seconds();
    uint64_t nsec = tp_clock_nsec(CLOCK_MONOTONIC);
    ok(tp_clock_nsec(CLOCK_MONOTONIC) >= nsec && tp_seconds() >= began, "clocks go forward");
    ok(tp_seconds() * 1e9 >= (double)nsec * 0.999999, "both count the same time");
    return tap_done();
}
