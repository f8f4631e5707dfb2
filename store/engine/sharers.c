/* SPDX-License-Identifier: MIT */
/* Which packs are now read over which base, for a few bases. */
#include <config.h>

#include "store/engine/sharers.h"

#include <string.h>

/*
 * A reader is expected to return within this many requests for chunks of a base: the pool decodes
 * dozens for one reader before it comes to the next reader's.
 */
enum { LATELY = 256 };

/* The id is a SHA-256, so its first bytes identify it well enough. */
static uint64_t id_prefix(const uint8_t *id)
{
    uint64_t out;

    memcpy(&out, id, sizeof out);
    return out;
}

/*
 * The entry of the base; if it has none, it replaces the one that was not requested for the longest
 * time.
 */
static struct tp_sharers_base *entry_of(struct tp_sharers *sharers, uint64_t base)
{
    struct tp_sharers_base *oldest = &sharers->bases[0];

    for (unsigned i = 0; i < TP_SHARERS_BASES; i++) {
        struct tp_sharers_base *entry = &sharers->bases[i];
        if (entry->clock && entry->base == base)
            return entry;
        if (entry->touched < oldest->touched)
            oldest = entry;
    }
    *oldest = (struct tp_sharers_base){.base = base};
    return oldest;
}

static bool is_active(const struct tp_sharers_base *entry, unsigned i)
{
    return entry->asked[i] && entry->clock - entry->asked[i] < LATELY;
}

/*
 * The place of READER, a new one if it was not active recently; TP_SHARERS_READERS: none is left.
 */
static unsigned place_of(const struct tp_sharers_base *entry, uint64_t reader)
{
    unsigned oldest = 0;

    for (unsigned i = 0; i < TP_SHARERS_READERS; i++) {
        if (entry->asked[i] && entry->readers[i] == reader)
            return i;
        if (entry->asked[i] < entry->asked[oldest])
            oldest = i;
    }
    return is_active(entry, oldest) ? TP_SHARERS_READERS : oldest;
}

struct tp_sharing tp_sharers_note(struct tp_sharers *sharers, const uint8_t *base,
                                  const uint8_t *reader)
{
    struct tp_sharers_base *entry = entry_of(sharers, id_prefix(base));
    struct tp_sharing sharing = {0};

    entry->clock++;
    entry->touched = ++sharers->clock;
    unsigned place = place_of(entry, id_prefix(reader));
    if (place < TP_SHARERS_READERS) {
        entry->readers[place] = id_prefix(reader);
        entry->asked[place] = entry->clock;
        sharing.self = (uint8_t)(1u << place);
    }
    for (unsigned i = 0; i < TP_SHARERS_READERS; i++)
        if (is_active(entry, i))
            sharing.active |= (uint8_t)(1u << i);
    sharing.alone = sharing.active == sharing.self;
    return sharing;
}
