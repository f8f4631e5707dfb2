/* SPDX-License-Identifier: MIT */
/* The CUDA devices of this machine: none is no error, and the program never needs one to start. */
#ifndef TP_CODEC_CUDA_DEVICE_H
#define TP_CODEC_CUDA_DEVICE_H

#include <stdint.h>

#include "base/error.h"

struct tp_cuda_device {
    char name[128];
    uint64_t memory;  /* bytes */
    int major, minor; /* compute capability */
    int processors;
};

/* Describe up to MAX devices; the number there is. -EOPNOTSUPP: built without CUDA. -ENODEV: there
 * is no driver, or it cannot serve this build; err says which. */
int tp_cuda_device_list(struct tp_cuda_device *out, int max, struct tp_error *err);

#endif
