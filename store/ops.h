/* SPDX-License-Identifier: MIT */
/* The operations of a store: replacing a directory by its pack, and the reverse. */
#ifndef TP_STORE_OPS_H
#define TP_STORE_OPS_H

#include "store/match/match.h"
#include "store/write/writer.h"

struct tp_compress_options {
    const char *base; /* "auto" or NULL, "none", name of a model in the store, or path of a pack */
    const char *out;  /* write the pack there and keep the original; NULL: replace the directory */
    bool keep;        /* without OUT: write NAME.tnpk beside the directory and keep the directory */
    enum tp_links links; /* TP_LINKS_FOLLOW needs OUT or KEEP */
    bool no_lease; /* also replace a directory if programs that write to it cannot be detected */
    unsigned threads;
    const char *codec;
    int zstd_level;
    const struct tp_waiting
        *waiting; /* models that wait for this one to be packed as their base; NULL: none */
    bool
        wait_for_base; /* while another process packs or unpacks the base: wait instead of -EBUSY */
    const struct tp_progress *progress;
    /*
     * Called with a line for each decision ("base: llama (named in config.json, ...)"); may be
     * NULL.
     */
    void (*note)(void *arg, const char *line);
    void *note_arg;
};

struct tp_compress_report {
    struct tp_pack_report pack;
    char base[256];   /* name of the chosen base, "" for none */
    char why[256];    /* why it was chosen */
    char *out;        /* path of the pack */
    bool base_packed; /* the base was a plain directory and was packed first */
};

/* --- compress.c --- */

/*
 * Pack the model directory PATH, whose parent directory is the store. In place, the order is: all
 * checks (store/original/original.h), temporary file, fsync, verification, rename, fsync of the
 * directory, removal of the original. Whatever process dies at whatever moment, the directory or a
 * verified pack is there. Takes the store's lock of this model. -EBUSY: another process holds the
 * lock, or a program writes to the model; the model stays. After a crash, a new call completes the
 * work.
 *
 * REPORT is zeroed before its first use, and its contents are replaced. Clear it after a failure,
 * too.
 */
int tp_compress(const char *path, const struct tp_compress_options *options,
                struct tp_compress_report *report, struct tp_error *err);
/* Frees what REPORT owns; it is zeroed. */
void tp_compress_report_clear(struct tp_compress_report *report);

/*
 * Check what tp_compress would refuse before any work, except what other processes do at that time.
 * Changes nothing.
 */
int tp_compress_check(const char *path, const struct tp_compress_options *options,
                      struct tp_error *err);

/*
 * Unpack the pack PATH into the plain directory OUT. OUT NULL: in place, then remove the pack,
 * unless KEEP. -EBUSY: other packs need this one as their base; ERR lists them. Every file is
 * checked by its SHA-256 before the directory gets its name. Modes and times are restored.
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
