/* SPDX-License-Identifier: MIT */
/*
 * Space for blocks. It is reserved before the first block is taken, so that no thread holds blocks
 * and waits for others.
 */
#include <config.h>

#include "store/engine/engine_impl.h"

size_t tp_space_needed(const struct tp_pack *pack, unsigned chunks)
{
    size_t units = chunks;

    for (; pack; pack = tp_pack_base(pack))
        units += (tp_pack_index(pack)->siblings ? 1 : 0) + (tp_pack_base(pack) ? 1 : 0);
    return units;
}

static size_t available_space(const struct tp_engine *engine)
{
    /* The cache may have been made smaller. */
    return engine->cache.most > engine->space.reserved ? engine->cache.most - engine->space.reserved
                                                       : 0;
}

bool tp_space_try(struct tp_engine *engine, size_t units)
{
    if (engine->space.first || available_space(engine) < units)
        return false;
    engine->space.reserved += units;
    return true;
}

void tp_space_reserve(struct tp_engine *engine, size_t units)
{
    struct tp_space *space = &engine->space;
    struct tp_space_waiter waiter = {.units = units};

    if (tp_space_try(engine, units))
        return;
    pthread_cond_init(&waiter.cond, NULL);
    if (space->last)
        space->last->next = &waiter;
    else
        space->first = &waiter;
    space->last = &waiter;
    while (!waiter.granted)
        pthread_cond_wait(&waiter.cond, &engine->lock);
    pthread_cond_destroy(&waiter.cond);
}

/* Wake the first waiters, as long as there is space for them. */
static void grant_waiting(struct tp_engine *engine)
{
    struct tp_space *space = &engine->space;

    while (space->first && available_space(engine) >= space->first->units) {
        struct tp_space_waiter *waiter = space->first;
        space->first = waiter->next;
        if (!space->first)
            space->last = NULL;
        space->reserved += waiter->units;
        waiter->granted = true;
        pthread_cond_signal(&waiter->cond);
    }
}

void tp_space_release(struct tp_engine *engine, size_t units)
{
    engine->space.reserved -= units;
    grant_waiting(engine);
}
