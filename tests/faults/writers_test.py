# SPDX-License-Identifier: MIT
"""A writer at each call of a pack in place: the packer is stopped in front of a call, the writer does its work, the
packer goes on. Afterwards the model has what the writer last got success for, as a directory or as a pack; where it is a
pack the writer's work is in it. A writer that is told of an error may find anything that is whole."""

import mmap
import os
import shutil
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from models import done, fingerprint, hidden, make, need_preload, ok, run, scratch, start, wait  # noqa: E402

BUSY = 11
EARLY_STEP = 5  # of the calls that read and write, every fifth; of those that remove, every one
need_preload()
root = scratch()
origin, store, restored = root / "origin", root / "store", root / "restored"
make(origin / "base")
make(origin / "other", change_seed=7, changed=0.3)
WANT = {name: fingerprint(origin / name) for name in ("base", "other")}
PACK = ["pack", "-q", "-j1", "--base=none", store / "base"]
FILES = ("config.json", "model.safetensors", "sub/text", "sub/empty")


def reset():
    for path in (store, restored):
        shutil.rmtree(path, ignore_errors=True)
    store.mkdir()
    for name in WANT:
        shutil.copytree(origin / name, store / name, symlinks=True)


class Meeting:
    """A packer that is stopped, and what a writer finds at hand: descriptors from before, and opening with patience."""

    def __init__(self, call):
        reset()
        self.top = os.open(store / "base", os.O_RDONLY | os.O_DIRECTORY)
        self.sub = os.open(store / "base" / "sub", os.O_RDONLY | os.O_DIRECTORY)
        self.file = os.open(store / "base" / "sub" / "text", os.O_RDONLY)
        self.child = start(*PACK, fault={"dir": root, "at": call, "kind": "stop"})
        info = os.waitid(os.P_PID, self.child.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        self.stopped = info.si_code == os.CLD_STOPPED

    def go_on(self):
        if self.stopped:
            self.child.send_signal(signal.SIGCONT)
        self.stopped = False

    def open(self, path, flags, mode=0o644, **how):
        """The kernel holds a writer until the packer gives the file up, which it cannot while it is stopped."""
        try:
            fd = os.open(path, flags | os.O_NONBLOCK, mode, **how)
        except BlockingIOError:
            self.go_on()
            fd = os.open(path, flags, mode, **how)
        return fd

    def end(self):
        self.go_on()
        code, said = wait(self.child)
        for fd in (self.top, self.sub, self.file):
            os.close(fd)
        return code, said


def put(fd, data):
    os.write(fd, data)
    os.fsync(fd)
    os.close(fd)


# Each returns what the model must have: {path: content}; or raises OSError.

def append(m):
    put(m.open(store / "base/sub/text", os.O_WRONLY | os.O_APPEND), b"more\n")
    return {"sub/text": b"text\nmore\n"}


def append_by_descriptor(m):
    put(m.open("text", os.O_WRONLY | os.O_APPEND, dir_fd=m.sub), b"more\n")
    return {"sub/text": b"text\nmore\n"}


def rewrite_with_times_set_back(m):
    path = store / "base/sub/text"
    was = path.stat()
    fd = m.open(path, os.O_WRONLY)
    os.write(fd, b"TEXT\n")
    os.utime(fd, ns=(was.st_atime_ns, was.st_mtime_ns))
    put(fd, b"")
    return {"sub/text": b"TEXT\n"}


def write_through_mapping(m):
    fd = m.open(store / "base/sub/text", os.O_RDWR)
    shared = mmap.mmap(fd, 0)
    os.close(fd)
    m.go_on()
    shared[:4] = b"MAPS"
    shared.flush()
    shared.close()
    return {"sub/text": b"MAPS\n"}


def save_by_rename(m):
    path = store / "base/config.json"
    temporary = store / "base/config.json.new"
    put(os.open(temporary, os.O_WRONLY | os.O_CREAT, 0o600), b'{"saved": 1}\n')
    os.rename(temporary, path)
    return {"config.json": b'{"saved": 1}\n'}


def save_by_descriptor(m):
    put(os.open("config.json.new", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=m.top), b'{"saved": 2}\n')
    os.rename("config.json.new", "config.json", src_dir_fd=m.top, dst_dir_fd=m.top)
    return {"config.json": b'{"saved": 2}\n'}


def new_file_by_descriptor(m):
    put(os.open("new", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=m.sub), b"new\n")
    return {"sub/new": b"new\n"}


def new_directory_by_descriptor(m):
    os.mkdir("made", dir_fd=m.top)
    put(os.open("made/file", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=m.top), b"in it\n")
    return {"made/file": b"in it\n"}


def swap_directories(m):
    os.rename(store / "base", store / "away")
    os.rename(store / "other", store / "base")
    return None


WRITERS = [append, append_by_descriptor, rewrite_with_times_set_back, write_through_mapping, save_by_rename,
           save_by_descriptor, new_file_by_descriptor, new_directory_by_descriptor, swap_directories]


def as_files(tree):
    return {f: (tree / f).read_bytes() for f in FILES}


ORIGINAL = as_files(origin / "base")


def model():
    """The directory of the model, or of what its pack holds."""
    if (store / "base").is_dir():
        return store / "base"
    shutil.rmtree(restored, ignore_errors=True)
    code, said = run("unpack", "-q", "-j1", "-o", restored, store / "base.tnpk")
    return restored if code == 0 else said


def complaint(code, work):
    if code not in (0, BUSY):
        return "fails as it should not"
    left = [e for e in hidden(store) if e != ".tenpak"]
    if left:
        return f"left behind: {left}"
    if code == 0 and not (store / "base.tnpk").exists():
        return "is packed, and there is no pack"
    if work is None:  # directories were swapped
        if fingerprint(model()) != WANT["other"]:
            return "the directory that came in place of the model is not whole"
        away = fingerprint(store / "away")
        return None if away == WANT["base"] else "what was swapped out is not whole"
    where = model()
    if isinstance(where, str):
        return f"neither a directory nor a pack: {where}"
    for path, content in {**ORIGINAL, **work}.items():
        if not (where / path).exists():
            return f"{path} is gone"
        if (where / path).read_bytes() != content:
            return f"{path} has {(where / path).read_bytes()[:60]}, not {content[:60]}"
    return None


def calls_of_a_pack():
    reset()
    log = root / "calls"
    code, said = run(*PACK, fault={"dir": root, "at": 0, "kind": "none", "log": log})
    lines = log.read_text().splitlines()
    if not ok(code == 0 and len(lines) > 20, f"a pack in place makes {len(lines)} calls", said):
        done()
    removing = next(n for n, line in enumerate(lines, 1) if "rename" in line and line.endswith("/store/base"))
    return [n for n in range(1, len(lines) + 1) if n % EARLY_STEP == 0 or n >= removing - 1], removing


calls, removing = calls_of_a_pack()
for writer in WRITERS:
    wrong, met, told, packed = [], 0, 0, 0
    for call in calls:
        meeting = Meeting(call)
        if not meeting.stopped:
            wait(meeting.child)
            continue
        met += 1
        try:
            work = writer(meeting)
        except OSError:
            told += 1
            work = {}
        code, said = meeting.end()
        packed += code == 0
        problem = complaint(code, work)
        if problem:
            wrong.append(f"at call {call} (exit {code}): {problem}\n{said.strip()}")
    title = f"{writer.__name__.replace('_', ' ')}: at each of {met} calls; told {told} times, packed {packed}"
    ok(met > 10 and not wrong, title, "\n".join(wrong[:6]) + f"\n{len(wrong)} of {met}")

# --- Writers that were there before --------------------------------------------------------------------------------

for name, mapped in (("open for writing", False), ("mapped writably", True)):
    reset()
    with open(store / "base/sub/text", "r+b") as file:
        shared = mmap.mmap(file.fileno(), 0) if mapped else None
        if mapped:
            file.close()
        was = fingerprint(store / "base")
        code, said = run(*PACK)
        ok(code == BUSY and "sub/text' is open for writing" in said, f"a file that is {name} is named", f"{code}: {said}")
        ok(fingerprint(store / "base") == was and sorted(e.name for e in store.iterdir()) == ["base", "other"],
           "and nothing has changed")
        code, said = run("pack", "-n", "-q", "--base=none", store / "base")
        ok(code == BUSY and "is open for writing" in said, "a dry run says so, too", f"{code}: {said}")
        code, said = run("pack", "-q", "--keep", "--base=none", store / "base")
        ok(code == 0 and (store / "base").is_dir(), "--keep packs it", f"{code}: {said}")
        if mapped:
            shared.close()
done()
