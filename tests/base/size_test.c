/* SPDX-License-Identifier: MIT */
/* Sizes as people write them. */
#include <config.h>

#include "base/size.h"

#include <errno.h>

#include "tests/tap.h"

static const struct {
    const char *text;
    int rc;
    uint64_t bytes;
} parsed[] = {
    {"0", 0, 0},
    {"1", 0, 1},
    {"17B", 0, 17},
    {"512M", 0, UINT64_C(512) << 20},
    {"512m", 0, UINT64_C(512) << 20},
    {"1.5GiB", 0, UINT64_C(3) << 29},
    {"1.5 GiB", 0, UINT64_C(3) << 29},
    {"2kB", 0, 2000},
    {"2KB", 0, 2000},
    {"2K", 0, 2048},
    {"1TB", 0, UINT64_C(1000000000000)},
    {"1TiB", 0, UINT64_C(1) << 40},
    {"0.1K", 0, 102},
    {"0.999999999999999999999999K", 0, 1023},
    {"16E", -ERANGE, 0},
    {"15.9999999999E", 0, UINT64_C(18446744073594259465)},
    {"18446744073709551615", 0, UINT64_MAX},
    {"18446744073709551616", -ERANGE, 0},
    {"99999999999999999999999", -ERANGE, 0},
    {"", -EINVAL, 0},
    {"M", -EINVAL, 0},
    {"-1", -EINVAL, 0},
    {"+1", -EINVAL, 0},
    {" 1", -EINVAL, 0},
    {"1.", -EINVAL, 0},
    {".5M", -EINVAL, 0},
    {"1e3", -EINVAL, 0},
    {"1  M", -EINVAL, 0},
    {"1MM", -EINVAL, 0},
    {"1Mi", -EINVAL, 0},
    {"0x10", -EINVAL, 0},
    {"12 monkeys", -EINVAL, 0},
};

static const struct {
    uint64_t bytes;
    const char *text;
} printed[] = {
    {0, "0 B"},
    {1023, "1023 B"},
    {1024, "1.00 KiB"},
    {1536, "1.50 KiB"},
    {10 * 1024, "10.0 KiB"},
    {100 * 1024, "100 KiB"},
    {1023 * 1024, "1023 KiB"},
    {1024 * 1024 - 1, "1.00 MiB"},
    {UINT64_C(372) << 20, "372 MiB"},
    {UINT64_MAX, "16.0 EiB"},
};

int main(void)
{
    for (size_t i = 0; i < sizeof parsed / sizeof *parsed; i++) {
        uint64_t bytes = 0;
        int rc = tp_size_parse(parsed[i].text, &bytes);
        ok(rc == parsed[i].rc && bytes == parsed[i].bytes, "'%s': %d, %" PRIu64, parsed[i].text, rc,
           bytes);
    }
    for (size_t i = 0; i < sizeof printed / sizeof *printed; i++) {
        char text[TP_SIZE_TEXT];
        is_str(tp_size_print(printed[i].bytes, text), printed[i].text, printed[i].text);
    }
    return tap_done();
}
