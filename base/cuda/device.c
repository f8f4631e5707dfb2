/* SPDX-License-Identifier: MIT */
/* The CUDA devices and their memory: errors as everywhere else, the calls in runtime.cu. */
#include <config.h>

#include "base/cuda/device.h"

#include <errno.h>

#ifdef HAVE_CUDA

#include "base/cuda/runtime.h"

int tp_cuda_device_list(struct tp_cuda_device *out, int max, struct tp_error *err)
{
    char why[TP_CUDA_WHY];
    int n = tp_cuda_runtime_count(why);

    if (n < 0)
        return tp_fail(err, ENODEV, "cannot use CUDA: %s", why);
    for (int i = 0; i < n && i < max; i++) {
        unsigned long long memory;

        if (tp_cuda_runtime_describe(i, out[i].name, sizeof out[i].name, &memory, &out[i].major,
                                     &out[i].minor, &out[i].processors, why) < 0)
            return tp_fail(err, ENODEV, "cannot use CUDA device %d: %s", i, why);
        out[i].memory = memory;
    }
    return n;
}

int tp_cuda_alloc(size_t len, void **out, struct tp_error *err)
{
    char why[TP_CUDA_WHY];
    int n = tp_cuda_device_list(NULL, 0, err);

    if (n < 0)
        return n;
    if (n == 0)
        return tp_fail(err, ENODEV, "there is no CUDA device");
    return tp_cuda_runtime_alloc(len, out, why) ? tp_fail(err, ENOMEM, "CUDA: %s", why) : 0;
}

void tp_cuda_free(void *p)
{
    if (p)
        tp_cuda_runtime_free(p);
}

static int copy_memory(void *to, const void *from, size_t len, bool to_device, struct tp_error *err)
{
    char why[TP_CUDA_WHY];

    if (tp_cuda_runtime_copy(to, from, len, to_device, why))
        return tp_fail(err, EIO, "CUDA: %s", why);
    return 0;
}

int tp_cuda_upload(void *device, const void *host, size_t len, struct tp_error *err)
{
    return copy_memory(device, host, len, true, err);
}

int tp_cuda_download(void *host, const void *device, size_t len, struct tp_error *err)
{
    return copy_memory(host, device, len, false, err);
}

#else

static int not_built(struct tp_error *err)
{
    return tp_fail(err, EOPNOTSUPP, "built without CUDA");
}

int tp_cuda_device_list(struct tp_cuda_device *out, int max, struct tp_error *err)
{
    (void)out, (void)max;
    return not_built(err);
}

int tp_cuda_alloc(size_t len, void **out, struct tp_error *err)
{
    (void)len, (void)out;
    return not_built(err);
}

void tp_cuda_free(void *p)
{
    (void)p;
}

int tp_cuda_upload(void *device, const void *host, size_t len, struct tp_error *err)
{
    (void)device, (void)host, (void)len;
    return not_built(err);
}

int tp_cuda_download(void *host, const void *device, size_t len, struct tp_error *err)
{
    (void)host, (void)device, (void)len;
    return not_built(err);
}

#endif
