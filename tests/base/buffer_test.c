/* SPDX-License-Identifier: MIT */
/* Buffers: growth, byte order, formatted text, and sums of sizes that no memory can hold. */
#include <config.h>

#include "base/buffer.h"

#include <errno.h>

#include "base/checked.h"
#include "tests/tap.h"

static void test_append(void)
{
    struct tp_buffer buf = {0};
    static const uint8_t want[] = {0xab, 0x34, 0x12, 0x78, 0x56, 0x34, 0x12, 8,
                                   7,    6,    5,    4,    3,    2,    1};
    int rc = tp_buffer_append_u8(&buf, 0xab);
    rc |= tp_buffer_append_le16(&buf, 0x1234);
    rc |= tp_buffer_append_le32(&buf, 0x12345678);
    rc |= tp_buffer_append_le64(&buf, 0x0102030405060708);
    is_int(rc, 0, "integers are appended");
    is_u64(buf.len, sizeof want, "with their sizes");
    is_mem(buf.data, want, sizeof want, "little-endian");
    is_int(tp_buffer_append(&buf, NULL, 0), 0, "nothing can be appended");
    tp_buffer_clear(&buf);
    ok(buf.data == NULL && buf.len == 0 && buf.cap == 0, "clear leaves it empty");
}

static void test_growth(void)
{
    struct tp_buffer buf = {0};
    bool good = true;
    for (unsigned i = 0; i < 100000; i++)
        good &= tp_buffer_append_u8(&buf, (uint8_t)(i * 7)) == 0 && buf.data[buf.len] == 0;
    for (unsigned i = 0; i < 100000; i++)
        good &= buf.data[i] == (uint8_t)(i * 7);
    ok(good, "100000 bytes one by one are kept, a NUL always behind them");
    tp_buffer_clear(&buf);
}

static void test_format(void)
{
    struct tp_buffer buf = {0};
    is_int(tp_buffer_appendf(&buf, "%s=%d", "a", 42), 0, "appendf");
    is_int(tp_buffer_appendf(&buf, " %s", ""), 0, "appendf again");
    is_str((char *)buf.data, "a=42 ", "text is a C string");
    is_u64(buf.len, 5, "whose NUL does not count");
    tp_buffer_clear(&buf);
}

static void test_limits(void)
{
    struct tp_buffer buf = {0};
    tp_buffer_append(&buf, "abc", 3);
    is_int(tp_buffer_reserve(&buf, SIZE_MAX), -ENOMEM, "a size that overflows is refused");
    is_int(tp_buffer_reserve(&buf, SIZE_MAX - 3), -ENOMEM, "so is one that just fits in size_t");
    is_str((char *)buf.data, "abc", "the buffer is as it was");
    tp_buffer_clear(&buf);

    uint64_t v;
    ok(!tp_add_u64(UINT64_MAX, 1, &v), "sums are checked");
    ok(!tp_mul_u64(UINT64_C(1) << 32, UINT64_C(1) << 32, &v), "products are checked");
    ok(tp_mul_u64(UINT32_MAX, UINT32_MAX, &v) && v == UINT64_C(0xfffffffe00000001),
       "what fits is right");
    ok(tp_range_within(10, 0, 10) && !tp_range_within(11, 0, 10) &&
           !tp_range_within(5, UINT64_MAX, 10),
       "ranges at and over the edge");
}

int main(void)
{
    test_append();
    test_growth();
    test_format();
    test_limits();
    return tap_done();
}
