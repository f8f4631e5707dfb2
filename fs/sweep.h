/* SPDX-License-Identifier: MIT */
/*
 * Each file of DIR that the kernel knows holds a descriptor, and descriptors are limited. When too
 * many are held the kernel is asked to forget some, until half as many are left; what is open or
 * mapped stays.
 *
 * A thread of its own that holds no lock, and sleeps until it is called: the kernel makes it wait
 * for requests that are under way in a directory.
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

/* How many files of DIR may be known before it begins. */
unsigned tp_sweep_most(void);

/* NULL: out of memory. */
struct tp_sweep *tp_sweep_create(struct tp_fs *fs);
/*
 * Without a thread nothing is swept. Stop before the session ends, while requests are still served.
 */
void tp_sweep_start(struct tp_sweep *sweep, struct fuse_session *session);
void tp_sweep_stop(struct tp_sweep *sweep);
void tp_sweep_destroy(struct tp_sweep *sweep);

/* Too many are known: begin, from any thread. */
void tp_sweep_request(struct tp_sweep *sweep);
/* There is no descriptor left: begin, and wait a moment. False: it has been long enough, or others
 * wait already, or waiting is of no use (before Linux 6.18 a look-up keeps the kernel from
 * forgetting). */
bool tp_sweep_wait(struct tp_sweep *sweep, unsigned *tries);

#endif
