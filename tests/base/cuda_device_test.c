/* SPDX-License-Identifier: MIT */
/* Listing CUDA devices: a result on every machine, and a full description of each device. */
#include <config.h>

#include "base/cuda/device.h"

#include <errno.h>

#include "tests/tap.h"

int main(void)
{
    struct tp_cuda_device devices[16];
    struct tp_error err = {0};
    int n = tp_cuda_device_list(devices, 16, &err);
#ifndef HAVE_CUDA
    is_int(n, -EOPNOTSUPP, "without CUDA in the build the answer says so");
    return tap_done();
#endif
    ok(n >= 0 || n == -ENODEV, "an answer: %d", n);
    if (n < 0)
        ok(err.code == n && strstr(err.message, "cannot use CUDA"), "with its reason: %s",
           err.message);
    for (int i = 0; i < n && i < 16; i++)
        ok(devices[i].name[0] && devices[i].memory > 1 << 20 && devices[i].major > 0 &&
               devices[i].processors > 0,
           "%s, %" PRIu64 " MiB, sm_%d%d", devices[i].name, devices[i].memory >> 20,
           devices[i].major, devices[i].minor);
    if (n <= 0)
        skip("no device to describe");
    return tap_done();
}
