#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Requests that wait: for a slow body, and for the records of jobs, which another process has locked. Other requests
are answered at the same time."""

import fcntl
import os
import select
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "control"))
from directory import Directory, done, ok  # noqa: E402
from server import Server  # noqa: E402

BODY = b'{"model": "nobody"}'
WAITING = 32
ATTEMPTS = 20


class Client(Server):
    def begin(self, method, path, body=b"", sent=None):
        """A request of whose body SENT bytes are sent."""
        s = socket.create_connection(("127.0.0.1", self.port), timeout=240)
        s.sendall(b"%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"
                  b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" %
                  (method, path, self.token.encode(), len(body), body[:sent]))
        return s


def code(s):
    """That of the answer, to the end of the connection."""
    got = b""
    with s:
        while part := s.recv(65536):
            got += part
    return int(got.split(b" ", 2)[1]) if got.startswith(b"HTTP/1.1 ") else got


def main():
    where = Directory()
    where.make("model")
    server = Client(where)

    slow = [server.begin(b"POST", b"/compress", BODY, 5) for _ in range(WAITING)]
    ok(code(server.begin(b"GET", b"/")) == 200 and not select.select(slow, [], [], 0)[0],
       f"a request is answered while the bodies of {WAITING} others are on their way")
    for at in range(5, len(BODY)):
        for s in slow:
            s.sendall(BODY[at:at + 1])
    ok([code(s) for s in slow] == [404] * WAITING, "the others are answered once their bodies have come")

    body = b'{"model": "model"}'
    ok(code(server.begin(b"POST", b"/compress", body)) == 202, "a job")
    # Those that wait give up after some seconds, perhaps before the other one is answered: then once more.
    lock = os.open(where.path / ".tenpak" / "jobs", os.O_RDONLY)
    answered = codes = None
    for _ in range(ATTEMPTS):
        fcntl.flock(lock, fcntl.LOCK_EX)
        held = [server.begin(b"POST", b"/compress", body) for _ in range(WAITING)]
        answered = code(server.begin(b"GET", b"/"))
        early = select.select(held, [], [], 0)[0]
        fcntl.flock(lock, fcntl.LOCK_UN)
        codes = {code(s) for s in held}
        if not early:
            break
    ok(answered == 200 and not early, f"a request is answered while {WAITING} others wait for the records of jobs")
    ok(codes <= {202, 409, 429}, "the others are answered once these are free", str(codes))
    server.process.terminate()
    ok(server.process.wait(240) == 0, "the server ends well")
    done()


main()
