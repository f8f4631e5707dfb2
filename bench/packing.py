# SPDX-License-Identifier: MIT
"""How fast packing is on one core, with zstd -3 beside it."""

import json

from machine import interleaved, run_timed
from report import best_median

GB = 1e9


def measure(report, pair, tenpak, runs, say):
    say(f"packing: {pair.name}")
    rows = report.section(
        "Packing on one core", ["what", "GB/s best", "GB/s median", "GB/s by processor time"],
        f"pair '{pair.name}', GB of input, files cached; writing includes the syncs")
    base, tune = tenpak.pack_pair(pair)
    out, compressed = (tenpak.work / "scratch" / f"speed.{s}" for s in ("tnpk", "zst"))
    size, file = pair.tune.file_bytes, pair.tune.largest_file()
    jobs = {
        "pack": lambda: tenpak.pack(pair.tune.path, out, base, 0, ("-j1", "--json")),
        "verify": lambda: run_timed([tenpak.program, "verify", "-q", "-j1", tune], 0),
        "zstd": lambda: run_timed(["zstd", "-3", "-T1", "-q", "-f", "-o", compressed, file], 0),
    }
    results = interleaved(jobs, runs)
    seconds = [json.loads(t.output)["models"][0] for t in results["pack"]]
    cpu = {name: min(t.cpu for t in times) for name, times in results.items()}
    table = (
        ("tenpak pack, without verification", [r["write_seconds"] for r in seconds],
         cpu["pack"] - cpu["verify"]),
        ("tenpak pack, verification included",
         [r["write_seconds"] + r["verify_seconds"] for r in seconds], cpu["pack"]),
        ("zstd -3", [t.wall for t in results["zstd"]], cpu["zstd"]),
    )
    for name, walls, processor in table:
        best, median = best_median([size / wall / GB for wall in walls])
        rows.append({"what": name, "GB/s best": best, "GB/s median": median,
                     "GB/s by processor time": size / processor / GB})
    report.target("pack on one core, processor time",
                  size / (cpu["pack"] - cpu["verify"]) / GB, ">=", 0.5, "GB/s")
    report.target("pack on one core, verification included, processor time",
                  size / cpu["pack"] / GB, ">=", 0.3, "GB/s")
    compressed.unlink(missing_ok=True)
    out.unlink(missing_ok=True)
