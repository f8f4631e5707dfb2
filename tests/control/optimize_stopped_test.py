#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Searches that end early, by each interface: SIGINT of the command line, the control file cancel, SIGKILL of the
daemon, cancelling over HTTP. Nothing is lost or left in the directory, and the same command continues."""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

TOP = Path(os.environ.get("top_srcdir", Path(__file__).resolve().parents[2])).resolve()
sys.path.insert(0, str(TOP / "tests" / "loaders"))

from harness import TENPAK, Store, done, ok  # noqa: E402

os.environ["TENPAK_TEXT_DIR"] = str(TOP / "share" / "tenpak" / "text")
# Large enough that the pass over the layers does not end between a look at its files and a signal.
KEYS = {"eval_samples": 32, "min_compression": 1.5}


def hashes(path):
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in path.iterdir()}


def has_layer(path):
    """Whether a file of layers begins with a whole one: its header is written last."""
    try:
        with open(path, "rb") as file:
            head = file.read(64)
        return len(head) == 64 and any(head)
    except FileNotFoundError:
        return False


def wait_for(what, why):
    end = time.monotonic() + 240
    while not what():
        if time.monotonic() > end:
            ok(False, why)
            done()
        time.sleep(0.001)


class Stopped:
    def __init__(self):
        self.store = Store()
        self.store.packs = self.store.plain
        self.dir = self.store.plain
        shutil.copytree(TOP / "demo" / "models" / "base", self.dir / "m")
        for path in [self.dir / "m", *(self.dir / "m").iterdir()]:
            path.chmod(path.stat().st_mode | 0o200)
        self.before = hashes(self.dir / "m")
        self.control = self.store.mnt / ".tenpak"

    def keys(self, context):
        return {**KEYS, "context": context}

    def in_pass(self):
        return any(has_layer(p) for p in (self.dir / ".tenpak").glob("search/*/*.layers"))

    def is_clean(self, what):
        names = sorted(p.name for p in self.dir.iterdir())
        ok(names == [".tenpak", "m"] and hashes(self.dir / "m") == self.before,
           f"{what}: nothing is lost, and there is no result", names)
        ok(any(self.dir.glob(".tenpak/search/*/*.layers")), f"{what}: its layers are kept")

    def is_continued(self, result, what):
        ok(result["layers_continued"] > 0, f"{what}: the layers are continued", result["layers_continued"])
        pack = self.dir / f"m~{result['winner']['codec']}.tnpk"
        ok(pack.is_file() and hashes(self.dir / "m") == self.before, f"{what}: the winner is a model")
        kinds = {p.suffix for p in self.dir.glob(".tenpak/search/*/*")}
        ok(kinds == {"", ".json", ".scores"}, f"{what}: only records and scores are left", kinds)
        pack.unlink()


def make_states(s):
    """States of other searches: old, old and in use, new."""
    old = time.time() - 31 * 86400
    for name in ("old", "used", "new"):
        state = s.dir / ".tenpak" / "search" / name
        state.mkdir(parents=True, mode=0o700)
        for file in ("lock", "fp16.json"):
            (state / file).write_text("")
            if name != "new":
                os.utime(state / file, (old, old))
    used = open(s.dir / ".tenpak" / "search" / "used" / "lock", "r+b")  # pylint: disable=consider-using-with
    fcntl.flock(used, fcntl.LOCK_EX)
    return used


def test_line(s):
    words = [f"{k}={v}" for k, v in s.keys(96).items()]
    command = [TENPAK, "optimize", "-q", "--json", s.dir / "m"]
    used = make_states(s)
    few = subprocess.run([*command, *words, "candidates=bnb_nf4,int4_g16", "keep=none"], capture_output=True, text=True,
                         check=False)
    ok(few.returncode == 0, "two candidates", few.stderr)
    states = {p.name for p in (s.dir / ".tenpak" / "search").iterdir()}
    ok(states & {"old", "used", "new"} == {"used", "new"}, "old states that are not in use are removed", states)
    used.close()
    for name in ("used", "new"):
        shutil.rmtree(s.dir / ".tenpak" / "search" / name)
    with subprocess.Popen([*command, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                          preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler)) as run:
        wait_for(lambda: s.in_pass() or run.poll() is not None, "the command is in the pass")
        run.send_signal(signal.SIGINT)
        text = run.communicate()[1]
    ok(run.returncode == 130, "SIGINT ends the command", (run.returncode, text))
    s.is_clean("SIGINT")
    again = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
    if not ok(again.returncode == 0, "the command is repeated", again.stderr):
        done()
    result = json.loads(again.stdout)
    ok(result["candidates_continued"] == 2, "the two are continued", result["candidates_continued"])
    s.is_continued(result, "the command line")


# --- The control file ---

def child_of(pid):
    """The job's program, and no more the daemon's own copy."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            if Path(f"/proc/{child}/cmdline").read_bytes().startswith(b"tenpak\0job\0"):
                return int(child)
    return None


def status_of(s, ident="last"):
    return json.loads((s.control / "jobs" / ident / "status.json").read_text())


def submit(s, keys):
    (s.control / "optimize").write_text(json.dumps({"model": "m", **keys}) + "\n")
    return os.readlink(s.control / "jobs" / "last")


def stop_in_pass(s):
    """The job that is stopped in its pass."""
    wait_for(lambda: s.in_pass() or status_of(s)["status"] not in ("pending", "running"), "the job is in the pass")
    job = child_of(s.store.daemon.pid)
    if job:
        os.kill(job, signal.SIGSTOP)
    if not ok(job is not None and s.in_pass(), "the job is held in the pass", status_of(s)):
        done()
    return job


def is_repeated(s, keys, what):
    submit(s, keys)
    end = json.loads((s.control / "jobs" / "last" / "wait").read_text())
    ok(end["status"] == "completed" and "is the cheapest form" in end["message"], f"{what}: it is repeated", end)
    s.is_continued(json.loads((s.control / "jobs" / "last" / "report.json").read_text())["result"], what)


def test_control(s):
    s.store.mount()
    ident = submit(s, s.keys(104))
    job = stop_in_pass(s)
    (s.control / "cancel").write_text(ident + "\n")
    os.kill(job, signal.SIGCONT)
    end = json.loads((s.control / "jobs" / ident / "wait").read_text())
    ok(end["status"] == "cancelled" and end["message"] == "cancelled", "a job is cancelled", end)
    s.is_clean("cancel")
    is_repeated(s, s.keys(104), "cancel")


def test_killed(s):
    ident = submit(s, s.keys(112))
    job = stop_in_pass(s)
    s.store.daemon.kill()
    s.store.daemon.wait()
    os.kill(job, signal.SIGCONT)
    wait_for(lambda: not Path(f"/proc/{job}").exists(), "the job ends with the daemon")
    s.store.unmount()
    s.is_clean("SIGKILL of the daemon")
    s.store.mount()
    ok(status_of(s, ident)["status"] == "interrupted", "its job is interrupted", status_of(s, ident))
    is_repeated(s, s.keys(112), "SIGKILL of the daemon")
    # The program of a job.
    ident = submit(s, s.keys(120))
    os.kill(stop_in_pass(s), signal.SIGKILL)
    end = json.loads((s.control / "jobs" / ident / "wait").read_text())
    ok(end["status"] == "failed" and "signal 9" in end["message"], "a job that is killed has failed", end)
    s.is_clean("SIGKILL of the job")
    is_repeated(s, s.keys(120), "SIGKILL of the job")
    ok(s.store.unmount() == 0, "the mount ends well")


# --- HTTP ---

def test_http(s):
    with subprocess.Popen([TENPAK, "serve", "-q", "--listen", "127.0.0.1:0", s.dir], stdout=subprocess.PIPE,
                          text=True) as server:
        url = server.stdout.readline().strip()
        server.stdout.readline()
        token = (s.dir / ".tenpak" / "token").read_text().strip()

        def call(path, body=None, method=None):
            request = urllib.request.Request(url + path, method=method,
                                             data=None if body is None else json.dumps(body).encode())
            request.add_header("Authorization", f"Bearer {token}")
            request.add_header("Content-Type", "application/json")
            with urllib.request.urlopen(request) as reply:
                return json.loads(reply.read())

        def wait_end(ident):
            while True:
                status = call(f"/optimize/{ident}")
                if status["status"] not in ("pending", "running"):
                    return status
                time.sleep(0.05)

        body = {"model_id": "m", **s.keys(128), "candidates": ["gptq_quality", "tenpak_x", "awq_g128", "bnb_int8"]}
        ident = call("/optimize", body)["job_id"]
        wait_for(lambda: s.in_pass() or call(f"/status/{ident}")["status"] not in ("pending", "running"), "in the pass")
        call(f"/jobs/{ident}/cancel", method="POST")
        end = wait_end(ident)
        ok(end["status"] == "cancelled", "a job is cancelled over HTTP", end)
        s.is_clean("HTTP")
        end = wait_end(call("/optimize", body)["job_id"])
        ok(end["status"] == "completed" and len(end["all_candidates"]) == 4, "it is repeated", end)
        s.is_continued(call(f"/report/{end['job_id']}")["result"], "HTTP")
        end = wait_end(call("/optimize", {**body, "min_compression": 900})["job_id"])
        ok(end["candidates_evaluated"] == end["candidates_total"] == 4, "those that were measured before are counted",
           end)
        ok(end["status"] == "completed" and end["winner"] is None and end["message"].startswith(
            "no candidate meets the limits; the nearest is ") and "min_compression 900" in end["message"],
           "the binding limit is named", end["message"])
        server.terminate()
        server.wait()


def main():
    s = Stopped()
    test_line(s)
    test_control(s)
    test_killed(s)
    test_http(s)
    done()


main()
