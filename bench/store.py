# SPDX-License-Identifier: MIT
"""The program under test: packs of the pairs, and a mount of them."""

import os
import shutil
import subprocess
import time
from pathlib import Path

from machine import run_timed


class Tenpak:
    """The program, and a directory for the packs it makes; the models themselves stay untouched."""

    def __init__(self, program, helpers, work):
        self.program = Path(program)
        self.helpers = Path(helpers)
        self.work = Path(work)

    def packs_of(self, pair):
        """A directory with the packs of a pair's base and of the pair's fine-tune. Fine-tunes of
        one base share it."""
        return self.work / "packs" / pair.base.path.parent.name

    def pack(self, model, out, base=None, core=None, options=()):
        out.parent.mkdir(parents=True, exist_ok=True)
        out.unlink(missing_ok=True)
        named = f"--base={base}" if base is not None else "--base=none"
        return run_timed([self.program, "pack", "-q", named, "-o", out, *options, model], core)

    def pack_pair(self, pair):
        """(pack of the base, pack of the fine-tune), made when they are not there."""
        directory = self.packs_of(pair)
        base, tune = (directory / f"{m.path.name}.tnpk" for m in (pair.base, pair.tune))
        if not base.exists():
            self.pack(pair.base.path, base)
        if not tune.exists():
            self.pack(pair.tune.path, tune, base)
        return base, tune

    def forget_packs(self):
        """Packs of an earlier build are no measure of this one."""
        shutil.rmtree(self.work / "packs", ignore_errors=True)


class Mount:
    """A mount of a directory of packs, as a context."""

    def __init__(self, tenpak, directory, options=()):
        self.tenpak = tenpak
        self.directory = directory
        self.options = options
        self.point = tenpak.work / "mnt"
        self.daemon = None

    def __enter__(self):
        self.point.mkdir(exist_ok=True)
        command = [self.tenpak.program, "mount", "-f", *self.options, self.directory, self.point]
        self.daemon = subprocess.Popen(command, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + 60
        while not os.path.ismount(self.point):
            if self.daemon.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the mount did not come up: {self.daemon.stderr.read()}")
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        subprocess.run(["fusermount3", "-u", self.point], check=False)
        try:
            self.daemon.wait(30)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            subprocess.run(["fusermount3", "-uz", self.point], check=False)
            self.daemon.wait()
        self.daemon.stderr.close()

    def file(self, model, path):
        """Where a file of a model directory shows in the mount."""
        return self.point / model.path.name / path.relative_to(model.path)
