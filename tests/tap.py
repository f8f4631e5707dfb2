# SPDX-License-Identifier: MIT
"""TAP for tests in Python: checks, skipped checks, and the plan at the end."""

import sys

_count = 0
_failed = 0


def ok(good, name, detail=""):
    global _count, _failed
    _count += 1
    print(f"{'' if good else 'not '}ok {_count} - {name}", flush=True)
    if not good:
        _failed += 1
        for line in str(detail).splitlines()[:30]:
            print(f"#   {line}", flush=True)
    return good


def skip(name, why):
    global _count
    _count += 1
    print(f"ok {_count} - {name} # SKIP {why}", flush=True)


def skip_all(why):
    print(f"1..0 # SKIP {why}")
    sys.exit(0)


def done():
    print(f"1..{_count}", flush=True)
    sys.exit(1 if _failed else 0)
