/* SPDX-License-Identifier: MIT */
/* Making the texts of documents with the functions of their entries. */
#include <config.h>

#include "base/cleanup.h"
#include "fs/control/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct tp_text *tp_text_ref(struct tp_text *text)
{
    atomic_fetch_add(&text->refs, 1);
    return text;
}

void tp_text_unref(struct tp_text *text)
{
    if (!text || atomic_fetch_sub(&text->refs, 1) > 1)
        return;
    tp_buffer_clear(&text->bytes);
    free(text);
}

int tp_text_make(struct tp_control *control, const struct tp_control_id *id, struct tp_text **out)
{
    struct tp_text *text = calloc(1, sizeof *text);
    struct tp_error err = {0};
    int rc = -ESHUTDOWN;

    *out = NULL;
    if (!text)
        return -ENOMEM;
    atomic_init(&text->refs, 1);
    pthread_mutex_lock(&control->lock);
    text->knows = control->event_last;
    pthread_mutex_unlock(&control->lock);
    clock_gettime(CLOCK_REALTIME, &text->made);
    if (id->entry->made == TP_MADE_ONCE)
        text->made = control->started;
    if (tp_control_enter(control)) {
        rc = id->entry->write(control, id, text, &err);
        tp_control_leave(control);
        rc = rc < 0 ? tp_fs_log_failure(control->fs, rc, &err) : 0;
    }
    if (rc < 0)
        tp_text_unref(text);
    else
        *out = text;
    return rc;
}

struct tp_text *tp_text_same(struct tp_control *control, const struct tp_control_id *id,
                             struct tp_text *text)
{
    struct tp_text *known = tp_control_known_text(control, id);

    if (known && known->bytes.len == text->bytes.len &&
        (text->bytes.len == 0 ||
         memcmp(known->bytes.data, text->bytes.data, text->bytes.len) == 0)) {
        if (known->knows < text->knows)
            known->knows = text->knows;
        tp_text_unref(text);
        return known;
    }
    tp_text_unref(known);
    return text;
}

struct tp_text *tp_text_of_node(struct tp_control *control, struct tp_control_node *node)
{
    struct tp_text *text = NULL;

    pthread_mutex_lock(&control->lock);
    bool stale = node->stale;
    node->stale = false;
    pthread_mutex_unlock(&control->lock);
    if (stale)
        tp_text_make(control, &node->id, &text);
    pthread_mutex_lock(&control->lock);
    /* If the job or model is absent now, the old text is used. */
    if (text) {
        tp_text_unref(node->text);
        node->text = text;
    }
    text = node->text ? tp_text_ref(node->text) : NULL;
    pthread_mutex_unlock(&control->lock);
    return text;
}

int tp_text_open(struct tp_control *control, struct tp_control_node *node, bool *kept)
{
    struct tp_text *text = NULL;

    pthread_mutex_lock(&control->lock);
    node->open_n++;
    node->opened = true;
    *kept = node->text != NULL;
    pthread_mutex_unlock(&control->lock);
    if (*kept)
        return 0;
    int rc = tp_text_make(control, &node->id, &text);
    if (rc < 0) {
        tp_text_close(control, node);
        return rc;
    }
    pthread_mutex_lock(&control->lock);
    text = tp_text_same(control, &node->id, text);
    tp_text_unref(node->text); /* another open has made the text at the same time */
    node->text = text;
    pthread_mutex_unlock(&control->lock);
    return 0;
}

void tp_text_close(struct tp_control *control, struct tp_control_node *node)
{
    TP_LOCK_SCOPE(&control->lock);
    if (--node->open_n == 0 && node->id.entry->made == TP_MADE_AT_OPEN) {
        tp_text_unref(node->text);
        node->text = NULL;
    }
}
