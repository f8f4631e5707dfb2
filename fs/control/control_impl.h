/* SPDX-License-Identifier: MIT */
/*
 * Between the parts of the control directory: its state, nodes, open files, and what each part
 * offers.
 */
#ifndef TP_FS_CONTROL_IMPL_H
#define TP_FS_CONTROL_IMPL_H

#include "base/buffer.h"
#include "control/documents/documents.h"
#include "control/jobs/jobs.h"
#include "fs/control/control.h"

enum tp_control_kind {
    TP_CONTROL_TOP,
    TP_CONTROL_MODELS,
    TP_CONTROL_SCHEMAS,
    TP_CONTROL_KNOBS,
    TP_CONTROL_JOBS,
    TP_CONTROL_JOB, /* directories up to here */
    TP_CONTROL_LAST,
    TP_CONTROL_README, /* documents from here on */
    TP_CONTROL_STATUS,
    TP_CONTROL_MODEL_ROWS,
    TP_CONTROL_MODEL,
    TP_CONTROL_METRICS,
    TP_CONTROL_DASHBOARD,
    TP_CONTROL_CANDIDATES,
    TP_CONTROL_HARDWARE,
    TP_CONTROL_SCHEMA,
    TP_CONTROL_ERRORS,
    TP_CONTROL_JOB_FILE,
    TP_CONTROL_JOB_STATUS,
    TP_CONTROL_VERB,   /* written to, too */
    TP_CONTROL_KNOB,   /* written to, too */
    TP_CONTROL_EVENTS, /* no documents from here on */
    TP_CONTROL_JOB_LOG,
    TP_CONTROL_JOB_WAIT
};

static inline bool tp_control_is_dir(enum tp_control_kind kind)
{
    return kind <= TP_CONTROL_JOB;
}

static inline bool tp_control_is_document(enum tp_control_kind kind)
{
    return kind >= TP_CONTROL_README && kind <= TP_CONTROL_KNOB;
}

/* A document that is made when it is opened, since that can be much work, and is not kept longer
 * than it is open: looked up or asked for its attributes before, its size is 0. */
static inline bool tp_control_is_made_late(enum tp_control_kind kind)
{
    return kind == TP_CONTROL_MODEL;
}

static inline bool tp_control_is_written(enum tp_control_kind kind)
{
    return kind == TP_CONTROL_VERB || kind == TP_CONTROL_KNOB;
}

/* Who a node is. */
struct tp_control_id {
    enum tp_control_kind kind;
    unsigned which; /* the verb, the knob, the schema, the file of a job */
    char name[256]; /* the model, the job; "" */
};

/* A document's bytes, shared and never changed. What has it of error_log reads on from there. */
struct tp_text {
    struct tp_buffer bytes;
    struct timespec made;
    uint64_t knows; /* the latest event that it may know of */
    uint64_t ends;  /* of error_log: how many bytes there had ever been */
    _Atomic unsigned refs;
};

struct tp_control_node {
    struct tp_node node;
    struct tp_control_id id;
    struct tp_text *text; /* of a document; NULL: one that is made late is not open */
    unsigned open_n;      /* handles that read TEXT */
    bool opened;          /* ever: its text is not replaced by a look-up any more */
    bool stale;           /* poll told its reader of news */
    struct tp_control_node *next, **at;
};

enum tp_handle_kind {
    TP_HANDLE_TEXT,
    TP_HANDLE_WRITE,
    TP_HANDLE_EVENTS,
    TP_HANDLE_LOG,
    TP_HANDLE_WAIT
};

/* An open file. */
struct tp_control_handle {
    enum tp_handle_kind kind;
    struct tp_control_node *node;
    int fd;                 /* LOG */
    struct tp_buffer reply; /* WRITE: what is to be read; under the lock */
    size_t reply_at;
    bool wrote, helped;
    uint64_t seen;         /* EVENTS: the latest that was read */
    struct tp_buffer line; /* EVENTS: what did not fit into a read */
    size_t line_at;
    struct fuse_pollhandle *poll; /* to be woken; NULL: nobody polls */
    bool ended;                   /* WAIT: the job has */
    struct tp_control_handle *next, **at;
};

/* A read of jobs/ID/wait that is not answered yet. */
struct tp_parked {
    fuse_req_t req;
    char job[TP_JOB_ID_MAX];
    size_t size;
    off_t off;
    struct tp_parked *next;
};

#define TP_EVENTS_MAX 4096u
#define TP_ERRORS_MAX 256u
#define TP_CONTROL_BUCKETS 256u

struct tp_event {
    char job[TP_JOB_ID_MAX]; /* "": not about one */
    bool news;               /* the status of the directory has changed by it */
    char *line;
    size_t len;
    uint64_t at; /* bytes of all lines before it */
};

struct tp_control {
    struct tp_fs *fs;
    struct tp_inventory *inventory; /* with JOBS under USE */
    struct tp_jobs *jobs;           /* NULL: detached */
    pthread_rwlock_t use;
    bool visible;
    uid_t uid;
    gid_t gid;
    mode_t group; /* bits of the mode that the group has of the owner's */
    struct timespec started;

    pthread_mutex_t lock; /* of all that follows; nothing is called under it that may wait */
    pthread_cond_t wake;  /* of the thread */
    pthread_cond_t idle;  /* ASIDE is 0 */
    pthread_t thread;
    bool running, stop, detached, woken, news_seen;
    unsigned aside; /* threads of tp_control_aside */
    uint64_t generation;
    struct timespec changed; /* the jobs */
    struct tp_control_node *nodes[TP_CONTROL_BUCKETS];
    struct tp_control_handle *handles;
    struct tp_parked *parked;

    struct tp_event events[TP_EVENTS_MAX]; /* at their number modulo their count */
    uint64_t event_last;                   /* number of the latest; 0: none */
    uint64_t event_bytes;                  /* of all there ever were */
    struct timespec event_time;
    struct tp_event errors[TP_ERRORS_MAX];
    uint64_t error_last;
    uint64_t error_bytes;
    struct timespec error_time;
};

/* --- Life (control.c) --- */

/*
 * Between these two JOBS and INVENTORY are there; false: they are not any more, and nothing is to
 * be left.
 */
bool tp_control_enter(struct tp_control *control);
void tp_control_leave(struct tp_control *control);
/* Under the lock: let the thread look at who waits. */
void tp_control_wake(struct tp_control *control);
/* Have ANSWER called with ARG by a thread of its own: for what may wait, which the threads that
 * serve reads do not. The control directory stays until it returns. -EAGAIN: there are TP_ASIDE_MAX
 * such threads. */
int tp_control_aside(struct tp_control *control,
                     void (*answer)(struct tp_control *control, void *arg), void *arg);
#define TP_ASIDE_MAX 64u
void tp_control_live(struct tp_fs *fs, struct tp_live *live, struct tp_buffer *status);

/* --- Names (control_names.c) --- */

/* What NAME in a directory is; -ENOENT. Does not look whether the job, the model are there. */
int tp_control_resolve(const struct tp_control_id *parent, const char *name,
                       struct tp_control_id *out);
/* The I-th name of a directory whose names are always the same; NULL: no more. */
const char *tp_control_fixed(enum tp_control_kind kind, size_t i, struct tp_control_id *out);
const char *tp_control_job_file(unsigned which);
uint64_t tp_control_ino(const struct tp_control_id *id);
int tp_control_snapshot(struct tp_fs *fs, struct tp_node *dir, struct tp_listing *listing);

/* --- Nodes (control_node.c) --- */

/*
 * A handle more or less reads the text of a document; KEPT: it is what its pages in the kernel, if
 * any, have.
 */
int tp_control_hold_text(struct tp_control *control, struct tp_control_node *node, bool *kept);
void tp_control_drop_text(struct tp_control *control, struct tp_control_node *node);

/* --- Open files (handles.c, write.c) --- */

int tp_control_open(fuse_req_t req, struct tp_node *node, struct fuse_file_info *fi);
void tp_control_release(fuse_req_t req, struct tp_node *node, struct fuse_file_info *fi);
int tp_control_read(fuse_req_t req, struct tp_node *node, size_t size, off_t off,
                    struct fuse_file_info *fi);
int tp_control_write(fuse_req_t req, struct tp_node *node, const char *data, size_t size, off_t off,
                     struct fuse_file_info *fi);

/* --- Contents (control_text.c) --- */

int tp_control_text(struct tp_control *control, const struct tp_control_id *id,
                    struct tp_text **out);
struct tp_text *tp_text_ref(struct tp_text *text);
void tp_text_unref(struct tp_text *text);
/*
 * The text of a document's node, made anew where its reader was told of news; NULL: it is made
 * late, and not open.
 */
struct tp_text *tp_control_node_text(struct tp_control *control, struct tp_control_node *node);
/* A descriptor of a job's log, or negative errno. */
int tp_control_open_log(struct tp_control *control, const char *job);

/* --- Events and errors (control_events.c) --- */

/* For tp_jobs_options. */
void tp_control_job_changed(void *arg, const struct tp_job_status *status, bool forgotten);
/* Note something else, of this KIND: what NAME is now. */
void tp_control_event(struct tp_control *control, const char *kind, const char *name,
                      const char *value);
/* Under the lock: whether there is an event later than SINCE, about JOB unless it is NULL. */
bool tp_control_has_news(const struct tp_control *control, uint64_t since, const char *job);
/*
 * Events after *SEEN, whole lines up to ROOM bytes (at least one), and *SEEN is the last of them.
 */
int tp_control_events(struct tp_control *control, uint64_t *seen, size_t room,
                      struct tp_buffer *out);
/* All that are kept, and where that ends. */
int tp_control_errors(struct tp_control *control, struct tp_text *text);
/* What was refused since TEXT was made: SIZE bytes from its OFF-th on, or fewer where there are no
 * more. Lines that are not kept any more are a line of blanks. */
int tp_control_errors_since(struct tp_control *control, const struct tp_text *text, uint64_t off,
                            size_t size, struct tp_buffer *out);
/* How far error_log goes for who has TEXT of it, and when it grew last. */
uint64_t tp_control_errors_size(struct tp_control *control, const struct tp_text *text,
                                struct timespec *changed);
/* Note a command that was refused with CODE (positive). */
void tp_control_refused(struct tp_control *control, const struct tp_asker *asker, const char *file,
                        const char *text, size_t len, int code, const struct tp_request_spot *spot,
                        const struct tp_error *err);
void tp_control_events_clear(struct tp_control *control);

/* --- Waiting (control_wait.c) --- */

int tp_control_wait_read(fuse_req_t req, struct tp_control_handle *handle, size_t size, off_t off);
int tp_control_poll(fuse_req_t req, struct tp_node *node, struct fuse_file_info *fi,
                    struct fuse_pollhandle *poll);
/* The thread's turn: answer those whose time has come, wake those who poll. */
void tp_control_serve_waiting(struct tp_control *control);
/* Let go everybody who waits. */
void tp_control_end_waiting(struct tp_control *control, int code);

/* --- Knobs (control_knobs.c) --- */

const char *tp_knob_name(unsigned which);
int tp_knob_get(struct tp_control *control, unsigned which, struct tp_buffer *out);
int tp_knob_set(struct tp_control *control, unsigned which, const char *text, size_t len,
                struct tp_error *err);

#endif
