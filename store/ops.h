/* SPDX-License-Identifier: MIT */
/* What a user asks of a store: replace a directory by its pack, and back. With store/remove.h the
 * only code that removes anything. */
#ifndef TP_STORE_OPS_H
#define TP_STORE_OPS_H

#include "store/match/match.h"
#include "store/write/writer.h"

struct tp_compress_options {
    const char
        *base; /* "auto" (NULL means it), "none", a model's name in the store, or a pack's path */
    const char *out; /* write the pack there and leave the original; NULL: replace the directory */
    bool keep;       /* with OUT NULL: write NAME.tnpk beside and leave the directory */
    enum tp_links links; /* TP_LINKS_FOLLOW is for OUT and KEEP */
    bool no_lease;       /* replace a directory whose writers cannot be noticed, too */
    unsigned threads;
    const char *codec;
    int zstd_level;
    const struct tp_waiting
        *waiting; /* models that this one is packed for, to be their base; NULL: none */
    bool
        wait_for_base; /* while another packs or restores the base: wait for it instead of -EBUSY */
    const struct tp_progress *progress;
    /* Told what is decided on the way ("base: llama (named in config.json, ...)"); may be NULL. */
    void (*note)(void *arg, const char *line);
    void *note_arg;
};

struct tp_compress_report {
    struct tp_pack_report pack;
    char base[256];   /* name of the base taken, "" for none */
    char why[256];    /* why it was taken */
    char out[4096];   /* the pack's path */
    bool base_packed; /* the base was a plain directory and has been packed first */
};

/* --- compress.c --- */

/* Pack the model directory PATH (its parent is the store). In-place order: all checks
 * (store/original/original.h), temporary file, fsync, verify, rename, fsync of the directory,
 * remove the original; whatever dies at whatever moment, the directory or a verified pack is there.
 * Takes the store's lock on this model: -EBUSY when another holds it, and when somebody writes to
 * the model, which stays then. A rerun after a crash finishes the work. */
int tp_compress(const char *path, const struct tp_compress_options *options,
                struct tp_compress_report *report, struct tp_error *err);

/*
 * What tp_compress would refuse before any work, but for what others are doing then. Changes
 * nothing.
 */
int tp_compress_check(const char *path, const struct tp_compress_options *options,
                      struct tp_error *err);

/* Write the model of pack PATH out as a plain directory OUT (NULL: in place, and then remove the
 * pack, which fails with -EBUSY and a list when other packs need it as their base, unless KEEP).
 * Every file is checked by its SHA-256 before the directory appears. Modes and mtimes are restored.
 */
struct tp_restore_options {
    const char *out;
    bool keep;
    unsigned threads;
    const struct tp_progress *progress;
};

/* --- restore.c --- */

int tp_restore(const char *path, const struct tp_restore_options *options, uint64_t *bytes,
               struct tp_error *err);

#endif
