/* SPDX-License-Identifier: MIT */
/*
 * A thread that receives the signals by which the kernel breaks leases, and gives the leases back
 * at once.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/vector.h"
#include "store/original/leases.h"

#ifndef CEPH_SUPER_MAGIC
#define CEPH_SUPER_MAGIC 0x00c36400
#endif
#ifndef CIFS_SUPER_MAGIC
#define CIFS_SUPER_MAGIC 0xff534d42
#endif
#ifndef SMB2_SUPER_MAGIC
#define SMB2_SUPER_MAGIC 0xfe534d42
#endif
#ifndef FUSE_SUPER_MAGIC
#define FUSE_SUPER_MAGIC 0x65735546
#endif

/* How often the thread checks whether it should cancel. */
#define LOOK_NANOSECONDS 100000000L

struct tp_leases {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t started;
    pid_t tid; /* of the thread; 0: it has not started */
    const atomic_int *cancel;
    atomic_int stop;
    bool sealed, quit;
    int broken; /* a descriptor whose lease was broken; -1: none */
    int *fds;
    size_t fd_n, fd_cap;
};

/*
 * Real-time signals are queued, one for each lease, and carry the descriptor. Only the thread
 * receives them.
 */
static int request_signal(void)
{
    return SIGRTMIN + 1;
}

/* With the lock held. */
static void give_back(struct tp_leases *l, int fd)
{
    if (l->sealed || fcntl(fd, F_GETLEASE) == F_RDLCK)
        return;
    fcntl(fd, F_SETLEASE, F_UNLCK);
    if (l->broken < 0)
        l->broken = fd;
    atomic_store(&l->stop, 1);
}

/* With the lock held. Leases that were given back before are skipped. */
static void give_back_all(struct tp_leases *l)
{
    for (size_t i = 0; i < l->fd_n; i++)
        give_back(l, l->fds[i]);
}

static bool is_held(const struct tp_leases *l, int fd)
{
    for (size_t i = 0; i < l->fd_n; i++)
        if (l->fds[i] == fd)
            return true;
    return false;
}

static void *guard_thread(void *arg)
{
    const struct timespec look = {.tv_nsec = LOOK_NANOSECONDS};
    struct tp_leases *l = arg;
    bool quit = false;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, request_signal());
    sigaddset(&set,
              SIGIO); /* the kernel sends it instead when the user's queue of signals is full */
    pthread_mutex_lock(&l->lock);
    l->tid = (pid_t)syscall(SYS_gettid);
    pthread_cond_signal(&l->started);
    pthread_mutex_unlock(&l->lock);
    while (!quit) {
        siginfo_t info;
        int number = sigtimedwait(&set, &info, &look);

        pthread_mutex_lock(&l->lock);
        if (number == SIGIO)
            give_back_all(l);
        else if (number > 0 && info.si_code > 0 && is_held(l, info.si_fd))
            give_back(l, info.si_fd);
        if (l->cancel && atomic_load(l->cancel))
            atomic_store(&l->stop, 1);
        quit = l->quit;
        pthread_mutex_unlock(&l->lock);
    }
    return NULL;
}

int tp_leases_create(const atomic_int *cancel, struct tp_leases **out, struct tp_error *err)
{
    struct tp_leases *l = calloc(1, sizeof *l);
    sigset_t all, before;
    int rc;

    if (!l)
        return tp_oom(err);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->started, NULL);
    l->cancel = cancel;
    l->broken = -1;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&l->thread, NULL, guard_thread, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        free(l);
        return tp_fail(err, rc, "cannot start a thread for leases: %s", strerror(rc));
    }
    pthread_mutex_lock(&l->lock);
    while (l->tid == 0)
        pthread_cond_wait(&l->started, &l->lock);
    pthread_mutex_unlock(&l->lock);
    *out = l;
    return 0;
}

void tp_leases_destroy(struct tp_leases *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < l->fd_n; i++)
        fcntl(l->fds[i], F_SETLEASE, F_UNLCK);
    l->fd_n = 0;
    l->quit = true;
    pthread_mutex_unlock(&l->lock);
    pthread_kill(l->thread, request_signal());
    pthread_join(l->thread, NULL);
    pthread_cond_destroy(&l->started);
    pthread_mutex_destroy(&l->lock);
    free(l->fds);
    free(l);
}

/* Whether another machine, or a server, may write past this kernel. */
static bool is_shared(int fd)
{
    static const unsigned shared[] = {
        NFS_SUPER_MAGIC,
        SMB_SUPER_MAGIC,
        CIFS_SUPER_MAGIC,
        SMB2_SUPER_MAGIC,
        FUSE_SUPER_MAGIC,
        V9FS_MAGIC,
        CEPH_SUPER_MAGIC,
        AFS_SUPER_MAGIC,
        AFS_FS_MAGIC,
        CODA_SUPER_MAGIC,
        OCFS2_SUPER_MAGIC,
        0x01161970 /* GFS2 */,
        0x0bd00bd0 /* Lustre */,
        0x47504653 /* GPFS */,
        0x19830326 /* BeeGFS */,
        0x786f4256 /* shared folders of VirtualBox */,
        0xbacbacbc /* and of VMware */,
    };
    struct statfs fs;

    if (fstatfs(fd, &fs) < 0)
        return true;
    for (size_t i = 0; i < sizeof shared / sizeof shared[0]; i++)
        if ((unsigned)fs.f_type == shared[i])
            return true;
    return false;
}

/*
 * A lease needs the owner of the file or CAP_LEASE. Root in a container often has CAP_SETUID only.
 */
static int set_lease(int fd)
{
    struct stat st;
    int rc = fcntl(fd, F_SETLEASE, F_RDLCK);

    if (rc < 0 && errno == EACCES && fstat(fd, &st) == 0) {
        uid_t before = (uid_t)setfsuid(st.st_uid);

        rc = fcntl(fd, F_SETLEASE, F_RDLCK);
        int code = errno;

        setfsuid(before);
        errno = code;
    }
    if (rc == 0)
        return 0;
    return errno == EAGAIN || errno == EACCES || errno == ENOMEM ? -errno : -EOPNOTSUPP;
}

int tp_leases_add(struct tp_leases *l, int fd)
{
    struct f_owner_ex owner = {.type = F_OWNER_TID, .pid = l->tid};
    int rc = 0;

    if (is_shared(fd))
        return -EOPNOTSUPP;
    TP_LOCK_SCOPE(&l->lock);
    rc = TP_VECTOR_GROW(l->fds, l->fd_n, l->fd_cap);
    /* Set the receiver first: a request may follow at once. */
    if (rc == 0 &&
        (fcntl(fd, F_SETOWN_EX, &owner) < 0 || fcntl(fd, F_SETSIG, request_signal()) < 0))
        rc = -errno;
    if (rc == 0)
        rc = set_lease(fd);
    if (rc == 0)
        l->fds[l->fd_n++] = fd;
    return rc;
}

int tp_leases_broken(struct tp_leases *l)
{
    TP_LOCK_SCOPE(&l->lock);
    if (!l->sealed)
        give_back_all(l);
    return l->broken;
}

int tp_leases_seal(struct tp_leases *l)
{
    int fd;

    /*
     * The thread needs the lock to give a lease back, so no lease is lost between this check and
     * the seal.
     */
    TP_LOCK_SCOPE(&l->lock);
    give_back_all(l);
    fd = l->broken;
    l->sealed = fd < 0;
    return fd;
}

const atomic_int *tp_leases_cancel(const struct tp_leases *l)
{
    return &l->stop;
}

int tp_lease_probe(int fd)
{
    int rc;

    if (is_shared(fd))
        return -EOPNOTSUPP;
    /* This signal is ignored by default. */
    if (fcntl(fd, F_SETSIG, SIGURG) < 0)
        return -errno;
    rc = set_lease(fd);
    if (rc == 0)
        fcntl(fd, F_SETLEASE, F_UNLCK);
    return rc;
}
