# SPDX-License-Identifier: MIT
"""Two at once on one store: one process is stopped in front of each of its calls on files in turn, another
runs meanwhile, the first goes on. Whoever wins, every model is whole and can be packed afterwards."""

import os
import shutil
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from models import (fingerprint, hidden, make, need_preload, ok, done, run, scratch,  # noqa: E402
                    start, state, wait)

BUSY = 11
need_preload()
root = scratch()
origin = root / "origin"
make(origin / "base")
make(origin / "tune", changed=0.3)
WANT = {name: fingerprint(origin / name) for name in ("base", "tune")}
store, packed, restored = root / "store", root / "packed", root / "restored"
shutil.copytree(origin, packed, symlinks=True)
for name in WANT:
    code, said = run("pack", "-q", "-j1", packed / name)
    if code:
        ok(False, f"packing {name} for the tests", said)
        done()


def reset(begin):
    for path in (store, restored):
        shutil.rmtree(path, ignore_errors=True)
    store.mkdir()
    for entry in begin:
        source = packed / entry if entry.endswith(".tnpk") else origin / entry
        if source.is_dir():
            shutil.copytree(source, store / entry, symlinks=True)
        else:
            shutil.copy2(source, store / entry)


def complaint():
    for name, want in WANT.items():
        plain, pack = fingerprint(store / name), store / f"{name}.tnpk"
        if plain is not None and plain != want:
            return f"the directory {name} is there and not whole"
        if pack.exists():
            shutil.rmtree(restored, ignore_errors=True)
            code_, said_ = run("unpack", "-q", "-j1", "-o", restored, pack)
            if code_ or fingerprint(restored) != want:
                return f"the pack of {name} is there and not whole: {said_}"
        elif plain is None:
            return f"{name} is gone"
    return None


def settle():
    """Afterwards all can be packed, and nothing lies about."""
    for name in WANT:
        code_, said_ = run("pack", "-q", "-j1", "--base=none", store / name)
        if code_:
            return f"packing {name} afterwards: {said_}"
    if sorted(e.name for e in store.iterdir()) != ["base.tnpk", "tune.tnpk"]:
        return f"left: {sorted(e.name for e in store.iterdir())}"
    return complaint()


def stopped(child):
    """Wait until it stops (True) or ends (False)."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        info = os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        return info.si_code == os.CLD_STOPPED
    return False


def interleave(title, begin, first, second, allowed=(0, BUSY)):
    """FIRST is stopped at call 1, 2, 3...; SECOND runs; FIRST goes on."""
    wrong, number, codes, proven = [], 0, {}, set()
    while True:
        number += 1
        reset(begin)
        child = start(*first, fault={"dir": root, "at": number, "kind": "stop"})
        if not stopped(child):
            wait(child)
            break
        code2, said2 = run(*second)
        child.send_signal(signal.SIGCONT)
        code1, said1 = wait(child)
        left = state(store)
        problem = None if left in proven else complaint() or settle()
        if not problem:
            proven.add(left)
        codes[code1, code2] = codes.get((code1, code2), 0) + 1
        if code1 not in allowed or code2 not in allowed:
            problem = problem or "fails as it should not"
        if problem:
            wrong.append(f"stopped at call {number}, exits {code1} and {code2}: {problem}\n{said1}{said2}")
    ok(number > 10 and not wrong, f"{title} (at each of {number - 1} calls; exits {codes})",
       "\n".join(wrong[:6]) + f"\n{len(wrong)} of {number - 1}")


def pack(name, base="none"):
    return ["pack", "-q", "-j1", f"--base={base}", store / name]


def unpack(name):
    return ["unpack", "-q", "-j1", store / f"{name}.tnpk"]


interleave("pack and pack of one model", ["base", "tune"], pack("base"), pack("base"))
interleave("pack, and pack of its base", ["base", "tune"], pack("tune", "base"), pack("base"))
interleave("pack of a base, and of what stands on it", ["base", "tune"], pack("base"), pack("tune", "base"))
# 1: what the other has just removed is not there.
interleave("pack against a base, and unpack of the base", ["base.tnpk", "tune"], pack("tune", "base"), unpack("base"),
           allowed=(0, 1, BUSY))
interleave("unpack of a base, and pack against it", ["base.tnpk", "tune"], unpack("base"), pack("tune", "base"),
           allowed=(0, 1, BUSY))
interleave("unpack and unpack", ["base.tnpk", "tune"], unpack("base"), unpack("base"), allowed=(0, 1, BUSY))
interleave("unpack and pack", ["base.tnpk", "tune"], unpack("base"), pack("base"), allowed=(0, 1, BUSY))
interleave("unpack of what stands on a base, and of the base", ["base.tnpk", "tune.tnpk"], unpack("tune"),
           unpack("base"))

# --- And without order: many at once ----------------------------------------------------------------------------

for round_ in range(8):
    reset(["base", "tune"])
    children = [start(*a) for a in (pack("base"), pack("tune", "base"), pack("base"), pack("tune", "base"))]
    ends = [wait(c) for c in children]
    problem = complaint() or settle()
    if not ok(not problem and all(code in (0, 1, BUSY) for code, _ in ends), f"four at once, round {round_}",
              f"{problem}\n{ends}"):
        break
ok(hidden(store) == [], "nothing hidden is left")
done()
