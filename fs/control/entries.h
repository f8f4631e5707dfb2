/* SPDX-License-Identifier: MIT */
/*
 * The entries of the control directory: a table for each of its directories. A new document is a
 * row in fs/control/entries.c and a function that writes it.
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

/* When the text of a document is made. */
enum tp_control_made {
    TP_MADE_AT_LOOKUP,
    TP_MADE_ONCE,   /* it does not change during the life of the daemon */
    TP_MADE_AT_OPEN /* it needs much work: its size is 0 until then */
};

struct tp_control_entry {
    const char *name; /* a pattern if there are several of a kind */
    mode_t mode;      /* type and permissions; OPTIONS determine those of the group */

    /*
     * A directory. It has the ENTRIES, up to one without a name, and one ITEM for each name that
     * NTH returns or FIND accepts. LIST, if set, lists it.
     */
    const struct tp_control_entry *entries, *item;
    const char *(*nth)(unsigned i);
    int (*find)(const char *name, struct tp_control_id *out);
    int (*list)(struct tp_control *control, const struct tp_control_id *dir,
                struct tp_listing *listing);

    /* A document: append its content to TEXT. */
    int (*write)(struct tp_control *control, const struct tp_control_id *id, struct tp_text *text,
                 struct tp_error *err);
    enum tp_control_made made;

    /* A document that accepts commands: execute COMMAND. */
    int (*accept)(struct tp_control *control, const struct tp_control_id *id,
                  struct tp_control_command *command);

    /*
     * Sets size and times in ST. Without it they are those of TEXT (NULL: not made yet) and of the
     * start of the daemon.
     */
    int (*attr)(struct tp_control *control, const struct tp_control_id *id,
                const struct tp_text *text, struct stat *st);

    /*
     * A file that is not a document, or whose reads need more than its text. PAGES: the kernel may
     * cache what it has read. STREAM: reads ignore positions.
     */
    int (*open)(struct tp_control *control, struct tp_control_handle *handle);
    int (*read)(fuse_req_t req, struct tp_control *control, struct tp_control_handle *handle,
                size_t size, off_t off);
    bool pages, stream;

    /* With the lock held: whether there is something new to read. NULL: always ready. */
    bool (*has_news)(const struct tp_control *control, const struct tp_control_handle *handle);
};

/* Identifies what a node represents. */
struct tp_control_id {
    const struct tp_control_entry *entry;
    unsigned which; /* number among the ITEMs */
    char name[256]; /* the model or job; "" if none */
};

/* The control directory itself. */
extern const struct tp_control_entry tp_control_top;

/* Find NAME in a directory. -ENOENT. Does not check whether the job or model exists. */
int tp_control_find(const struct tp_control_id *dir, const char *name, struct tp_control_id *out);
/* List a directory. */
int tp_control_list(struct tp_control *control, const struct tp_control_id *dir,
                    struct tp_listing *listing);
/* The job that was submitted last. -ENOENT: none. */
int tp_control_last_job(struct tp_control *control, char id[TP_JOB_ID_MAX]);
bool tp_control_is_same(const struct tp_control_id *a, const struct tp_control_id *b);
/* The inode number. */
uint64_t tp_control_ino(const struct tp_control_id *id);

#endif
