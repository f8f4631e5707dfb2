/* SPDX-License-Identifier: MIT */
/* Nodes of the control directory: looked up, described, removed. */
#include <config.h>

#include "fs/control/node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "fs/control/handles.h"
#include "fs/control/text.h"
#include "fs/control/write.h"
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

static struct tp_control_node **bucket_of(struct tp_control *control,
                                          const struct tp_control_id *id)
{
    return &control->nodes[tp_control_ino(id) % TP_CONTROL_BUCKETS];
}

/*
 * With the lock held: the node for a look-up. For a document that changes, it is one that was never
 * opened.
 */
static struct tp_control_node *node_for(struct tp_control *control, const struct tp_control_id *id)
{
    struct tp_control_node **head = bucket_of(control, id), *node = *head;
    bool shared = id->entry->made == TP_MADE_ONCE;

    while (node && ((node->opened && !shared) || !tp_control_is_same(&node->id, id)))
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

struct tp_text *tp_control_known_text(struct tp_control *control, const struct tp_control_id *id)
{
    const struct tp_control_node *node = *bucket_of(control, id);

    while (node && !(node->text && tp_control_is_same(&node->id, id)))
        node = node->next;
    return node ? tp_text_ref(node->text) : NULL;
}

static void control_forget(struct tp_fs *fs, struct tp_node *node, uint64_t n)
{
    struct tp_control_node *own = tp_as_control(node);

    TP_LOCK_SCOPE(&fs->control->lock);
    node->lookups -= n;
    if (node->lookups == 0) {
        *own->at = own->next;
        if (own->next)
            own->next->at = own->at;
        tp_text_unref(own->text);
        free(own);
    }
}

void tp_control_free_nodes(struct tp_control *control)
{
    for (unsigned i = 0; i < TP_CONTROL_BUCKETS; i++)
        while (control->nodes[i]) {
            tp_autofree struct tp_control_node *node = control->nodes[i];
            control->nodes[i] = node->next;
            tp_text_unref(node->text);
        }
}

/* --- Attributes ------------------------------------------------------------------------------- */

/* TEXT: of a document whose text is made; otherwise NULL. */
static int attr_of(struct tp_control *control, const struct tp_control_id *id,
                   const struct tp_text *text, struct stat *st)
{
    const struct tp_control_entry *entry = id->entry;

    memset(st, 0, sizeof *st);
    st->st_ino = (ino_t)tp_control_ino(id);
    st->st_mode = entry->mode;
    if (!S_ISLNK(entry->mode))
        st->st_mode &= S_IFMT | control->group;
    st->st_nlink = 1;
    st->st_uid = control->uid;
    st->st_gid = control->gid;
    st->st_blksize = TP_REQUEST_TEXT_MAX;
    st->st_mtim = control->started;
    if (text) {
        st->st_size = (off_t)text->bytes.len;
        st->st_mtim = text->made;
    } else if (entry->made == TP_MADE_AT_OPEN) {
        clock_gettime(CLOCK_REALTIME, &st->st_mtim);
    }
    int rc = entry->attr ? entry->attr(control, id, text, st) : 0;
    st->st_atim = st->st_ctim = st->st_mtim;
    st->st_blocks = (st->st_size + 511) / 512;
    return rc;
}

static int control_getattr(struct tp_fs *fs, struct tp_node *node, struct stat *st, double *timeout)
{
    struct tp_control_node *own = tp_as_control(node);
    struct tp_text *text = own->id.entry->write ? tp_text_of_node(fs->control, own) : NULL;
    int rc = attr_of(fs->control, &own->id, text, st);

    *timeout = 0;
    tp_text_unref(text);
    return rc;
}

/* A shell truncates a file before it writes. Nothing else can be set. */
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
    return tp_as_control(node)->id.entry->accept ? 0 : -EACCES;
}

static int control_readlink(struct tp_fs *fs, struct tp_node *node, char target[PATH_MAX + 1])
{
    char last[TP_JOB_ID_MAX];

    if (!S_ISLNK(tp_as_control(node)->id.entry->mode))
        return -EINVAL;
    int rc = tp_control_last_job(fs->control, last);
    if (rc == 0)
        memcpy(target, last, strlen(last) + 1);
    return rc;
}

/* --- Look-ups --------------------------------------------------------------------------------- */

/* The current text of a document; NULL: it has none, or it is made at open. */
static int text_at_lookup(struct tp_control *control, const struct tp_control_id *id,
                          struct tp_text **out)
{
    const struct tp_control_entry *entry = id->entry;

    *out = NULL;
    if (!entry->write || entry->made == TP_MADE_AT_OPEN)
        return 0;
    if (entry->made == TP_MADE_ONCE) {
        pthread_mutex_lock(&control->lock);
        *out = tp_control_known_text(control, id);
        pthread_mutex_unlock(&control->lock);
    }
    return *out ? 0 : tp_text_make(control, id, out);
}

/* Count a look-up of ID. */
static int add_node(struct tp_control *control, const struct tp_control_id *id,
                    struct fuse_entry_param *entry)
{
    struct tp_text *text;
    int rc = text_at_lookup(control, id, &text);

    memset(entry, 0, sizeof *entry);
    if (rc == 0)
        rc = attr_of(control, id, text, &entry->attr);
    if (rc < 0) {
        tp_text_unref(text);
        return rc;
    }
    pthread_mutex_lock(&control->lock);
    if (text) {
        text = tp_text_same(control, id, text);
        entry->attr.st_mtim = entry->attr.st_ctim = entry->attr.st_atim = text->made;
    }
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
    /* The same name always has the same content. */
    if (id->entry->made == TP_MADE_ONCE || (S_ISDIR(id->entry->mode) && !id->name[0]))
        entry->entry_timeout = TP_TIMEOUT_PACKED;
    return node ? 0 : -ENOMEM;
}

int tp_control_enter_top(struct tp_fs *fs, struct fuse_entry_param *entry)
{
    return add_node(fs->control, &(struct tp_control_id){.entry = &tp_control_top}, entry);
}

static int control_lookup(struct tp_fs *fs, struct tp_node *dir, const char *name, uint64_t alias,
                          struct fuse_entry_param *entry)
{
    struct tp_control_id id;
    int rc = tp_control_find(&tp_as_control(dir)->id, name, &id);

    (void)alias;
    return rc < 0 ? rc : add_node(fs->control, &id, entry);
}

static int control_snapshot(struct tp_fs *fs, struct tp_node *dir, struct tp_listing *listing)
{
    return tp_control_list(fs->control, &tp_as_control(dir)->id, listing);
}

/* A file has no holes. */
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
    struct tp_control *control;
    fuse_req_t req;
    char job[TP_JOB_ID_MAX];
};

static void forget_job(void *arg)
{
    tp_autofree struct forgetting *f = arg;
    struct tp_error err = {0};
    int rc = -ESHUTDOWN;

    if (tp_control_enter(f->control)) {
        rc = tp_jobs_forget(f->control->jobs, f->job, &err);
        tp_control_leave(f->control);
    }
    fuse_reply_err(f->req, -rc);
}

/*
 * The files of a job are removed with its directory, and stay until then. This is done in another
 * thread, because a running job must end first.
 */
static int control_remove(fuse_req_t req, struct tp_node *dir, const char *name, bool is_dir)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    const struct tp_control_id *dir_id = &tp_as_control(dir)->id;
    struct tp_control_id id;
    int rc = tp_control_find(dir_id, name, &id);

    if (rc < 0)
        return rc;
    if (!is_dir)
        return dir_id->name[0] ? 0 : -EPERM;
    if (!S_ISDIR(id.entry->mode) || !id.name[0])
        return S_ISDIR(id.entry->mode) ? -EPERM : -ENOTDIR;
    struct forgetting *f = malloc(sizeof *f);
    if (!f)
        return -ENOMEM;
    *f = (struct forgetting){.control = fs->control, .req = req};
    memcpy(f->job, id.name, strlen(id.name));
    rc = tp_control_defer(fs->control, forget_job, f);
    if (rc == 0)
        return TP_ANSWERED;
    free(f);
    return rc;
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
    .snapshot = control_snapshot,
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
