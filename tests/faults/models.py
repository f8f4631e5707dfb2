# SPDX-License-Identifier: MIT
"""For the tests of faults: TAP, small models made of nothing, what a tree is known by, running the
program with a call made to fail (tests/faults/preload.c)."""

import atexit
import hashlib
import json
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tap import done, ok, skip, skip_all  # noqa: E402,F401  pylint: disable=C0413,W0611

BUILD = Path(os.environ.get("top_builddir", ".")).resolve()
TENPAK = Path(os.environ.get("TENPAK", BUILD / "tenpak"))
PRELOAD = BUILD / "tests" / "faults" / "preload.so"
BEGAN = time.time_ns()


def scratch(where=None):
    """A directory that goes away however the test ends, on WHERE's file system."""
    # Thousands of fsyncs: in memory unless somebody says where.
    if not where and "TMPDIR" not in os.environ and os.access("/dev/shm", os.W_OK):
        where = "/dev/shm"
    root = Path(tempfile.mkdtemp(prefix="tenpak-test.", dir=where)).resolve()
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda n, _: sys.exit(128 + n))
    return root


def weights(seed, changed=0.0, change_seed=0, elements=3000):
    """BF16 as a model has it; a part of the elements nudged as a fine-tune's are."""
    draw = random.Random(seed)
    values = [0x3C00 + draw.getrandbits(8) + (draw.getrandbits(1) << 15) for _ in range(elements)]
    draw = random.Random(change_seed)
    for i in range(elements):
        if draw.random() < changed:
            values[i] ^= 1 << draw.randrange(3)
    return struct.pack(f"<{elements}H", *values)


def make(path, data=None, **how):
    """A model with two tensors, a directory, a link, an empty file."""
    data = data or weights(1, **how)
    half = len(data) // 4 * 2
    header = json.dumps({
        "a": {"dtype": "BF16", "shape": [half // 2], "data_offsets": [0, half]},
        "b": {"dtype": "BF16", "shape": [(len(data) - half) // 2], "data_offsets": [half, len(data)]},
    }).encode()
    path.mkdir(parents=True)
    (path / "sub").mkdir()
    (path / "config.json").write_text('{"model_type": "llama"}\n')
    (path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + data)
    (path / "sub" / "text").write_text("text\n")
    (path / "sub" / "empty").write_text("")
    (path / "link").symlink_to("sub/text")
    os.chmod(path / "config.json", 0o600)
    for number, name in enumerate(["sub/text", "sub/empty", "config.json", "model.safetensors", "sub", "."]):
        os.utime(path / name, ns=(0, 1000000000000000001 + number))
    os.utime(path / "link", ns=(0, 1), follow_symlinks=False)


def content_of(entry):
    if entry.is_symlink():
        return os.readlink(entry)
    return hashlib.sha256(entry.read_bytes()).hexdigest() if entry.is_file() else ""


def fingerprint(path):
    """Every entry's name, kind, mode, time and content; None: there is no such directory."""
    path = Path(path)
    if not path.is_dir():
        return None
    found = []
    for entry in [path, *sorted(path.rglob("*"))]:
        st = entry.lstat()
        found.append((str(entry.relative_to(path)), oct(st.st_mode), st.st_mtime_ns, content_of(entry)))
    return found


def state(*directories):
    """What the program meets in the directories: as fingerprint(), but equal for two runs that did the same. Numbers of
    processes in temporary names are left out, and times since the test began. What is proven of a state need not be
    proven again."""
    found = []
    for directory in directories:
        for entry in sorted(directory.rglob("*")):
            st = entry.lstat()
            name = re.sub(r"tmp-[0-9]+-[0-9]+", "tmp", str(entry.relative_to(directory)))
            set_by_model = st.st_mtime_ns < BEGAN
            found.append((name, oct(st.st_mode), set_by_model and st.st_mtime_ns, content_of(entry)))
        found.append(None)
    return tuple(found)


def hidden(path):
    """What of the program's own lies about in a store."""
    return sorted(e.name for e in Path(path).iterdir() if e.name.startswith("."))


def start(*args, fault=None, **more):
    """The program as a child; FAULT: the environment of preload.c."""
    env = dict(os.environ)
    if fault:
        env.update({f"TP_FAULT_{key.upper()}": str(value) for key, value in fault.items()})
        env["LD_PRELOAD"] = str(PRELOAD)
    return subprocess.Popen([TENPAK, *map(str, args)], env=env, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)


def wait(child, timeout=600):
    """Its exit code (negative: the signal) and what it said."""
    said, _ = child.communicate(timeout=timeout)
    return child.returncode, said.decode(errors="replace")


def run(*args, fault=None, **more):
    return wait(start(*args, fault=fault, **more))


def need_preload():
    if not PRELOAD.exists():
        skip_all("tests/faults/preload.so is not built")
    if "sanitize" in os.environ.get("TP_SANITIZED", ""):
        skip_all("a sanitizer wants to be the first library itself")
