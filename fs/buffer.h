/* SPDX-License-Identifier: MIT */
/* A buffer for each thread that serves requests. */
#ifndef TP_FS_BUFFER_H
#define TP_FS_BUFFER_H

#define TP_MAX_READ (1u << 20)

/* The calling thread's buffer of TP_MAX_READ bytes; NULL: out of memory. */
void *tp_thread_buffer(void);

#endif
