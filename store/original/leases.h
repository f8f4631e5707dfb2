/* SPDX-License-Identifier: MIT */
/*
 * Read leases (fcntl(2), F_SETLEASE) on the files of an original. The kernel refuses a lease while
 * a process has the file open for writing or mapped writably. Later it notifies the holder of a
 * lease before another process opens the file for writing or truncates it: the lease is broken.
 */
#ifndef TP_STORE_LEASES_H
#define TP_STORE_LEASES_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/error.h"

struct tp_leases;

/*
 * Start the thread that receives the kernel's notifications. CANCEL (may be NULL) is passed on to
 * tp_leases_cancel.
 */
int tp_leases_create(const atomic_int *cancel, struct tp_leases **out, struct tp_error *err);
/* Give all leases back. Writers that wait for a lease continue. */
void tp_leases_destroy(struct tp_leases *leases);

/*
 * Take a lease on the file of FD, which must stay open until tp_leases_destroy. -EAGAIN: it is open
 * for writing. -EACCES: it belongs to another user. -EOPNOTSUPP: its file system has no leases, or
 * other machines can write to it unnoticed.
 */
int tp_leases_add(struct tp_leases *leases, int fd);

/* A descriptor whose lease was broken, or -1. */
int tp_leases_broken(struct tp_leases *leases);
/*
 * From now on writers wait in open(2) until tp_leases_destroy. Returns -1, or the descriptor of a
 * lease that was broken before; then nothing changes.
 */
int tp_leases_seal(struct tp_leases *leases);

/* A flag that is non-zero when a lease was broken, or when CANCEL is set. */
const atomic_int *tp_leases_cancel(const struct tp_leases *leases);

/* Take a lease on the file of FD and give it back at once. 0, or an error of tp_leases_add. */
int tp_lease_probe(int fd);

#endif
