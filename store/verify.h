/* SPDX-License-Identifier: MIT */
/*
 * Verifying: every byte of a pack against its hashes, every chunk decoded, and every file's content
 * compared.
 */
#ifndef TP_STORE_VERIFY_H
#define TP_STORE_VERIFY_H

#include "base/progress.h"
#include "base/hash.h"
#include "store/pack/pack.h"

struct tp_verify_report {
    uint64_t files, chunks, bytes;
    uint64_t bad_files, bad_chunks;
    double seconds;
};

/*
 * Told once for each thing that is wrong, an absent base once in all, with its whole story; returns
 * nothing.
 */
typedef void (*tp_verify_finding)(void *arg, const char *story);

/*
 * A hash of a file's content that the writer took of the source, and keeps in memory only.
 */
struct tp_file_print {
    uint8_t xxh128[TP_XXH128_LEN];
};

/*
 * Every file's content against its SHA-256. 0: all whole. -EBADMSG: something is damaged (each told
 * to FINDING). -ENOLINK: its base is absent.
 */
int tp_pack_verify(struct tp_pack *pack, unsigned threads, const struct tp_progress *progress,
                   tp_verify_finding finding, void *arg, struct tp_verify_report *report,
                   struct tp_error *err);

/* The same for the writer of the pack: every file's content against PRINTS, in the index's
 * order, and not against its SHA-256, which takes several times as long. Prints of files without
 * content are not looked at. */
int tp_pack_verify_written(struct tp_pack *pack, const struct tp_file_print *prints,
                           unsigned threads, const struct tp_progress *progress,
                           struct tp_error *err);

#endif
