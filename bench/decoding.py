# SPDX-License-Identifier: MIT
"""How fast packs decode in memory: the engine end to end, and the codecs' kernels alone, for each
instruction set that the processor has."""

import json
import re

from machine import run_timed

GB = 1e9
ISAS = ("avx512", "avx2", "scalar")
# GB/s on one core: end to end, and of the delta's kernel alone.
TARGETS = {"avx512": (1.5, 2.5), "avx2": (0.75, 1.25)}
LINE = re.compile(r"(\d+) threads: best ([\d.]+) GB/s, median ([\d.]+) GB/s;"
                  r".* ([\d.]+) GB/s a core")


def engine(tenpak, pack, runs, isa=None):
    """{threads: (best, median, for each second of processor time)} in GB/s of a model's bytes."""
    env = {"TENPAK_CPU": isa} if isa else None
    command = [tenpak.helpers / "engine_bench", pack.parent, pack.stem, str(runs)]
    lines = LINE.findall(run_timed(command, env=env).output)
    return {int(n): (float(b), float(m), float(c)) for n, b, m, c in lines}


def engine_rate(tenpak, packs):
    """Bytes a second that the engine gives of a fine-tune with all cores."""
    rates = engine(tenpak, packs[1], 1)
    return rates[max(rates)][0] * GB


def kernels(tenpak, pack, runs, isa):
    """({codec: GB/s for each second of processor time}, the instruction set that really ran)."""
    command = [tenpak.helpers / "kernel_bench", pack, str(4 * runs)]
    out = json.loads(run_timed(command, env={"TENPAK_CPU": isa}).output)
    return {k: v["bytes"] / v["seconds"] / GB for k, v in out["kernels"].items()
            if v["bytes"] >= 1 << 20}, out["isa"]


def measure_model(rows, tenpak, name, pack, runs, isa):
    alone, ran = kernels(tenpak, pack, runs, isa)
    if ran != isa:
        return None
    rates = engine(tenpak, pack, runs, isa)
    for threads, (best, median, core) in rates.items():
        rows.append({"model": name, "isa": isa, "what": f"engine, {threads} threads",
                     "GB/s best": best, "GB/s median": median, "GB/s a core": core})
    for codec, rate in alone.items():
        rows.append({"model": name, "isa": isa, "what": f"kernel of {codec}", "GB/s a core": rate})
    return rates, alone


def measure(report, pair, tenpak, runs, say):
    rows = report.section(f"Decoding in memory, pair '{pair.name}'",
                          ["model", "isa", "what", "GB/s best", "GB/s median", "GB/s a core"],
                          "delta and base both from packs; 'a core' is by processor time")
    base, tune = tenpak.pack_pair(pair)
    for isa in ISAS:
        say(f"decoding: {pair.name}, {isa}")
        measure_model(rows, tenpak, "base", base, runs, isa)
        result = measure_model(rows, tenpak, pair.tune.path.name, tune, runs, isa)
        if result is None:
            report.skip(f"decoding with {isa}", "the processor does not have it")
        elif isa in TARGETS:
            rates, alone = result
            whole, kernel = TARGETS[isa]
            best = max(rates[1][0], rates[1][2])
            report.target(f"decode on one core, {isa}, end to end", best, ">=", whole, "GB/s")
            report.target(f"decode on one core, {isa}, kernel of delta", alone.get("delta", 0.0),
                          ">=", kernel, "GB/s")
