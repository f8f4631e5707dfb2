/* SPDX-License-Identifier: MIT */
/*
 * The entries of the control directory, one table for each of its directories. A new document is a
 * row in fs/control/entries.c, and a function that writes it.
 */
#ifndef TP_FS_CONTROL_ENTRIES_H
#define TP_FS_CONTROL_ENTRIES_H

#include "base/buffer.h"
#include "base/error.h"
#include "control/jobs/jobs.h"
#include "fs/control/control.h"

struct tp_control_command;
struct tp_control_handle;
struct tp_control_id;
struct tp_text;

/* When a document is written. */
enum tp_control_made {
    TP_MADE_AT_LOOKUP,
    TP_MADE_ONCE,   /* it says the same as long as the daemon lives */
    TP_MADE_AT_OPEN /* it takes much work: its size is 0 before */
};

struct tp_control_entry {
    const char *name; /* a pattern where there are several of a kind */
    mode_t mode;      /* its type and permissions; the group has those of OPTIONS alone */

    /* A directory: ENTRIES, up to one without a name, then one ITEM for each name that NTH gives;
     * or, where it has FIND, what that finds. LIST, where it is there, lists it in place of these.
     */
    const struct tp_control_entry *entries, *item;
    const char *(*nth)(unsigned i);
    int (*find)(const char *name, struct tp_control_id *out);
    int (*list)(struct tp_control *control, const struct tp_control_id *dir,
                struct tp_listing *listing);

    /* A document: append what it says to TEXT. */
    int (*write)(struct tp_control *control, const struct tp_control_id *id, struct tp_text *text,
                 struct tp_error *err);
    enum tp_control_made made;

    /* A document that accepts commands: do what COMMAND says. */
    int (*accept)(struct tp_control *control, const struct tp_control_id *id,
                  struct tp_control_command *command);

    /* Size and times, where they are not those of TEXT (NULL: it is not made), or the start of the
     * daemon. */
    int (*attr)(struct tp_control *control, const struct tp_control_id *id,
                const struct tp_text *text, struct stat *st);

    /* A file that is no document, or that READ does not answer out of its text alone. PAGES: the
     * kernel may keep what it has read. STREAM: there are no positions in it. */
    int (*open)(struct tp_control *control, struct tp_control_handle *handle);
    int (*read)(fuse_req_t req, struct tp_control *control, struct tp_control_handle *handle,
                size_t size, off_t off);
    bool pages, stream;

    /* Under the lock: whether there is something new to read. NULL: always ready. */
    bool (*has_news)(const struct tp_control *control, const struct tp_control_handle *handle);
};

/* What a node stands for. */
struct tp_control_id {
    const struct tp_control_entry *entry;
    unsigned which; /* of those of ITEM */
    char name[256]; /* the model, the job; "" */
};

/* The control directory itself. */
extern const struct tp_control_entry tp_control_top;

/* What NAME in a directory is; -ENOENT. Does not look whether the job or the model exists. */
int tp_control_find(const struct tp_control_id *dir, const char *name, struct tp_control_id *out);
/* What a directory holds. */
int tp_control_list(struct tp_control *control, const struct tp_control_id *dir,
                    struct tp_listing *listing);
/* The job that was submitted last; -ENOENT. */
int tp_control_last_job(struct tp_control *control, char id[TP_JOB_ID_MAX]);
bool tp_control_is_same(const struct tp_control_id *a, const struct tp_control_id *b);
/* The number that users see. */
uint64_t tp_control_ino(const struct tp_control_id *id);

#endif
