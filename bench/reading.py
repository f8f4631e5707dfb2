# SPDX-License-Identifier: MIT
"""How fast a cold model is read through the mount, against the raw file on the same disk, cold too,
and against what the decode engine gives with no mount in the way."""

import statistics
import sys

import machine
from decoding import engine_rate
from machine import interleaved, run_timed
from report import best_median
from store import Mount

GB = 1e9
MMAP = ("import mmap, sys\nf = open(sys.argv[1], 'rb')\n"
        "m = mmap.mmap(f.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ)\n"
        "m.madvise(mmap.MADV_SEQUENTIAL)\nprint(sum(m[::4096]) & 1)\n")


def readers(path):
    return {"cat": ["cat", path], "dd bs=1M": ["dd", f"if={path}", "of=/dev/null", "bs=1M",
                                               "status=none"],
            "mmap": [sys.executable, "-c", MMAP, path]}


def read_raw(file, reader):
    machine.drop_caches()
    return timed_read(file, reader)


def read_mounted(tenpak, pair, file, reader):
    # A fresh mount: the daemon's own cache is empty, and so is the kernel's.
    with Mount(tenpak, tenpak.packs_of(pair)) as mount:
        machine.drop_caches()
        return timed_read(mount.file(pair.tune, file), reader)


def timed_read(path, reader):
    command = readers(path)[reader]
    if reader == "cat":
        command = ["sh", "-c", 'exec cat "$1" >/dev/null', "sh", path]
    return run_timed(command)


def measure(report, pair, tenpak, runs, say):
    what = f"cold reads of '{pair.name}'"
    if not machine.can_drop_caches():
        report.skip(what, "dropping the page cache needs root")
        return
    say(what)
    file = pair.tune.largest_file()
    size = file.stat().st_size
    packs = tenpak.pack_pair(pair)
    rows = report.section(f"Cold sequential read, pair '{pair.name}', all cores",
                          ["reader", "from", "GB/s best", "GB/s median"],
                          "page cache dropped and the mount made anew before each read")
    machine.touch_memory(3 * size)
    jobs = {}
    for reader in readers(file):
        jobs[reader, "raw file"] = lambda r=reader: size / read_raw(file, r).wall
        jobs[reader, "mount"] = lambda r=reader: size / read_mounted(tenpak, pair, file, r).wall
    jobs["-", "decode engine"] = lambda: engine_rate(tenpak, packs)
    results = {k: [v / GB for v in values] for k, values in interleaved(jobs, runs).items()}
    for (reader, source), values in results.items():
        best, median = best_median(values)
        rows.append({"reader": reader, "from": source, "GB/s best": best, "GB/s median": median})
    engine = statistics.median(results["-", "decode engine"])
    for reader in readers(file):
        raw = statistics.median(results[reader, "raw file"])
        ours = statistics.median(results[reader, "mount"])
        report.target(f"{pair.name}: cold {reader} through the mount, of the lower of the raw file "
                      "and 0.8 of the engine", ours / min(raw, 0.8 * engine), ">=", 1.0)
