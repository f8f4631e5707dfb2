/* SPDX-License-Identifier: MIT */
/*
 * Read leases (fcntl(2), F_SETLEASE) on files that nobody may write to. The kernel refuses a lease
 * while any process has the file open for writing or mapped writably, and reports the next one that
 * opens it for writing or truncates it.
 */
#ifndef TP_STORE_LEASES_H
#define TP_STORE_LEASES_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/error.h"

struct tp_leases;

/*
 * Starts the thread that receives the kernel's requests. CANCEL (may be NULL) is passed on to
 * tp_leases_cancel.
 */
int tp_leases_create(const atomic_int *cancel, struct tp_leases **out, struct tp_error *err);
/* Gives all leases back, and lets every writer that waits go on. */
void tp_leases_destroy(struct tp_leases *leases);

/* Lease the file of FD, which stays open until tp_leases_destroy. -EAGAIN: it is open for writing.
 * -EACCES: it belongs to another user. -EOPNOTSUPP: its file system has no leases, or other
 * machines can write there without notice. */
int tp_leases_add(struct tp_leases *leases, int fd);

/* A descriptor whose lease was asked back, or -1: the writer has not been delayed. */
int tp_leases_broken(struct tp_leases *leases);
/* From here on a writer waits in open(2) until tp_leases_destroy. -1, or the descriptor of a lease
 * that was asked back before: then nothing changes. */
int tp_leases_seal(struct tp_leases *leases);

/* Non-zero when a lease was asked back, or CANCEL is set. */
const atomic_int *tp_leases_cancel(const struct tp_leases *leases);

/* Take a lease and give it back at once. 0, or as tp_leases_add. */
int tp_lease_probe(int fd);

#endif
