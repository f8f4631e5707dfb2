/* SPDX-License-Identifier: MIT */
/* Verifying: every byte of a pack against its hashes, every chunk decoded, every file's SHA-256. */
#ifndef TP_STORE_VERIFY_H
#define TP_STORE_VERIFY_H

#include "base/progress.h"
#include "store/pack.h"

struct tp_verify_report {
    uint64_t files, chunks, bytes;
    uint64_t bad_files, bad_chunks;
    double seconds;
};

/* Told once for each thing that is wrong, an absent base once in all, with its whole story; returns nothing. */
typedef void (*tp_verify_finding)(void *arg, const char *story);

/* 0: all whole. -EBADMSG: something is damaged (each told to FINDING). -ENOLINK: its base is absent. */
int tp_pack_verify(struct tp_pack *pack, unsigned threads, const struct tp_progress *progress,
                   tp_verify_finding finding, void *arg, struct tp_verify_report *report,
                   struct tp_error *err);

#endif
