/* SPDX-License-Identifier: MIT */
/*
 * Limiting descriptors. Each file of DIR that the kernel knows needs a descriptor. When too many
 * are used, the kernel is asked to forget files until half as many are left; open and mapped files
 * stay.
 *
 * A separate thread does this. It holds no lock, because the kernel makes it wait for requests in
 * the same directory.
 */
#ifndef TP_FS_SWEEP_H
#define TP_FS_SWEEP_H

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 312
#endif

#include <fuse_lowlevel.h>
#include <stdbool.h>

struct tp_fs;
struct tp_sweep;

/* How many files of DIR may be known before the sweep starts. */
unsigned tp_sweep_most(void);

/* NULL: out of memory. */
struct tp_sweep *tp_sweep_create(struct tp_fs *fs);
/*
 * Start and stop the thread; without it nothing is swept. Stop it before the session ends, while
 * requests are still served.
 */
void tp_sweep_start(struct tp_sweep *sweep, struct fuse_session *session);
void tp_sweep_stop(struct tp_sweep *sweep);
void tp_sweep_destroy(struct tp_sweep *sweep);

/* Request a sweep, because too many files are known. Any thread may call it. */
void tp_sweep_request(struct tp_sweep *sweep);
/*
 * Request a sweep because there is no descriptor left, and wait a moment. False: the caller has
 * waited long enough, others wait already, or waiting is useless (before Linux 6.18 a look-up
 * prevents the kernel from forgetting).
 */
bool tp_sweep_wait(struct tp_sweep *sweep, unsigned *tries);

#endif
