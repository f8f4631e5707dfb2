/* SPDX-License-Identifier: MIT */
/*
 * The CUDA devices of this machine and their memory, for code without CUDA's headers. A machine
 * without a device is no error, and the program never needs one to start. Every function returns
 * -EOPNOTSUPP where the program is built without CUDA.
 */
#ifndef TP_BASE_CUDA_DEVICE_H
#define TP_BASE_CUDA_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct tp_cuda_device {
    char name[128];
    uint64_t memory;  /* bytes */
    int major, minor; /* compute capability */
    int processors;
};

/* Describe up to MAX devices; the number there is. -ENODEV: there is no driver, or it is too old
 * for this build; the message says which. */
int tp_cuda_device_list(struct tp_cuda_device *out, int max, struct tp_error *err);

/*
 * Memory of the current device: -ENODEV without one, -ENOMEM. tp_cuda_free takes NULL too. Copies
 * return when they are done: 0 or -EIO.
 */
int tp_cuda_alloc(size_t len, void **out, struct tp_error *err);
void tp_cuda_free(void *p);
int tp_cuda_upload(void *device, const void *host, size_t len, struct tp_error *err);
int tp_cuda_download(void *host, const void *device, size_t len, struct tp_error *err);

#endif
