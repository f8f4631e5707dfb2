/* SPDX-License-Identifier: MIT */
/* Nodes of the control directory: looked up, described, opened and read. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "fs/control/control_impl.h"
#include "fs/list.h"
#include "fs/plain/write.h"

bool tp_control_is_name(const struct tp_fs *fs, const char *name)
{
    return fs->control && strcmp(name, TP_CONTROL_NAME) == 0;
}

bool tp_control_is_visible(const struct tp_fs *fs)
{
    return fs->control && fs->control->visible;
}

/* --- Nodes ------------------------------------------------------------------------------------ */

static struct tp_control_node **bucket(struct tp_control *control, const struct tp_control_id *id)
{
    return &control->nodes[tp_control_ino(id) % TP_CONTROL_BUCKETS];
}

static bool is_node(const struct tp_control_node *node, const struct tp_control_id *id)
{
    return node->id.kind == id->kind && node->id.which == id->which &&
           strcmp(node->id.name, id->name) == 0;
}

/* Under the lock: the node that a look-up gives; of a document one that nobody has opened. */
static struct tp_control_node *node_for(struct tp_control *control, const struct tp_control_id *id)
{
    struct tp_control_node **head = bucket(control, id), *node = *head;

    while (node && (node->opened || !is_node(node, id)))
        node = node->next;
    if (node)
        return node;
    node = calloc(1, sizeof *node);
    if (!node)
        return NULL;
    node->node = (struct tp_node){&tp_control_ops, 0, ++control->generation, 0};
    node->id = *id;
    node->next = *head;
    node->at = head;
    if (node->next)
        node->next->at = &node->next;
    *head = node;
    return node;
}

static void control_forget(struct tp_fs *fs, struct tp_node *node, uint64_t n)
{
    struct tp_control_node *own = (struct tp_control_node *)node;

    pthread_mutex_lock(&fs->control->lock);
    node->lookups -= n;
    if (node->lookups == 0) {
        *own->at = own->next;
        if (own->next)
            own->next->at = own->at;
        tp_text_unref(own->text);
        free(own);
    }
    pthread_mutex_unlock(&fs->control->lock);
}

/* --- Attributes ------------------------------------------------------------------------------- */

static int job_status(struct tp_control *control, const char *job, struct tp_job_status *status)
{
    struct tp_error err = {0};

    if (!tp_control_enter(control))
        return -ESHUTDOWN;
    int rc = tp_jobs_get(control->jobs, job, status, &err);
    tp_control_leave(control);
    return rc < 0 ? tp_fs_failed(control->fs, rc, &err) : 0;
}

static int last_job(struct tp_control *control, char id[TP_JOB_ID_MAX])
{
    if (!tp_control_enter(control))
        return -ESHUTDOWN;
    int rc = tp_jobs_last(control->jobs, id);
    tp_control_leave(control);
    return rc;
}

/* Of what belongs to a job: when that was taken, or ended. */
static int job_attr(struct tp_control *control, const struct tp_control_id *id, struct stat *st)
{
    struct tp_job_status status;
    struct tp_buffer text = {0};
    struct stat log;
    int rc = job_status(control, id->name, &status);

    if (rc != 0)
        return rc;
    st->st_mtim = (struct timespec){status.created, 0};
    if (id->kind == TP_CONTROL_JOB_LOG) {
        int fd = tp_control_open_log(control, id->name);
        if (fd < 0 || fstat(fd, &log) < 0)
            rc = fd < 0 ? fd : -errno;
        if (fd >= 0)
            close(fd);
        if (rc != 0)
            return rc;
        st->st_size = log.st_size;
        st->st_mtim = log.st_mtim;
    } else if (id->kind == TP_CONTROL_JOB_WAIT && tp_job_state_is_end(status.state)) {
        st->st_mtim.tv_sec = status.ended;
        rc = tp_job_status_write(&status, &text);
        st->st_size = (off_t)text.len;
        tp_buffer_clear(&text);
    }
    return rc;
}

/* Of a model's document that is not made yet. */
static int model_attr(struct tp_control *control, const char *model, struct stat *st)
{
    struct tp_error err = {0};

    if (!tp_control_enter(control))
        return -ESHUTDOWN;
    int rc = tp_document_model_time(control->inventory, model, &st->st_mtim, &err);
    tp_control_leave(control);
    return rc < 0 ? tp_fs_failed(control->fs, rc, &err) : 0;
}

/* TEXT: of a document that is made. */
static int attr_of(struct tp_control *control, const struct tp_control_id *id,
                   const struct tp_text *text, struct stat *st)
{
    bool is_dir = tp_control_is_dir(id->kind);
    char last[TP_JOB_ID_MAX];
    int rc = 0;

    memset(st, 0, sizeof *st);
    st->st_ino = (ino_t)tp_control_ino(id);
    st->st_mode = (is_dir                        ? S_IFDIR | 0770
                   : id->kind == TP_CONTROL_LAST ? S_IFLNK | 0777
                                                 : S_IFREG | 0660) &
                  (id->kind == TP_CONTROL_LAST ? ~(mode_t)0 : (S_IFMT | control->group));
    st->st_nlink = 1;
    st->st_uid = control->uid;
    st->st_gid = control->gid;
    st->st_blksize = TP_REQUEST_TEXT_MAX;
    st->st_mtim = control->started;
    if (text) {
        st->st_size = (off_t)text->bytes.len;
        st->st_mtim = text->made;
        if (id->kind == TP_CONTROL_ERRORS)
            st->st_size = (off_t)tp_control_errors_size(control, text, &st->st_mtim);
    }
    pthread_mutex_lock(&control->lock);
    if (id->kind == TP_CONTROL_JOBS || id->kind == TP_CONTROL_LAST)
        st->st_mtim = control->changed;
    if (id->kind == TP_CONTROL_EVENTS) {
        st->st_size = (off_t)control->event_bytes;
        st->st_mtim = control->event_time;
    }
    pthread_mutex_unlock(&control->lock);
    if (id->kind == TP_CONTROL_JOB || id->kind == TP_CONTROL_JOB_LOG ||
        id->kind == TP_CONTROL_JOB_WAIT)
        rc = job_attr(control, id, st);
    if (tp_control_is_made_late(id->kind) && !text)
        rc = model_attr(control, id->name, st);
    if (id->kind == TP_CONTROL_LAST) {
        rc = last_job(control, last);
        st->st_size = rc == 0 ? (off_t)strlen(last) : 0;
    }
    st->st_atim = st->st_ctim = st->st_mtim;
    st->st_blocks = (st->st_size + 511) / 512;
    return rc;
}

/*
 * Under the lock: TEXT, or that of an earlier look-up with the same bytes, which has its time
 * still.
 */
static struct tp_text *same_as_before(struct tp_control *control, const struct tp_control_id *id,
                                      struct tp_text *text)
{
    const struct tp_control_node *node = *bucket(control, id);

    while (node && !(is_node(node, id) && node->text))
        node = node->next;
    if (!node || node->text->bytes.len != text->bytes.len ||
        (text->bytes.len > 0 &&
         memcmp(node->text->bytes.data, text->bytes.data, text->bytes.len) != 0))
        return text;
    if (node->text->knows < text->knows)
        node->text->knows = text->knows;
    tp_text_unref(text);
    return tp_text_ref(node->text);
}

int tp_control_hold_text(struct tp_control *control, struct tp_control_node *node, bool *kept)
{
    struct tp_text *text = NULL;
    int rc = 0;

    pthread_mutex_lock(&control->lock);
    node->open_n++;
    node->opened = true;
    *kept = node->text != NULL;
    pthread_mutex_unlock(&control->lock);
    if (*kept)
        return 0;
    rc = tp_control_text(control, &node->id, &text);
    if (rc != 0) {
        tp_control_drop_text(control, node);
        return rc;
    }
    pthread_mutex_lock(&control->lock);
    text = same_as_before(control, &node->id, text);
    tp_text_unref(node->text); /* another open was as fast */
    node->text = text;
    pthread_mutex_unlock(&control->lock);
    return 0;
}

void tp_control_drop_text(struct tp_control *control, struct tp_control_node *node)
{
    pthread_mutex_lock(&control->lock);
    if (--node->open_n == 0 && tp_control_is_made_late(node->id.kind)) {
        tp_text_unref(node->text);
        node->text = NULL;
    }
    pthread_mutex_unlock(&control->lock);
}

/* --- Look-ups --------------------------------------------------------------------------------- */

static int enter(struct tp_control *control, const struct tp_control_id *id,
                 struct fuse_entry_param *entry)
{
    struct tp_text *text = NULL;
    int rc = 0;

    if (tp_control_is_document(id->kind) && !tp_control_is_made_late(id->kind))
        rc = tp_control_text(control, id, &text);
    memset(entry, 0, sizeof *entry);
    if (rc == 0)
        rc = attr_of(control, id, text, &entry->attr);
    if (rc != 0) {
        tp_text_unref(text);
        return rc;
    }
    pthread_mutex_lock(&control->lock);
    if (text)
        text = same_as_before(control, id, text);
    if (text)
        entry->attr.st_mtim = entry->attr.st_ctim = entry->attr.st_atim = text->made;
    struct tp_control_node *node = node_for(control, id);
    if (node) {
        node->node.lookups++;
        if (text) {
            tp_text_unref(node->text);
            node->text = text;
        }
        entry->ino = (fuse_ino_t)(uintptr_t)node;
        entry->generation = node->node.generation;
    }
    pthread_mutex_unlock(&control->lock);
    if (!node)
        tp_text_unref(text);
    /* What never changes is still asked for each time: it is cheap, and nobody else pays for it. */
    if (tp_control_is_dir(id->kind) && id->kind != TP_CONTROL_JOB)
        entry->entry_timeout = TP_TIMEOUT_PACKED;
    return node ? 0 : -ENOMEM;
}

int tp_control_enter_top(struct tp_fs *fs, struct fuse_entry_param *entry)
{
    const struct tp_control_id top = {.kind = TP_CONTROL_TOP};

    return enter(fs->control, &top, entry);
}

static int control_lookup(struct tp_fs *fs, struct tp_node *dir, const char *name, uint64_t alias,
                          struct fuse_entry_param *entry)
{
    struct tp_control_id id;
    int rc = tp_control_resolve(&((struct tp_control_node *)dir)->id, name, &id);

    (void)alias;
    return rc < 0 ? rc : enter(fs->control, &id, entry);
}

static int control_getattr(struct tp_fs *fs, struct tp_node *node, struct stat *st, double *timeout)
{
    struct tp_control_node *own = (struct tp_control_node *)node;
    struct tp_text *text =
        tp_control_is_document(own->id.kind) ? tp_control_node_text(fs->control, own) : NULL;
    int rc = attr_of(fs->control, &own->id, text, st);

    *timeout = 0;
    tp_text_unref(text);
    return rc;
}

/* Truncation is what a shell does before it writes; nothing else can be set. */
static int control_setattr(struct tp_fs *fs, struct tp_node *node, const struct stat *attr,
                           int to_set, const struct fuse_file_info *fi)
{
    const int truncation =
        FUSE_SET_ATTR_SIZE | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW | FUSE_SET_ATTR_CTIME;

    (void)fs;
    (void)attr;
    (void)fi;
    if (!(to_set & FUSE_SET_ATTR_SIZE) || to_set & ~truncation)
        return -EPERM;
    return tp_control_is_written(((struct tp_control_node *)node)->id.kind) ? 0 : -EACCES;
}

static int control_readlink(struct tp_fs *fs, struct tp_node *node, char target[PATH_MAX + 1])
{
    char last[TP_JOB_ID_MAX];
    int rc = ((struct tp_control_node *)node)->id.kind == TP_CONTROL_LAST
                 ? last_job(fs->control, last)
                 : -EINVAL;

    if (rc == 0)
        memcpy(target, last, strlen(last) + 1);
    return rc;
}

/* All of a file is data. */
static int control_lseek(struct tp_fs *fs, struct tp_node *node, off_t *off, int whence,
                         const struct fuse_file_info *fi)
{
    struct stat st;
    double timeout;
    int rc = control_getattr(fs, node, &st, &timeout);

    (void)fi;
    return rc < 0 ? rc : tp_seek_in_data(st.st_size, off, whence);
}

/* --- Removing: rm -r jobs/ID ------------------------------------------------------------------ */

struct forgetting {
    fuse_req_t req;
    char job[TP_JOB_ID_MAX];
};

/* The job may run, and must end first. */
static void forget_job(struct tp_control *control, void *arg)
{
    struct forgetting *forgetting = arg;
    struct tp_error err = {0};
    int rc = -ESHUTDOWN;

    if (tp_control_enter(control)) {
        rc = tp_jobs_forget(control->jobs, forgetting->job, &err);
        tp_control_leave(control);
    }
    fuse_reply_err(forgetting->req, -rc);
    free(forgetting);
}

static int start_forgetting(struct tp_control *control, fuse_req_t req, const char *job)
{
    struct forgetting *forgetting = calloc(1, sizeof *forgetting);
    int rc;

    if (!forgetting)
        return -ENOMEM;
    forgetting->req = req;
    memcpy(forgetting->job, job, strlen(job));
    rc = tp_control_aside(control, forget_job, forgetting);
    if (rc != 0)
        free(forgetting);
    return rc;
}

/* The files of a job are removed with its directory; until then they stay. */
static int control_remove(fuse_req_t req, struct tp_node *dir, const char *name, bool is_dir)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    const struct tp_control_id *dir_id = &((struct tp_control_node *)dir)->id;
    struct tp_control_id id;
    int rc = tp_control_resolve(dir_id, name, &id);

    if (rc < 0)
        return rc;
    if (!is_dir)
        return dir_id->kind == TP_CONTROL_JOB ? 0 : -EPERM;
    if (id.kind != TP_CONTROL_JOB)
        return tp_control_is_dir(id.kind) ? -EPERM : -ENOTDIR;
    rc = start_forgetting(fs->control, req, id.name);
    return rc < 0 ? rc : TP_ANSWERED;
}

static int control_refuse(struct tp_fs *fs, struct tp_node *node)
{
    (void)fs;
    (void)node;
    return -EPERM;
}

const struct tp_node_ops tp_control_ops = {
    .refuse = control_refuse,
    .forget = control_forget,
    .lookup = control_lookup,
    .remove = control_remove,
    .opendir = tp_list_open,
    .readdir = tp_list_read,
    .releasedir = tp_list_release,
    .snapshot = tp_control_snapshot,
    .getattr = control_getattr,
    .setattr = control_setattr,
    .readlink = control_readlink,
    .open = tp_control_open,
    .release = tp_control_release,
    .read = tp_control_read,
    .write = tp_control_write,
    .lseek = control_lseek,
    .poll = tp_control_poll,
};
