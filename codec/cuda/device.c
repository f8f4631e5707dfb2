/* SPDX-License-Identifier: MIT */
/* The CUDA devices, where this build has CUDA. */
#include <config.h>

#include "codec/cuda/device.h"

#include <errno.h>

#ifdef HAVE_CUDA

#include "codec/cuda/query.h"

int tp_cuda_device_list(struct tp_cuda_device *out, int max, struct tp_error *err)
{
    char why[256];
    int n = tp_cuda_query_count(why, sizeof why);
    if (n < 0)
        return tp_fail(err, ENODEV, "cannot use CUDA: %s", why);
    for (int i = 0; i < n && i < max; i++) {
        unsigned long long memory;
        if (tp_cuda_query_device(i, out[i].name, sizeof out[i].name, &memory, &out[i].major,
                                 &out[i].minor, &out[i].processors, why, sizeof why) < 0)
            return tp_fail(err, ENODEV, "cannot use CUDA device %d: %s", i, why);
        out[i].memory = memory;
    }
    return n;
}

#else

int tp_cuda_device_list(struct tp_cuda_device *out, int max, struct tp_error *err)
{
    (void)out;
    (void)max;
    return tp_fail(err, EOPNOTSUPP, "built without CUDA");
}

#endif
