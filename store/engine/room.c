/* SPDX-License-Identifier: MIT */
/* Room for blocks, reserved before the first one is taken, so that nobody holds some and waits
 * for others. */
#include <config.h>

#include "store/engine/engine_impl.h"

size_t tp_room_for(const struct tp_pack *pack, unsigned chunks)
{
    size_t units = chunks;

    for (; pack; pack = tp_pack_base(pack))
        units += (tp_pack_index(pack)->siblings ? 1 : 0) + (tp_pack_base(pack) ? 1 : 0);
    return units;
}

static size_t available(const struct tp_engine *engine)
{
    /* There may be less than before. */
    return engine->cache.most > engine->room.reserved ? engine->cache.most - engine->room.reserved
                                                      : 0;
}

bool tp_room_try(struct tp_engine *engine, size_t units)
{
    if (engine->room.first || available(engine) < units)
        return false;
    engine->room.reserved += units;
    return true;
}

void tp_room_take(struct tp_engine *engine, size_t units)
{
    struct tp_room *room = &engine->room;
    struct tp_room_waiter waiter = {.units = units};

    if (tp_room_try(engine, units))
        return;
    pthread_cond_init(&waiter.cond, NULL);
    if (room->last)
        room->last->next = &waiter;
    else
        room->first = &waiter;
    room->last = &waiter;
    while (!waiter.granted)
        pthread_cond_wait(&waiter.cond, &engine->lock);
    pthread_cond_destroy(&waiter.cond);
}

/* Wake those who come first, as long as there is room for them. */
static void grant(struct tp_engine *engine)
{
    struct tp_room *room = &engine->room;

    while (room->first && available(engine) >= room->first->units) {
        struct tp_room_waiter *waiter = room->first;
        room->first = waiter->next;
        if (!room->first)
            room->last = NULL;
        room->reserved += waiter->units;
        waiter->granted = true;
        pthread_cond_signal(&waiter->cond);
    }
}

void tp_room_give(struct tp_engine *engine, size_t units)
{
    engine->room.reserved -= units;
    grant(engine);
}
