# SPDX-License-Identifier: MIT
"""A server of a directory on a free port of this machine, which ends with the test."""

import atexit
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "control"))
from directory import TENPAK, skip_all  # noqa: E402


class Server:
    def __init__(self, where, stderr=subprocess.PIPE):
        self.process = subprocess.Popen([TENPAK.resolve(), "serve", "-q", "--listen", "127.0.0.1:0", where.path],
                                        stdout=subprocess.PIPE, stderr=stderr, text=True)
        atexit.register(self.process.kill)
        self.url = self.process.stdout.readline().strip()
        if not self.url and self.process.stderr:
            skip_all(self.process.stderr.read().strip())
        self.port = int(self.url.rsplit(":", 1)[1])
        self.token = Path(self.process.stdout.readline().split(": ", 1)[1].strip()).read_text().strip()
