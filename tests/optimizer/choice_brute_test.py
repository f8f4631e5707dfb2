#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reports of choices among random candidates, computed again by brute_force.py from what the reports say."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

TOP = Path(os.environ.get("top_srcdir", Path(__file__).resolve().parents[2])).resolve()
sys.path[:0] = [str(TOP / "tests"), str(TOP / "tests" / "optimizer")]

import brute_force  # noqa: E402
from tap import done, ok  # noqa: E402

COUNT = 500


def main():
    program = Path(os.environ.get("top_builddir", TOP / "build")) / "tests" / "optimizer" / "selection_run"
    run = subprocess.run([program, os.environ.get("TP_SEED", "1"), str(COUNT)], capture_output=True, text=True,
                         check=True)
    reports = [json.loads(line) for line in run.stdout.splitlines()]
    ok(len(reports) == COUNT, f"{COUNT} reports are JSON")
    wrong = [f"report {i}: {problem}" for i, r in enumerate(reports) for problem in brute_force.problems(r)]
    ok(not wrong, "the choices are those of a direct search", "\n".join(wrong))
    winners = sum(r["winner"] is not None for r in reports)
    ok(winners > COUNT // 5, f"{winners} reports have a winner")
    binding = Counter(r["binding"]["limit"] for r in reports if r["binding"])
    ok(len(binding) == len(brute_force.LIMITS), f"each limit is a binding one: {dict(binding)}")
    ok(sum(r["hardware"]["figures"] == "estimated" for r in reports) > COUNT // 2, "most figures are estimated")
    broken = reports[next(i for i, r in enumerate(reports) if r["winner"] and r["binding"] is None)]
    broken["winner"]["codec"] = "none"
    ok(list(brute_force.problems(broken)), "a wrong winner is found")
    done()


if __name__ == "__main__":
    main()
