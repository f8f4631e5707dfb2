# SPDX-License-Identifier: MIT
"""How long unmodified transformers takes to load a model, raw directory against mount."""

import json
import sys
from pathlib import Path

import machine
from machine import interleaved, run_timed
from report import best_median
from store import Mount

SCRIPT = Path(__file__).with_name("load_model.py")


def load(pair, directory):
    config = json.loads((pair.tune.path / "config.json").read_text())
    return json.loads(run_timed([sys.executable, SCRIPT, directory, config["architectures"][0]]).output)


def load_cold(tenpak, pair, mounted):
    with Mount(tenpak, tenpak.packs_of(pair)) as mount:
        machine.drop_caches()
        return load(pair, mount.point / pair.tune.path.name if mounted else pair.tune.path)


def add(report, rows, pair, state, results):
    for source, values in results.items():
        for key, what in (("load", "from_pretrained"), ("used", "and every weight read")):
            best, median = best_median([v[key] for v in values], min)
            rows.append({"pair": pair.name, "cache": state, "from": source, "what": what,
                         "s best": best, "s median": median})
    if len({v["sum"] for values in results.values() for v in values}) != 1:
        raise RuntimeError(f"'{pair.name}': the weights from the mount are not those of the files")
    if state == "warm":
        for key, what in (("load", "load"), ("used", "load with every weight read")):
            raw, ours = (min(v[key] for v in results[s]) for s in ("raw directory", "mount"))
            report.target(f"{pair.name}: transformers {what}, warm, of the raw directory's time",
                          ours / raw, "<=", 1.1)


def measure(report, pairs, tenpak, runs, say):
    rows = report.section("Loading with transformers",
                          ["pair", "cache", "from", "what", "s best", "s median"],
                          "from_pretrained of a fresh process, without the imports")
    for pair in pairs:
        say(f"loading: {pair.name}")
        tenpak.pack_pair(pair)
        with Mount(tenpak, tenpak.packs_of(pair)) as mount:
            jobs = {"raw directory": lambda: load(pair, pair.tune.path),
                    "mount": lambda: load(pair, mount.point / pair.tune.path.name)}
            for job in jobs.values():
                job()
            add(report, rows, pair, "warm", interleaved(jobs, runs))
        if machine.can_drop_caches():
            jobs = {"raw directory": lambda: load_cold(tenpak, pair, False),
                    "mount": lambda: load_cold(tenpak, pair, True)}
            add(report, rows, pair, "cold", interleaved(jobs, runs))
        else:
            report.skip(f"cold load of '{pair.name}'", "dropping the page cache needs root")
