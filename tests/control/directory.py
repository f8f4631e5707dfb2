# SPDX-License-Identifier: MIT
"""For tests of documents: a directory with a family of packs, plain models, a damaged pack, hostile names, and the
records of jobs of each kind; what tests/control/documents prints about it."""

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(os.environ.get("top_srcdir", Path(__file__).resolve().parents[2])).resolve()
sys.path.insert(0, str(TOP / "tests" / "loaders"))

from harness import BUILD, MKMODEL, TENPAK, done, ok, skip, skip_all  # noqa: E402,F401  pylint: disable=C0413,W0611

DOCUMENTS = BUILD.resolve() / "tests" / "control" / "documents"
SCHEMAS = TOP / "share" / "tenpak" / "schema"
# A name that would be markup, end a script, or break a line, were it not treated as text.
HOSTILE = "z <script><img src=x onerror=document.title=1> & \"q\" 'a' <!-- \u2028 \u202e x"


def run(*command, check=True, **more):
    return subprocess.run([str(c) for c in command], check=check, capture_output=True, text=True, **more)


class Directory:
    def __init__(self):
        self.root = Path(tempfile.mkdtemp(prefix="tenpak-test."))
        atexit.register(shutil.rmtree, self.root, ignore_errors=True)
        self.path = self.root / "models"
        self.path.mkdir()

    def make(self, name, *options):
        run(MKMODEL.resolve(), *options, self.path / name)

    def pack(self, *names):
        for name in names:
            run(TENPAK.resolve(), "pack", "-q", self.path / name)

    def fill(self):
        """A base with two fine-tunes, packed; one more and a stranger, plain; one damaged; one with a bad name."""
        self.make("base")
        for number in (1, 2, 3):
            self.make(f"tuned-{number}", "--noise=0.05", f"--noise-seed={number}")
        self.make("stranger", "--seed=7", "--shards=2")
        self.make("lost", "--seed=9")
        self.make(HOSTILE, "--seed=8", "--layers=1")
        self.pack("base", "tuned-1", "tuned-2", "lost")
        pack = self.path / "lost.tnpk"
        data = bytearray(pack.read_bytes())
        data[-200:] = bytes(200)
        pack.write_bytes(data)

    def document(self, name, *more):
        return run(DOCUMENTS, self.path, name, *more).stdout

    def json(self, name):
        return json.loads(self.document(name))

    def job(self, verb, text):
        """Run what TEXT asks for to its end: the reply."""
        out = run(DOCUMENTS, "--run", TENPAK.resolve(), self.path, verb, text, check=False)
        return json.loads(out.stdout)

    def record(self, job, name):
        return json.loads((self.path / ".tenpak" / "jobs" / job / name).read_text())
