/* SPDX-License-Identifier: MIT */
/*
 * Verifying a pack: every byte against its hashes, every chunk by decoding it, and the content of
 * every file.
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

/* Called with a message for each fault; an absent base is reported once. */
typedef void (*tp_verify_finding)(void *arg, const char *message);

/*
 * A hash of a file's content, made by the writer when it read the file. It is kept in memory only.
 */
struct tp_file_print {
    uint8_t xxh128[TP_XXH128_LEN];
};

/*
 * Compare the content of every file with its SHA-256. 0: intact. -EBADMSG: damaged; FINDING was
 * called for each fault. -ENOLINK: the base is absent.
 */
int tp_pack_verify(struct tp_pack *pack, unsigned threads, const struct tp_progress *progress,
                   tp_verify_finding finding, void *arg, struct tp_verify_report *report,
                   struct tp_error *err);

/*
 * As tp_pack_verify for the writer of the pack: compare the content of every file with PRINTS,
 * which are in the order of the index, and not with its SHA-256, which takes several times as long.
 * Prints of files without content are ignored.
 */
int tp_pack_verify_written(struct tp_pack *pack, const struct tp_file_print *prints,
                           unsigned threads, const struct tp_progress *progress,
                           struct tp_error *err);

#endif
