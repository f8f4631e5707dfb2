/* SPDX-License-Identifier: MIT */
/* Teams of threads: each part is done once, and a team ends at any moment. */
#include <config.h>

#include <stdatomic.h>
#include <string.h>

#include "optimizer/runtime/team.h"
#include "tests/tap.h"

struct count {
    atomic_uint parts[1000];
};

static void count_part(void *arg, size_t part, void *scratch)
{
    struct count *c = arg;

    memset(scratch, 1, 64);
    atomic_fetch_add(&c->parts[part], 1);
}

enum { LARGE = 200000 };

struct large {
    uint8_t seen[LARGE];
};

static void mark_part(void *arg, size_t part, void *scratch)
{
    struct large *l = arg;

    (void)scratch;
    l->seen[part]++;
}

int main(void)
{
    static struct count c;
    struct tp_error err = {0};
    struct tp_team *team;
    bool right = true;

    if (tp_team_create(5, &team, &err) < 0)
        bail_out("%s", err.message);
    for (unsigned run = 0; run < 200; run++)
        tp_team_run(team, run % 2 ? 1000 : 3, count_part, &c);
    for (size_t i = 0; i < 1000; i++)
        right &= c.parts[i] == (i < 3 ? 200 : 100);
    ok(right, "a team does each part once");
    static struct large large;
    tp_team_run(team, LARGE, mark_part, &large);
    for (size_t i = 0; i < LARGE; i++)
        right &= large.seen[i] == 1;
    ok(right, "more parts than a ticket can count");
    ok(tp_team_threads(team) == 5, "number of threads");
    tp_team_destroy(team);
    tp_team_destroy(NULL);

    /* Threads are between any two steps when the team ends. */
    unsigned ended = 0;
    for (unsigned run = 0; run < 2000; run++) {
        if (tp_team_create(3, &team, &err) < 0)
            bail_out("%s", err.message);
        tp_team_run(team, run % 4, count_part, &c);
        tp_team_destroy(team);
        ended++;
    }
    ok(ended == 2000, "a team ends while its threads look for parts");
    return tap_done();
}
