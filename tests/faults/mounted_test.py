# SPDX-License-Identifier: MIT
"""Packing and unpacking models of a directory that is mounted and read all the while: no reader ever gets a
wrong byte, a file that is open keeps its content, and a model is always found."""

import hashlib
import mmap
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from models import TENPAK, make, ok, done, run, scratch, skip_all  # noqa: E402

if not os.access("/dev/fuse", os.R_OK | os.W_OK) or shutil.which("fusermount3") is None:
    skip_all("/dev/fuse or fusermount3 is not there")
root = scratch()
store, point = root / "store", root / "mnt"
point.mkdir()
make(store / "base", elements=300000)
make(store / "tune", changed=0.3, elements=300000)
FILES = ["model.safetensors", "config.json", "sub/text"]
WANT = {(m, f): (store / m / f).read_bytes() for m in ("base", "tune") for f in FILES}

daemon = subprocess.Popen([TENPAK, "mount", "-f", store, point], stdout=subprocess.DEVNULL,
                          stderr=open(root / "log", "wb"))
end = time.monotonic() + 240
while not os.path.ismount(point) and daemon.poll() is None and time.monotonic() < end:
    time.sleep(0.02)
if not ok(os.path.ismount(point), "the directory is mounted", (root / "log").read_text(errors="replace")):
    done()

held = {key: open(point / key[0] / key[1], "rb") for key in WANT}
maps = {key: mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) for key, f in held.items()}
stop = threading.Event()
wrong, missing, READERS = [], {}, 4
reads, tries = [0] * READERS, [0] * READERS


def read_on(number):
    me, keys = number, list(WANT)
    while not stop.is_set():
        key = keys[number % len(keys)]
        number += 7
        try:
            data = (point / key[0] / key[1]).read_bytes()
            reads[me] += 1
            if data != WANT[key]:
                wrong.append((key, len(data), hashlib.sha256(data).hexdigest()))
        except OSError as error:
            missing[error.errno] = missing.get(error.errno, 0) + 1
        tries[me] += 1


def settle():
    """Until no path is followed any more that was before: the kernel follows one twice, so it may meet one change."""
    before = list(tries)
    while any(now == then for now, then in zip(tries, before)):
        time.sleep(0.001)


readers = [threading.Thread(target=read_on, args=(n,), daemon=True) for n in range(READERS)]
for reader in readers:
    reader.start()
failures, rounds = [], 0
until = time.monotonic() + 12
try:
    while time.monotonic() < until or rounds < 2 or sum(reads) <= 20:
        for args in (["pack", "-q", "--base=base", store / "tune"], ["unpack", "-q", store / "tune.tnpk"],
                     ["unpack", "-q", store / "base.tnpk"]):
            code, said = run(*args)
            settle()
            if code:
                failures.append(f"{args[0]} {args[-1].name}: {code}: {said}")
        rounds += 1
        if failures:
            break
finally:
    stop.set()
    for reader in readers:
        reader.join()
ok(not failures, f"{rounds} rounds of packing and unpacking under the mount", "\n".join(failures))
ok(sum(reads) > 20, f"there were readers ({sum(reads)} whole reads)")
ok(not wrong, "no wrong byte", wrong[:5])
ok(not missing, "and no open that fails", {os.strerror(e): n for e, n in missing.items()})
ok(all(os.pread(f.fileno(), 1 << 20, 0) == WANT[key] for key, f in held.items()), "files that were open read on")
ok(all(maps[key][:] == WANT[key] for key in WANT), "what was mapped, too")
for key in WANT:
    maps[key].close()
    held[key].close()
subprocess.run(["fusermount3", "-u", point], check=False)
try:
    ok(daemon.wait(240) == 0, "the mount ends well", (root / "log").read_text(errors="replace"))
except subprocess.TimeoutExpired:
    daemon.kill()
    ok(False, "the mount ends")
done()
