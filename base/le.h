/* SPDX-License-Identifier: MIT */
/* Little-endian loads and stores at any alignment: the only way bytes of a file become integers. */
#ifndef TP_BASE_LE_H
#define TP_BASE_LE_H

#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "big-endian hosts are not supported"
#endif

static inline uint16_t tp_get_le16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint32_t tp_get_le32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t tp_get_le64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void tp_put_le16(void *p, uint16_t v)
{
    memcpy(p, &v, sizeof v);
}

static inline void tp_put_le32(void *p, uint32_t v)
{
    memcpy(p, &v, sizeof v);
}

static inline void tp_put_le64(void *p, uint64_t v)
{
    memcpy(p, &v, sizeof v);
}

#endif
