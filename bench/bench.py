#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The benchmark: how small packs are and how fast they are written, read and loaded, against the
raw files, zstd, ZipNN, lmzip and BitX, with the project's targets. See doc/benchmarking.md."""

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

import decoding
import loading
import machine
import models
import packing
import reading
import sizes
import synth
from report import Report, parse_size
from store import Tenpak

SECTIONS = ("sizes", "decode", "pack", "read", "load")
TOP = Path(__file__).resolve().parent.parent


def arguments():
    build = Path(os.environ.get("TENPAK_BUILD", TOP / "build"))
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    parser.add_argument("--zoo", type=Path, metavar="DIR",
                        help="also measure the bf16 fine-tunes in DIR of the model DIR/base")
    parser.add_argument("--size", type=parse_size, default=2 << 30, metavar="SIZE",
                        help="of a synthetic model, such as 256M (2G; 0: no synthetic pair)")
    parser.add_argument("--only", metavar="LIST", default=",".join(SECTIONS),
                        help=f"sections, with commas between: {', '.join(SECTIONS)}")
    parser.add_argument("--pairs", metavar="LIST", help="names of the pairs to measure (all)")
    parser.add_argument("--runs", type=int, default=5, help="of each timing (5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument("--work", type=Path, metavar="DIR", default=build / "bench-work",
                        help="where the synthetic models are kept between runs and the packs are "
                        "written: the disk that is measured (some 14 GB at 2G)")
    parser.add_argument("--build", type=Path, metavar="DIR", default=build,
                        help="the build to measure (build/)")
    parser.add_argument("--no-tenpak", action="store_true", help="measure the others only")
    args = parser.parse_args()
    args.only = args.only.split(",")
    for section in args.only:
        if section not in SECTIONS:
            parser.error(f"no section '{section}'")
    return args


def say(line):
    print(f"[{time.strftime('%H:%M:%S')}] {line}", file=sys.stderr, flush=True)


def find_pairs(args):
    pairs = []
    if args.zoo:
        pairs += models.zoo_pairs(args.zoo)
    if args.size > 0:
        say("synthetic models (made once)")
        pairs += synth.synthetic_pairs(args.work, args.size)
    if args.pairs:
        wanted = args.pairs.split(",")
        pairs = [p for p in pairs if p.name in wanted]
    if not pairs:
        sys.exit("bench: no pair to measure")
    return pairs


def find_tenpak(args):
    if args.no_tenpak:
        return None
    program = args.build / "tenpak"
    if not os.access(program, os.X_OK):
        sys.exit(f"bench: no program {program}: run ./bootstrap build, or give --build DIR")
    tenpak = Tenpak(program, args.build / "bench", args.work)
    tenpak.forget_packs()
    return tenpak


def by_size(pairs, kind):
    """The largest pair of a kind, or the largest of all: what timings are taken on."""
    wanted = [p for p in pairs if p.kind == kind] or pairs
    return max(wanted, key=lambda p: p.tune.file_bytes)


def main():
    args = arguments()
    scratch = args.work / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    tenpak = find_tenpak(args)
    report = Report()
    report.machine = machine.describe(args.work, tenpak.program if tenpak else None)
    pairs = find_pairs(args)
    timed = by_size(pairs, "synthetic")
    try:
        if "sizes" in args.only:
            sizes.measure(report, pairs, tenpak, scratch, os.cpu_count(), say)
        if tenpak and "decode" in args.only:
            decoding.measure(report, timed, tenpak, args.runs, say)
        if tenpak and "pack" in args.only:
            packing.measure(report, timed, tenpak, args.runs, say)
        if tenpak and "read" in args.only:
            reading.measure(report, timed, tenpak, args.runs, say)
        if tenpak and "load" in args.only:
            loads = {p.name: p for p in (by_size(pairs, "zoo-sft"), timed)}
            loading.measure(report, loads.values(), tenpak, args.runs, say)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    report.print()
    if args.json:
        report.write_json(args.json)
    return 0 if all(t["met"] for t in report.targets) else 1


if __name__ == "__main__":
    sys.exit(main())
