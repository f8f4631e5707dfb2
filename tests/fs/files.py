# SPDX-License-Identifier: MIT
"""What calls on open files and whole directories must answer, in a directory given: run on an ordinary file system it shows
that the table is right, run in a mount that the mount is like one.

    files.py DIR [NAME...]    DIR is empty and stays so; prints what was wrong; with names, those tables only
"""
import ctypes
import errno
import fcntl
import mmap
import os
import random
import signal
import sqlite3
import struct
import subprocess
import sys

libc = ctypes.CDLL(None, use_errno=True)
libc.opendir.restype = libc.readdir.restype = ctypes.c_void_p
libc.telldir.restype = ctypes.c_long
checks = failures = 0
KEEP_SIZE, PUNCH, ZERO = 1, 2, 16
GETFLAGS, SETFLAGS, NODUMP = 0x80086601, 0x40086602, 0x40
OFD_SETLK = 37


def check(what, got, want):
    global checks, failures
    checks += 1
    if got != want:
        failures += 1
        print(f"# {what}: {got!r}, want {want!r}", flush=True)


def told(call, *args, **more):
    """What a call returns, or the name of its errno."""
    try:
        return call(*args, **more)
    except OSError as error:
        return errno.errorcode[error.errno]


def make(name, data=b""):
    fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    os.write(fd, data)
    return fd


def fallocate(fd, mode, offset, length):
    rc = libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length))
    return 0 if rc == 0 else errno.errorcode[ctypes.get_errno()]


def test_space():
    for mode, size in ((0, 12288), (KEEP_SIZE, 8192), (ZERO, 12288), (ZERO | KEEP_SIZE, 8192), (PUNCH | KEEP_SIZE, 8192)):
        if mode & ZERO and "NO_ZERO_RANGE" in os.environ:
            continue
        fd = make("space", b"a" * 8192)
        mapping = mmap.mmap(fd, 8192)
        check("mapped", mapping[5000], ord("a"))
        check(f"fallocate {mode}", fallocate(fd, mode, 4096, 8192), 0)
        empty = mode & (PUNCH | ZERO)
        check(f"size after {mode}", os.fstat(fd).st_size, size)
        check(f"bytes after {mode}", os.pread(fd, 1, 5000), b"\0" if empty else b"a")
        check(f"mapping after {mode}", mapping[5000:5001], b"\0" if empty else b"a")
        check(f"before {mode}", os.pread(fd, 1, 4095), b"a")
        mapping.close()
        os.close(fd)
    fd = os.open("space", os.O_RDONLY)
    check("space in a file that is open for reading", fallocate(fd, 0, 0, 1), "EBADF")
    os.close(fd)
    fd = os.open("space", os.O_RDWR)
    check("no space", fallocate(fd, 0, 0, 0), "EINVAL")
    check("a hole without keeping the size", fallocate(fd, PUNCH, 0, 1), "ENOTSUP")
    os.close(fd)
    os.unlink("space")


def test_copies():
    data = random.randbytes(300000)
    source, target = make("source", data), make("target")
    check("a copy", os.copy_file_range(source, target, len(data), 0, 0), len(data))
    check("its bytes", os.pread(target, len(data) + 1, 0), data)
    check("past the end", os.copy_file_range(source, target, 10, len(data), 0), 0)
    check("onto itself", told(os.copy_file_range, source, source, 100, 0, 50), "EINVAL")
    mapping = mmap.mmap(source, len(data))
    mapping[0:3] = b"new"
    os.copy_file_range(source, target, 3, 0, 10)
    check("what was written through a mapping is copied", os.pread(target, 3, 10), b"new")
    mapping.close()
    os.ftruncate(target, 0)
    os.lseek(target, 0, os.SEEK_SET)
    check("sendfile", os.sendfile(target, source, 0, len(data)), len(data))
    check("what it sent", os.pread(target, len(data) + 1, 0), b"new" + data[3:])
    os.close(source)
    os.close(target)
    os.unlink("source")
    os.unlink("target")


def test_holes():
    size = 3 << 20
    fd = make("holes")
    os.pwrite(fd, b"x", 1 << 20)
    os.ftruncate(fd, size)
    mapping = mmap.mmap(fd, size)
    mapping[2 << 20] = 65
    check("data behind a mapping", told(os.lseek, fd, 2 << 20, os.SEEK_DATA), 2 << 20)
    other = os.open("holes", os.O_RDONLY)
    check("as other processes see it", told(os.lseek, other, 2 << 20, os.SEEK_DATA), 2 << 20)
    os.close(other)
    mapping.close()
    os.close(fd)
    fd = os.open("holes", os.O_RDONLY)
    check("a hole at the start", os.lseek(fd, 0, os.SEEK_HOLE), 0)
    check("data after it", os.lseek(fd, 0, os.SEEK_DATA), 1 << 20)
    check("data behind the mapping once more", os.lseek(fd, (1 << 20) + 65536, os.SEEK_DATA), 2 << 20)
    check("no data at the end", told(os.lseek, fd, (2 << 20) + 65536, os.SEEK_DATA), "ENXIO")
    check("the hole at the end", os.lseek(fd, (2 << 20) + 65536, os.SEEK_HOLE), (2 << 20) + 65536)
    check("past the end", told(os.lseek, fd, size, os.SEEK_HOLE), "ENXIO")
    check("nonsense", told(os.lseek, fd, 0, 9), "EINVAL")
    os.close(fd)
    fd = make("holes")
    os.pwrite(fd, b"end", 5 << 30)
    check("more than 4 GiB", os.fstat(fd).st_size, (5 << 30) + 3)
    check("and few blocks", os.fstat(fd).st_blocks < 100, True)
    check("bytes there", os.pread(fd, 5, (5 << 30) - 2), b"\0\0end")
    mapping = mmap.mmap(fd, 4096, offset=(4 << 30) + 4096)
    mapping[0] = 9
    mapping.close()
    check("mapped there", os.pread(fd, 2, (4 << 30) + 4096), b"\x09\0")
    os.close(fd)
    os.unlink("holes")


def elsewhere(kind, name, start=0):
    """Whether another process gets this lock."""
    code = ("import fcntl, struct, sys\nfile = open(sys.argv[2], 'r+')\n"
            "kind, start = sys.argv[1], int(sys.argv[3])\ntry:\n"
            "    if kind == 'flock': fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
            "    elif kind == 'posix': fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, start)\n"
            "    else: fcntl.fcntl(file, 37, struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, start, 10, 0))\n"
            "    print('yes')\nexcept BlockingIOError: print('no')")
    return subprocess.run([sys.executable, "-c", code, kind, name, str(start)], capture_output=True, text=True,
                          check=True).stdout.strip()


def test_locks():
    file = open("lock", "w+")
    fcntl.flock(file, fcntl.LOCK_EX)
    check("flock", elsewhere("flock", "lock"), "no")
    fcntl.flock(file, fcntl.LOCK_UN)
    check("flock given back", elsewhere("flock", "lock"), "yes")
    fcntl.lockf(file, fcntl.LOCK_EX, 10, 20)
    check("a range", elsewhere("posix", "lock", 25), "no")
    check("as seen by an open file's lock", elsewhere("ofd", "lock", 25), "no")
    check("beside it", elsewhere("posix", "lock", 30), "yes")
    open("lock").close()
    check("gone with any close", elsewhere("posix", "lock", 25), "yes")
    fcntl.fcntl(file, OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 50, 10, 0))
    open("lock").close()
    check("an open file's lock", elsewhere("ofd", "lock", 55), "no")
    check("as seen by a process's", elsewhere("posix", "lock", 55), "no")
    file.close()
    check("gone with its own close", elsewhere("ofd", "lock", 55), "yes")
    os.unlink("lock")


def test_appends():
    code = ("import os, sys\nfd = os.open('log', os.O_WRONLY | os.O_APPEND)\n"
            "for i in range(500): os.write(fd, (sys.argv[1] * 63 + '\\n').encode())")
    os.close(make("log"))
    writers = [subprocess.Popen([sys.executable, "-c", code, letter]) for letter in "abc"]
    check("three writers append", [writer.wait() for writer in writers], [0, 0, 0])
    with open("log") as file:
        lines = file.read().splitlines()
    check("all lines", len(lines), 1500)
    check("each whole", all(len(line) == 63 and len(set(line)) == 1 for line in lines), True)
    fd = os.open("log", os.O_RDWR | os.O_TRUNC | os.O_APPEND)
    os.write(fd, b"12345")
    os.pwrite(fd, b"6", 0)
    check("appended whatever the offset", os.pread(fd, 9, 0), b"123456")
    fcntl.fcntl(fd, fcntl.F_SETFL, 0)
    os.pwrite(fd, b"0", 0)
    check("no more when that is taken back", os.pread(fd, 9, 0), b"023456")
    os.close(fd)
    for flag in ("O_SYNC", "O_DSYNC", "O_NOATIME", "O_NONBLOCK"):
        fd = os.open("log", os.O_RDWR | getattr(os, flag))
        check(flag, os.pwrite(fd, b"x", 0), 1)
        check(f"read with {flag}", os.pread(fd, 2, 0), b"x2")
        os.close(fd)
    os.unlink("log")


def test_mappings():
    fd = make("map", bytes(10000))
    mapping = mmap.mmap(fd, 10000)
    mapping[5000:5005] = b"hello"
    check("read sees a mapping", os.pread(fd, 5, 5000), b"hello")
    mapping.flush()
    os.pwrite(fd, b"world", 6000)
    check("a mapping sees a write", mapping[6000:6005], b"world")
    os.ftruncate(fd, 100)
    os.ftruncate(fd, 10000)
    check("nothing comes back after a truncation", mapping[5000:5005], bytes(5))
    mapping[9999] = 7
    os.ftruncate(fd, 20000)
    check("what is behind the end does not grow in", os.pread(fd, 3, 9998), b"\0\x07\0")
    mapping.close()
    os.close(fd)
    code = ("import mmap, os\nfd = os.open('map', os.O_RDWR)\nos.ftruncate(fd, 8192)\nmapping = mmap.mmap(fd, 8192)\n"
            "mapping[5000] = 1\nos.ftruncate(fd, 4096)\nmapping[5000]")
    check("behind the end there is nothing", subprocess.run([sys.executable, "-c", code]).returncode, -signal.SIGBUS)
    os.unlink("map")


class Listing:
    """A directory as readdir, telldir and seekdir have it."""

    def __init__(self, name):
        self.dir = ctypes.c_void_p(libc.opendir(name))

    def next(self):
        entry = libc.readdir(self.dir)
        return ctypes.string_at(entry + 19) if entry else None

    def rest(self):
        return list(iter(self.next, None))


def test_many():
    count = 10000
    os.mkdir("many")
    for i in range(count):
        os.close(os.open(f"many/{i:05}", os.O_CREAT | os.O_WRONLY, 0o644))
    check("all are listed", sorted(os.listdir("many")), [f"{i:05}" for i in range(count)])
    listing, places, names = Listing(b"many"), [], []
    while True:
        place, name = libc.telldir(listing.dir), listing.next()
        if name is None:
            break
        places.append(place)
        names.append(name)
    wrong = 0
    for i in random.sample(range(len(names)), 200):
        libc.seekdir(listing.dir, ctypes.c_long(places[i]))
        wrong += listing.next() != names[i]
    check("places stand", wrong, 0)
    libc.rewinddir(listing.dir)
    removed = 0
    for name in iter(listing.next, None):
        if name not in (b".", b".."):
            os.unlink(b"many/" + name)
            removed += 1
    check("all are removed while they are listed", (removed, os.listdir("many")), (count, []))
    os.close(make("many/new"))
    libc.rewinddir(listing.dir)
    check("read once more from its beginning", sorted(listing.rest()), [b".", b"..", b"new"])
    libc.closedir(listing.dir)
    os.unlink("many/new")
    os.rmdir("many")


def test_flags():
    for name, close in (("flags", lambda fd: os.unlink("flags")), ("flags.d", lambda fd: os.rmdir("flags.d"))):
        if name == "flags":
            os.close(make(name))
        else:
            os.mkdir(name)
        fd = os.open(name, os.O_RDONLY)
        before = struct.unpack("i", fcntl.ioctl(fd, GETFLAGS, bytes(8))[:4])[0]
        check(f"{name}: a flag is set", told(fcntl.ioctl, fd, SETFLAGS, struct.pack("q", before | NODUMP)) != "EPERM", True)
        after = struct.unpack("i", fcntl.ioctl(fd, GETFLAGS, bytes(8))[:4])[0]
        check(f"{name}: and read back", after, before | NODUMP)
        check(f"{name}: what is unknown", told(fcntl.ioctl, fd, 0x5401, bytes(64)), "ENOTTY")
        os.close(fd)
        close(fd)


def test_nameless():
    os.umask(0o27)
    fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o666)
    os.write(fd, b"nameless")
    check("no name", (os.listdir("."), os.fstat(fd).st_nlink, oct(os.fstat(fd).st_mode)), ([], 0, "0o100640"))
    here = os.open("/", os.O_RDONLY)
    os.link(f"/proc/self/fd/{fd}", "named", src_dir_fd=here, follow_symlinks=True)
    check("a name", (os.listdir("."), os.fstat(fd).st_nlink), (["named"], 1))
    with open("named", "rb") as file:
        check("its bytes", file.read(), b"nameless")
    os.close(fd)
    os.unlink("named")
    fd = os.open(".", os.O_TMPFILE | os.O_EXCL | os.O_WRONLY, 0o600)
    check("never a name", told(os.link, f"/proc/self/fd/{fd}", "named", src_dir_fd=here, follow_symlinks=True), "ENOENT")
    os.close(fd)
    os.close(here)
    check("nothing is left", os.listdir("."), [])
    os.umask(0o22)


def test_databases():
    code = ("import sqlite3\nbase = sqlite3.connect('base', timeout=120)\n"
            "for i in range(40):\n    base.execute('insert into t values(?)', (i,))\n    base.commit()")
    for mode in ("wal", "delete", "truncate", "persist"):
        base = sqlite3.connect("base")
        check(f"journal {mode}", base.execute(f"pragma journal_mode={mode}").fetchone(), (mode,))
        base.execute("create table t(a)")
        base.commit()
        base.close()
        writers = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
        check(f"{mode}: two writers", [writer.wait() for writer in writers], [0, 0])
        base = sqlite3.connect("base")
        check(f"{mode}: all is there", base.execute("select count(*) from t").fetchone(), (80,))
        check(f"{mode}: and whole", base.execute("pragma integrity_check").fetchone(), ("ok",))
        base.close()
        for name in os.listdir("."):
            os.unlink(name)


def main():
    tables = {name[5:]: call for name, call in globals().items() if name.startswith("test_")}
    names = sys.argv[2:] or [name for name in tables if name != "nameless"]
    given = os.environ.get("TP_SEED", "1")
    seed = random.randrange(1, 1 << 32) if given == "random" else int(given, 0)
    print(f"# TP_SEED={seed}")
    random.seed(seed)
    os.chdir(sys.argv[1])
    os.umask(0o22)
    for name in names:
        tables[name]()
    check("nothing is left", os.listdir("."), [])
    print(f"# {checks} checks, {failures} failed")
    return failures > 0


sys.exit(main())
