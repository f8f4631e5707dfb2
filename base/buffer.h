/* SPDX-License-Identifier: MIT */
/* A growable byte string. Zero-initialised is empty; tp_buffer_clear frees it. */
#ifndef TP_BASE_BUFFER_H
#define TP_BASE_BUFFER_H

#include <stddef.h>
#include <stdint.h>

struct tp_buffer {
    uint8_t *data;
    size_t len;
    size_t cap;
};

/* Reserve space for EXTRA more bytes; -ENOMEM leaves the buffer as it was. */
int tp_buffer_reserve(struct tp_buffer *buf, size_t extra);
/* Append LEN bytes; -ENOMEM leaves the buffer as it was. */
int tp_buffer_append(struct tp_buffer *buf, const void *data, size_t len);
int tp_buffer_append_u8(struct tp_buffer *buf, uint8_t v);
int tp_buffer_append_le16(struct tp_buffer *buf, uint16_t v);
int tp_buffer_append_le32(struct tp_buffer *buf, uint32_t v);
int tp_buffer_append_le64(struct tp_buffer *buf, uint64_t v);
/* printf-append, without the terminating NUL (the byte after data[len] is NUL all the same). */
int tp_buffer_appendf(struct tp_buffer *buf, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void tp_buffer_clear(struct tp_buffer *buf);

/* A string of its own, for free(); NULL without memory. */
char *tp_format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
