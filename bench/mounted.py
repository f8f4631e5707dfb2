# SPDX-License-Identifier: MIT
"""What bench/mount needs: the models it measures, mounts of them and of squashfuse, and readers."""

import json
import mmap
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

LAYER_BYTES = 2 * (4 * 2048 * 2048 + 3 * 2048 * 5632)
ROWS = 16000
EMBEDDING_BYTES = 2 * 2 * 2048 * ROWS
TICK = os.sysconf("SC_CLK_TCK")


def run(command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise RuntimeError(f"'{' '.join(map(str, command))}' ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.stdout


def drop_caches():
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n")


def touch_memory(size):
    """A virtual machine is given its pages at the first touch, and the first reader would pay for it."""
    free = int(re.search(r"MemAvailable:\s*(\d+)", Path("/proc/meminfo").read_text()).group(1)) * 1024
    with mmap.mmap(-1, min(size, free // 2) or mmap.PAGESIZE) as area:
        area.madvise(mmap.MADV_HUGEPAGE)
        for at in range(0, len(area), mmap.PAGESIZE):
            area[at] = 1


class Lab:
    """The programs, and a work directory with the models and packs, made once."""

    def __init__(self, build, work, size):
        self.tenpak = build / "tenpak"
        self.reader_program = build / "bench" / "mount_reader"
        self.engine_bench = build / "bench" / "engine_bench"
        self.mkmodel = build / "tests" / "mkmodel"
        self.work = work
        self.size = size
        layers = max(1, round((size - EMBEDDING_BYTES) / LAYER_BYTES))
        self.shape = [f"--layers={layers}", "--hidden=2048", "--inter=5632", f"--vocab={ROWS}"]
        self.models = work / f"models-{layers}"
        self.store = work / "store"
        self.many = work / "many"
        self.raw = work / "raw"
        self.tunes = ["one", "two", "three", "four"]

    def check(self):
        for program in (self.tenpak, self.reader_program, self.engine_bench, self.mkmodel):
            if not os.access(program, os.X_OK):
                sys.exit(f"bench: no program {program}: run make and make tests/mkmodel there, or give --build DIR")

    def make(self, say):
        """Packs are of this build; the models they are made of stay between runs."""
        say("models (made once) and packs")
        if not (self.models / "complete").exists():
            shutil.rmtree(self.models, ignore_errors=True)
            self.models.mkdir(parents=True)
            run([self.mkmodel, *self.shape, self.models / "base"])
            for i, name in enumerate(self.tunes):
                run([self.mkmodel, *self.shape, "--noise=0.01", f"--noise-seed={i + 2}", self.models / name])
            (self.models / "complete").touch()
        for directory in (self.store, self.many, self.raw):
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
        self.pack(self.models / "base", self.store / "base.tnpk", "none")
        for name in self.tunes:
            self.pack(self.models / name, self.store / f"{name}.tnpk", self.store / "base.tnpk")
        self.make_many()
        self.make_raw()

    def pack(self, model, out, base):
        run([self.tenpak, "pack", "-q", "-b", base, "-o", out, model])

    def make_many(self):
        """A thousand models, as packs and as the tree that they show."""
        model = self.many / "model"
        run([self.mkmodel, "--layers=1", "--hidden=16", "--inter=32", "--vocab=64", model])
        (self.many / "packs").mkdir()
        (self.many / "tree").mkdir()
        first = self.many / "packs" / "m0000.tnpk"
        self.pack(model, first, "none")
        for i in range(1000):
            if i > 0:
                os.link(first, self.many / "packs" / f"m{i:04}.tnpk")
            shutil.copytree(model, self.many / "tree" / f"m{i:04}")
        if shutil.which("mksquashfs"):
            run(["mksquashfs", self.many / "tree", self.many / "image", "-quiet", "-no-progress"])

    def make_raw(self):
        """Bytes that no codec makes smaller: what is left is the transport."""
        model = self.raw / "model"
        model.mkdir()
        (model / "config.json").write_text("{}\n")
        with open(model / "noise.bin", "wb") as file:
            for _ in range(512):
                file.write(os.urandom(1 << 20))
        (self.raw / "packs").mkdir()
        self.pack(model, self.raw / "packs" / "model.tnpk", "none")

    def read(self, way, threads, *files):
        """{bytes, seconds, cpu} of whole files read."""
        return json.loads(run([self.reader_program, way, threads, *files]))

    def times(self, what, *arguments):
        """{best_us, median_us, p99_us} of single calls."""
        return json.loads(run([self.reader_program, what, *arguments]))

    def engine_rate(self, model):
        """Bytes a second that the decode engine gives with all cores, with no mount in the way."""
        lines = re.findall(r"(\d+) threads: best ([\d.]+)", run([self.engine_bench, self.store, model, 1]))
        return 1e9 * float(max(lines, key=lambda line: int(line[0]))[1])


class Mounted:
    """A mount by tenpak, or by another program that stays in the foreground, as a context."""

    def __init__(self, lab, directory, *options, program=None):
        self.lab = lab
        self.point = lab.work / "mnt"
        options = ["-o", ",".join(options)] if options else []
        self.command = [lab.tenpak, "mount", "-f", "-q", *options, directory, self.point] if program is None \
            else [program, "-f", directory, self.point]
        self.daemon = None

    def __enter__(self):
        self.point.mkdir(exist_ok=True)
        self.daemon = subprocess.Popen([str(c) for c in self.command], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while not os.path.ismount(self.point):
            if self.daemon.poll() is not None or time.monotonic() > end:
                raise RuntimeError("the mount did not come up")
            time.sleep(0.01)
        time.sleep(0.1)  # its read-ahead is set right after
        return self

    def __exit__(self, *_):
        end = time.monotonic() + 20
        while subprocess.run(["fusermount3", "-u", self.point], check=False,
                             capture_output=True).returncode and time.monotonic() < end:
            time.sleep(0.1)
        self.daemon.wait(30)

    def status(self):
        return json.loads(run([self.lab.tenpak, "status", "--json", self.point]))

    def cpu(self):
        """Processor seconds of the daemon so far."""
        fields = Path(f"/proc/{self.daemon.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def peak(self):
        """The most memory that the daemon ever had, in bytes."""
        text = Path(f"/proc/{self.daemon.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s*(\d+)", text).group(1)) * 1024
