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
    base = tenpak.pack_pair(pair)[0]
    out = tenpak.work / "scratch" / "speed.tnpk"
    size, file = pair.tune.file_bytes, pair.tune.largest_file()
    jobs = {
        "tenpak": lambda: tenpak.pack(pair.tune.path, out, base, 0, ("-j1", "--json")),
        "zstd": lambda: run_timed(["zstd", "-3", "-T1", "-q", "-f", "-o", out, file], 0),
    }
    results = interleaved(jobs, runs)
    reports = [json.loads(t.output)["models"][0] for t in results["tenpak"]]
    writing = [size / r["write_seconds"] / GB for r in reports]
    whole = [size / (r["write_seconds"] + r["verify_seconds"]) / GB for r in reports]
    zstd = [size / t.wall / GB for t in results["zstd"]]
    for name, rates, times in (("tenpak pack, writing", writing, None),
                               ("tenpak pack, verification included", whole, results["tenpak"]),
                               ("zstd -3", zstd, results["zstd"])):
        best, median = best_median(rates)
        cpu = max(size / t.cpu / GB for t in times) if times else None
        rows.append({"what": name, "GB/s best": best, "GB/s median": median,
                     "GB/s by processor time": cpu})
    report.target("pack on one core", max(writing), ">=", 0.5, "GB/s")
    report.target("pack on one core, verification included", max(whole), ">=", 0.3, "GB/s")
    out.unlink(missing_ok=True)
