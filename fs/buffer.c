/* SPDX-License-Identifier: MIT */
/* A buffer for each thread, freed when the thread ends. */
#include <config.h>

#include "fs/buffer.h"

#include <pthread.h>
#include <stdlib.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t buffer_key;

static void make_key(void)
{
    pthread_key_create(&buffer_key, free);
}

void *tp_thread_buffer(void)
{
    void *buffer;

    pthread_once(&once, make_key);
    buffer = pthread_getspecific(buffer_key);
    if (!buffer && posix_memalign(&buffer, 4096, TP_MAX_READ) == 0)
        pthread_setspecific(buffer_key, buffer);
    return buffer;
}
