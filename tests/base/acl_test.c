/* SPDX-License-Identifier: MIT */
/* Access lists: which bytes are valid lists, and which mode may replace a list. */
#include <config.h>

#include "base/acl.h"

#include "base/le.h"
#include "tests/tap.h"

struct entry {
    uint16_t tag, permissions;
    uint32_t who;
};

enum { U = 1, NAMED = 2, G = 4, NAMED_GROUP = 8, MASK = 16, O = 32 };

static uint8_t list[256];

/* N entries as the kernel writes them. */
static size_t write_list(const struct entry *e, size_t n)
{
    tp_put_le32(list, 2);
    for (size_t i = 0; i < n; i++) {
        tp_put_le16(list + 4 + 8 * i, e[i].tag);
        tp_put_le16(list + 6 + 8 * i, e[i].permissions);
        tp_put_le32(list + 8 + 8 * i, e[i].who);
    }
    return 4 + 8 * n;
}

#define LIST(...)                                                                                  \
    write_list((const struct entry[]){__VA_ARGS__},                                                \
               sizeof((const struct entry[]){__VA_ARGS__}) / sizeof(struct entry))

static void test_validity(void)
{
    size_t len = LIST({U, 6, 0}, {G, 4, 0}, {O, 0, 0});

    ok(tp_acl_is_valid(list, len), "owner, group and others are a list");
    ok(!tp_acl_is_valid(list, len - 1), "a cut one is none");
    ok(!tp_acl_is_valid(list, 3) && !tp_acl_is_valid(NULL, 0), "nor is nothing");
    list[0] = 3;
    ok(!tp_acl_is_valid(list, len), "nor one of another version");
    ok(!tp_acl_is_valid(list, LIST({U, 6, 0}, {O, 0, 0})), "nor one without a group");
    ok(!tp_acl_is_valid(list, LIST({U, 6, 0}, {NAMED, 4, 7}, {G, 4, 0}, {O, 0, 0})),
       "a name needs a mask");
    ok(tp_acl_is_valid(list, LIST({U, 6, 0}, {NAMED, 4, 7}, {G, 4, 0}, {MASK, 4, 0}, {O, 0, 0})),
       "and has one here");
    ok(!tp_acl_is_valid(list, LIST({G, 4, 0}, {U, 6, 0}, {O, 0, 0})), "the order is fixed");
    ok(!tp_acl_is_valid(list, LIST({U, 6, 0}, {G, 4, 0}, {G, 4, 0}, {O, 0, 0})),
       "there is one group that owns");
    ok(!tp_acl_is_valid(list, LIST({U, 8, 0}, {G, 4, 0}, {O, 0, 0})), "permissions are three bits");
    ok(!tp_acl_is_valid(list, LIST({U, 6, 0}, {G, 4, 0}, {O, 0, 0}, {64, 0, 0})),
       "kinds are known");
}

static void test_tightening(void)
{
    is_int(tp_acl_tighten(0644, list, LIST({U, 6, 0}, {G, 4, 0}, {O, 4, 0})), 0644,
           "a list that says what the mode says");
    is_int(tp_acl_tighten(0640, list,
                          LIST({U, 6, 0}, {NAMED, 4, 7}, {G, 0, 0}, {MASK, 4, 0}, {O, 0, 0})),
           0600, "the mask shows as the group's bits, and the group has none");
    is_int(tp_acl_tighten(0644, list,
                          LIST({U, 6, 0}, {NAMED, 0, 7}, {G, 4, 0}, {MASK, 4, 0}, {O, 4, 0})),
           0600, "a user that is denied by name may be in the group or among the others");
    is_int(tp_acl_tighten(0604, list,
                          LIST({U, 6, 0}, {NAMED_GROUP, 4, 7}, {G, 4, 0}, {MASK, 0, 0}, {O, 4, 0})),
           0600, "a mask denies named users");
    is_int(tp_acl_tighten(0604, list, LIST({U, 6, 0}, {G, 4, 0}, {MASK, 0, 0}, {O, 4, 0})), 0604,
           "and not the others, if none of them is named");
    is_int(tp_acl_tighten(01777, list, 5), 01700, "what is no list leaves the owner's bits");
}

int main(void)
{
    test_validity();
    test_tightening();
    return tap_done();
}
