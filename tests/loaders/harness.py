# SPDX-License-Identifier: MIT
"""For tests that load models through a mount: TAP output, a scratch directory with a base and its
fine-tunes, their packs, and the mount, all of which go away however the test ends."""

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tap import done, ok, skip, skip_all  # noqa: E402,F401  pylint: disable=C0413,W0611

BUILD = Path(os.environ.get("top_builddir", "."))
TENPAK = Path(os.environ.get("TENPAK", BUILD / "tenpak"))
MKMODEL = BUILD / "tests" / "mkmodel"

def require(*modules):
    """Skip the whole test when one of these Python modules is not there."""
    for module in modules:
        try:
            __import__(module)
        except ImportError:
            skip_all(f"Python module {module} is not installed")


def outcome(function):
    """What a call gives, or the kind of its failure: to hold two calls against each other."""
    try:
        return function()
    except Exception as error:  # pylint: disable=broad-except
        return f"{type(error).__name__}: {error}"


class Store:
    """A scratch directory: plain models in 'plain', their packs in 'packs', both as 'mnt' shows."""

    def __init__(self):
        if not os.access("/dev/fuse", os.R_OK | os.W_OK):
            skip_all("/dev/fuse is not there, or not for this user")
        if shutil.which("fusermount3") is None:
            skip_all("fusermount3 is not installed")
        self.root = Path(tempfile.mkdtemp(prefix="tenpak-test."))
        self.plain = self.root / "plain"
        self.packs = self.root / "packs"
        self.mnt = self.root / "mnt"
        self.daemon = None
        atexit.register(self.close)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda n, _: sys.exit(128 + n))
        self.plain.mkdir()
        self.mnt.mkdir()

    def make(self, name, *options):
        """A model of invented weights, by the tests' own maker."""
        subprocess.run([MKMODEL, *options, self.plain / name], check=True)

    def names(self):
        return sorted(d.name for d in self.plain.iterdir())

    def pack(self):
        """Every model is packed in a copy of 'plain', so that bases are found as users have it."""
        shutil.copytree(self.plain, self.packs, symlinks=True)
        for name in self.names():
            if (self.packs / name).is_dir():
                run = subprocess.run([TENPAK, "pack", self.packs / name], capture_output=True,
                                     text=True, check=False)
                if not ok(run.returncode == 0, f"{name} is packed", run.stderr):
                    done()
        left = [d.name for d in self.packs.iterdir() if d.is_dir() and not d.name.startswith(".")]
        ok(not left, "no plain directory is left", left)

    def mount(self):
        log = open(self.root / "mount.log", "wb")
        self.daemon = subprocess.Popen([TENPAK, "mount", "-f", self.packs, self.mnt],
                                       stdout=log, stderr=log)
        end = time.monotonic() + 240
        while not os.path.ismount(self.mnt) and self.daemon.poll() is None \
                and time.monotonic() < end:
            time.sleep(0.02)
        if not ok(os.path.ismount(self.mnt), "the packs are mounted"):
            print((self.root / "mount.log").read_text(errors="replace"), file=sys.stderr)
            done()

    def unmount(self):
        """Ends the mount; the daemon must end by itself, and well."""
        subprocess.run(["fusermount3", "-u", self.mnt], check=False, capture_output=True)
        try:
            code = self.daemon.wait(240)
        except subprocess.TimeoutExpired:
            code = "still running"
        self.daemon = None
        return code

    def close(self):
        if self.daemon is not None:
            subprocess.run(["fusermount3", "-uz", self.mnt], check=False, capture_output=True)
            self.daemon.kill()
            self.daemon.wait()
        shutil.rmtree(self.root, ignore_errors=True)
