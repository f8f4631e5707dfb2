# SPDX-License-Identifier: MIT
"""How fast packing is on one core, with zstd -3 beside it."""

import json
import os

from machine import interleaved, run_timed
from report import best_median

GB = 1e9


def seconds(times, *names):
    """What tenpak says of its own wall-clock time: the sum of NAMES, for each run."""
    return [sum(json.loads(t.output)["models"][0][name] for name in names) for t in times]


def measure(report, pair, tenpak, runs, say):
    say(f"packing: {pair.name}")
    core = max(os.sched_getaffinity(0))
    rows = report.section(
        "Packing on one core", ["what", "GB/s best", "GB/s median", "GB/s by processor time"],
        f"pair '{pair.name}', GB of input by the wall clock, files cached, all on processor {core}; "
        "writing includes the syncs")
    base, _ = tenpak.pack_pair(pair)
    out, compressed = (tenpak.work / "scratch" / f"speed.{s}" for s in ("tnpk", "zst"))
    options = ("-j1", "--json")
    jobs = {
        "fine-tune": lambda: tenpak.pack(pair.tune.path, out, base, core, options),
        "base": lambda: tenpak.pack(pair.base.path, out, None, core, options),
        "zstd": lambda: run_timed(
            ["zstd", "-3", "-T1", "-q", "-f", "-o", compressed, pair.tune.largest_file()], core),
    }
    results = interleaved(jobs, runs)
    table = [("zstd -3", pair.tune.file_bytes, [t.wall for t in results["zstd"]], results["zstd"])]
    for name, model in (("base", pair.base), ("fine-tune", pair.tune)):
        times = results[name]
        table.insert(0, (f"pack the {name}, verification included", model.file_bytes,
                         seconds(times, "write_seconds", "verify_seconds"), times))
        table.insert(0, (f"pack the {name}, without verification", model.file_bytes,
                         seconds(times, "write_seconds"), None))
    for what, size, walls, times in table:
        best, median = best_median([size / wall / GB for wall in walls])
        processor = size / min(t.cpu for t in times) / GB if times else None
        rows.append({"what": what, "GB/s best": best, "GB/s median": median,
                     "GB/s by processor time": processor})
        if what.startswith("pack"):
            report.target(f"{what}, one core", best, ">=", 0.5 if times is None else 0.3, "GB/s")
    compressed.unlink(missing_ok=True)
    out.unlink(missing_ok=True)
