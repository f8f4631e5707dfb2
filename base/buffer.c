/* SPDX-License-Identifier: MIT */
/* A growable byte string. Once it has memory, a NUL follows its last byte. */
#include <config.h>

#include "base/buffer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"

int tp_buffer_reserve(struct tp_buffer *buf, size_t extra)
{
    /* One byte more than asked for: the NUL. */
    if (extra > SIZE_MAX / 2 - buf->len - 1)
        return -ENOMEM;
    size_t need = buf->len + extra + 1;
    if (need <= buf->cap)
        return 0;

    size_t cap = buf->cap + buf->cap / 2;
    if (cap < need)
        cap = need;
    if (cap < 64)
        cap = 64;
    uint8_t *data = realloc(buf->data, cap);
    if (!data)
        return -ENOMEM;
    data[buf->len] = 0;
    buf->data = data;
    buf->cap = cap;
    return 0;
}

int tp_buffer_append(struct tp_buffer *buf, const void *data, size_t len)
{
    int rc = tp_buffer_reserve(buf, len);
    if (rc < 0)
        return rc;
    if (len)
        memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    buf->data[buf->len] = 0;
    return 0;
}

int tp_buffer_append_u8(struct tp_buffer *buf, uint8_t v)
{
    return tp_buffer_append(buf, &v, sizeof v);
}

int tp_buffer_append_le16(struct tp_buffer *buf, uint16_t v)
{
    uint8_t bytes[sizeof v];
    tp_put_le16(bytes, v);
    return tp_buffer_append(buf, bytes, sizeof bytes);
}

int tp_buffer_append_le32(struct tp_buffer *buf, uint32_t v)
{
    uint8_t bytes[sizeof v];
    tp_put_le32(bytes, v);
    return tp_buffer_append(buf, bytes, sizeof bytes);
}

int tp_buffer_append_le64(struct tp_buffer *buf, uint64_t v)
{
    uint8_t bytes[sizeof v];
    tp_put_le64(bytes, v);
    return tp_buffer_append(buf, bytes, sizeof bytes);
}

int tp_buffer_appendf(struct tp_buffer *buf, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);

    int rc = n < 0 ? -EINVAL : tp_buffer_reserve(buf, (size_t)n);
    if (rc == 0) {
        vsnprintf((char *)buf->data + buf->len, (size_t)n + 1, fmt, again);
        buf->len += (size_t)n;
    }
    va_end(again);
    return rc;
}

void tp_buffer_clear(struct tp_buffer *buf)
{
    free(buf->data);
    *buf = (struct tp_buffer){0};
}

char *tp_format(const char *fmt, ...)
{
    char *text;
    va_list ap;

    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    va_end(ap);
    return text;
}
