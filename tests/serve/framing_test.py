#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Requests with an ambiguous length, sent over a socket: each is refused once and its connection closed, so that no
rest of it is parsed as another request."""

import re
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "control"))
from directory import Directory, done, ok  # noqa: E402
from server import Server  # noqa: E402

BODY = b'{"model": "nobody"}'
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
# What an attacker hides: it would be answered 200, and must not be.
HIDDEN = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"

GOOD = [("a length", LENGTH, BODY), ("chunks", CHUNKED, CHUNKS), ("chunks in other letters", b"TRANSFER-encoding: Chunked\r\n", CHUNKS)]
BAD = [
    (400, "a length twice", LENGTH * 2, BODY),
    (400, "two lengths", LENGTH + b"content-length: 3\r\n", BODY),
    (400, "a list of lengths", b"Content-Length: %d, %d\r\n" % (len(BODY), len(BODY)), BODY),
    (400, "a length with a sign", b"Content-Length: +%d\r\n" % len(BODY), BODY),
    (400, "a negative length", b"Content-Length: -1\r\n", BODY),
    (400, "a length in hex", b"Content-Length: 0x13\r\n", BODY),
    (400, "an empty length", b"Content-Length:\r\n", BODY),
    (400, "a name with a blank behind", b"Content-Length : %d\r\n" % len(BODY), BODY),
    (400, "a length and chunks", LENGTH + CHUNKED, CHUNKS),
    (400, "chunks and a length", CHUNKED + LENGTH, CHUNKS),
    (400, "chunks twice", CHUNKED * 2, CHUNKS),
    (400, "a coding with a blank before the colon", b"Transfer-Encoding : chunked\r\n", CHUNKS),
    (501, "another coding", b"Transfer-Encoding: gzip\r\n", BODY),
    (501, "another coding, and chunks", b"Transfer-Encoding: gzip, chunked\r\n", CHUNKS),
    (501, "a coding that only looks so", b"Transfer-Encoding: xchunked\r\n", CHUNKS),
    (501, "a coding behind a control character", b"Transfer-Encoding: \x0bchunked\r\n", CHUNKS),
    (501, "no coding", b"Transfer-Encoding: identity\r\n", BODY),
    (400, "two hosts", b"Host: y\r\n" + LENGTH, BODY),
    (400, "two tokens", b"Authorization: Bearer x\r\n" + LENGTH, BODY),
]


class Client(Server):
    def ask(self, headers, body, version=b"1.1"):
        """The codes of all answers, whether the connection was closed, and all bytes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=240) as s:
            s.sendall(b"POST /estimate HTTP/%s\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
                      b"Content-Type: application/json\r\n%s\r\n%s" % (version, self.token.encode(), headers, body))
            got = b""
            try:
                while part := s.recv(65536):
                    got += part
            except ConnectionResetError:
                pass
        return [int(code) for code in re.findall(rb"^HTTP/1\.[01] ([0-9]{3}) [A-Z]", got, re.M)], got


def main():
    where = Directory()
    server = Client(where)
    for name, headers, body in GOOD:
        codes, got = server.ask(headers + b"Connection: close\r\n", body)
        ok(codes == [404], f"{name}: read", f"{codes} {got!r}")
    for code, name, headers, body in BAD:
        codes, got = server.ask(headers, body + HIDDEN)
        ok(codes[:1] == [code] and 200 not in codes and b'"name": "tenpak"' not in got, f"{name}: {code}, and closed",
           f"{codes} {got!r}")
    codes, got = server.ask(CHUNKED, CHUNKS + HIDDEN, b"1.0")
    ok(codes[:1] == [400] and 200 not in codes, "chunks in HTTP/1.0: 400", f"{codes} {got!r}")
    server.process.terminate()
    ok(server.process.wait(240) == 0, "the server ends well")
    done()


main()
