# SPDX-License-Identifier: MIT
"""What the figures were taken on, and what timing needs of it: cold caches, one core, touched memory."""

import importlib.metadata
import os
import platform
import re
import subprocess
import time
from pathlib import Path

import numpy as np


def describe(directory, tenpak):
    """The machine's description for the report; no path and no host name is in it."""
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    flags = Path("/proc/cpuinfo").read_text()
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    return {
        "cpu": cpu.group(1) if cpu else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "isa": [isa for isa in ("avx2", "avx512vbmi", "avx512_vbmi2") if f" {isa} " in flags],
        "memory_bytes": int(memory.group(1)) * 1024,
        "kernel": platform.release(),
        "filesystem": filesystem(directory),
        "tenpak": first_line([str(tenpak), "--version"]),
        "zstd": first_line(["zstd", "--version"]),
        "zipnn": version("zipnn"), "lmzip": version("lmzip"), "zstandard": version("zstandard"),
        "torch": version("torch"), "transformers": version("transformers"),
    }


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def first_line(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return (done.stdout.splitlines() or [""])[0].strip("* ")
    except (OSError, subprocess.CalledProcessError):
        return None


def filesystem(directory):
    return first_line(["stat", "-f", "-c", "%T", str(directory)])


def can_drop_caches():
    return os.access("/proc/sys/vm/drop_caches", os.W_OK)


def drop_caches():
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n")


def touch_memory(size):
    """Make the memory that the page cache will need present: a virtual machine gets a page from its
    host at the first touch, and the first reader would pay for it."""
    free = re.search(r"MemAvailable:\s*(\d+)", Path("/proc/meminfo").read_text())
    size = min(size, int(free.group(1)) * 1024 // 2)
    np.ones(size // 8, np.float64)


class Timed:
    """Wall-clock and processor seconds of one command."""

    def __init__(self, wall, cpu, output):
        self.wall = wall
        self.cpu = cpu
        self.output = output


def run_timed(command, core=None, env=None):
    """Run a command, on one core when CORE is given; an exit code other than 0 is an error."""
    def pin():
        os.sched_setaffinity(0, {core})

    begin = time.monotonic()
    process = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, preexec_fn=pin if core is not None else None,
                               env={**os.environ, **(env or {})})
    # Both streams are small: a pipe holds them until the command has ended.
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    output, errors = process.stdout.read().decode(), process.stderr.read().decode()
    process.stdout.close()
    process.stderr.close()
    if process.returncode != 0:
        words = " ".join(map(str, command))
        raise RuntimeError(f"'{words}' ended with {process.returncode}: {errors.strip()[-500:]}")
    return Timed(wall, usage.ru_utime + usage.ru_stime, output)


def interleaved(jobs, runs):
    """{name: [result of each run]} of {name: function}, each job once a round."""
    results = {name: [] for name in jobs}
    for _ in range(runs):
        for name, job in jobs.items():
            results[name].append(job())
    return results
