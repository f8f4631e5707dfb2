/* SPDX-License-Identifier: MIT */
/*
 * Reads with io_uring, without a library: the pieces of a range are submitted together and complete
 * in any order.
 */
#ifndef TP_TESTS_FS_URING_H
#define TP_TESTS_FS_URING_H

#include <errno.h>
#include <linux/io_uring.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { URING_PIECES = 8 };

struct uring {
    int fd;
    void *ring;
    size_t ring_bytes;
    struct io_uring_sqe *sqes;
    struct io_uring_params params;
};

static inline unsigned *uring_field(const struct uring *uring, unsigned offset)
{
    return (unsigned *)(void *)((char *)uring->ring + offset);
}

/* 0, or a negative errno: -ENOSYS and -EPERM where the kernel lets nobody have one. */
static int uring_open(struct uring *uring)
{
    memset(uring, 0, sizeof *uring);
    uring->fd = (int)syscall(SYS_io_uring_setup, URING_PIECES, &uring->params);
    if (uring->fd < 0)
        return -errno;
    const struct io_uring_params *p = &uring->params;
    size_t submit = p->sq_off.array + p->sq_entries * sizeof(unsigned);
    size_t complete = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
    uring->ring_bytes = submit > complete ? submit : complete;
    if (!(p->features & IORING_FEAT_SINGLE_MMAP)) {
        close(uring->fd);
        return -ENOSYS;
    }
    uring->ring = mmap(NULL, uring->ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, uring->fd,
                       IORING_OFF_SQ_RING);
    uring->sqes = mmap(NULL, p->sq_entries * sizeof *uring->sqes, PROT_READ | PROT_WRITE,
                       MAP_SHARED, uring->fd, IORING_OFF_SQES);
    if (uring->ring != MAP_FAILED && uring->sqes != MAP_FAILED)
        return 0;
    close(uring->fd);
    return -ENOMEM;
}

static void uring_close(struct uring *uring)
{
    if (uring->fd < 0)
        return;
    munmap(uring->ring, uring->ring_bytes);
    munmap(uring->sqes, uring->params.sq_entries * sizeof *uring->sqes);
    close(uring->fd);
}

static void uring_queue(struct uring *uring, int fd, uint8_t *buf, uint64_t off, uint32_t len)
{
    const struct io_sqring_offsets *at = &uring->params.sq_off;
    unsigned tail = *uring_field(uring, at->tail);
    unsigned slot = tail & *uring_field(uring, at->ring_mask);

    uring->sqes[slot] = (struct io_uring_sqe){.opcode = IORING_OP_READ,
                                              .fd = fd,
                                              .off = off,
                                              .addr = (uint64_t)(uintptr_t)buf,
                                              .len = len,
                                              .user_data = len};
    uring_field(uring, at->array)[slot] = slot;
    __atomic_store_n(uring_field(uring, at->tail), tail + 1, __ATOMIC_RELEASE);
}

/* The bytes of one answer; a short one is an error here, for ranges lie within their file. */
static ssize_t uring_reap(struct uring *uring)
{
    const struct io_cqring_offsets *at = &uring->params.cq_off;
    unsigned head = *uring_field(uring, at->head);
    const struct io_uring_cqe *cqes =
        (const struct io_uring_cqe *)(const void *)((const char *)uring->ring + at->cqes);

    if (head == __atomic_load_n(uring_field(uring, at->tail), __ATOMIC_ACQUIRE)) {
        errno = EAGAIN;
        return -1;
    }
    struct io_uring_cqe answer = cqes[head & *uring_field(uring, at->ring_mask)];
    __atomic_store_n(uring_field(uring, at->head), head + 1, __ATOMIC_RELEASE);
    if (answer.res < 0 || (uint64_t)answer.res != answer.user_data) {
        errno = answer.res < 0 ? -answer.res : ENODATA;
        return -1;
    }
    return answer.res;
}

/* All of [OFF, OFF + LEN), or -1 and errno. Every answer is waited for: they point into BUF. */
static ssize_t uring_read(struct uring *uring, int fd, uint8_t *buf, uint64_t off, size_t len)
{
    size_t part = (len / URING_PIECES + 1 + 4095) / 4096 * 4096, done = 0;
    unsigned n = 0, answered = 0;
    ssize_t got = 0;

    for (size_t at = 0; at < len; at += part, n++)
        uring_queue(uring, fd, buf + at, off + at, (uint32_t)(len - at < part ? len - at : part));
    for (unsigned submitted = 0; answered < n;) {
        long rc = syscall(SYS_io_uring_enter, uring->fd, n - submitted, n - answered,
                          IORING_ENTER_GETEVENTS, NULL, 0);
        if (rc < 0 && errno != EINTR)
            return -1;
        submitted += rc > 0 ? (unsigned)rc : 0;
        for (ssize_t one; answered < n; answered++) {
            one = uring_reap(uring);
            if (one < 0 && errno == EAGAIN)
                break;
            got = one < 0 ? -1 : got;
            done += one > 0 ? (size_t)one : 0;
        }
    }
    return got < 0 ? -1 : (ssize_t)done;
}

#endif
