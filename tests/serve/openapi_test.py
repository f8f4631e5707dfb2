#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The server is what its OpenAPI document says: schemathesis sends it requests, good and bad, by that document: once as
it is, and once with the names of real models and jobs in it, so that work is done. On loopback, of bounded length."""

import importlib.util
import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "control"))
from directory import TENPAK, TOP, Directory, done, ok, skip_all  # noqa: E402
from server import Server  # noqa: E402

EXAMPLES = int(os.environ.get("TP_EXAMPLES", "15"))
GIVEN = os.environ.get("TP_SEED", "1")
SEED = time.time_ns() % 1000000 if GIVEN == "random" else int(GIVEN, 0)
# An engine that is not in this build is an answer that the document has.
CONFIG = "".join(f"""[[operations]]
include-path = "{path}"
checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 501]

""" for path in ("/optimize",))


class Client(Server):
    def get(self, path):
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=240) as answer:
            return json.load(answer)

    def post(self, path, body):
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), {
            "Authorization": f"Bearer {self.token}", "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=240) as answer:
            return json.load(answer)

    def wait(self):
        for _ in range(3000):
            if all(j["status"] not in ("pending", "running") for j in self.get("/jobs")["jobs"]):
                return True
            time.sleep(0.1)
        return False

    def stop(self):
        self.process.terminate()
        return self.process.wait(240)


def failures(lines):
    """From where it begins to tell them; its summary comes after."""
    start = next((i for i, line in enumerate(lines) if "= FAILURES =" in line), 0)
    return [line for line in lines[start:] if line.strip()]


def thesis(where, server, schema, title, *more):
    """Run it; its own words are shown where it finds something."""
    (where.root / "schemathesis.toml").write_text(CONFIG)
    command = [sys.executable, "-m", "schemathesis.cli", "run", schema, "--url", server.url,
               "-H", f"Authorization: Bearer {server.token}", "--max-examples", str(EXAMPLES), "--seed", str(SEED),
               "--request-timeout", "120", "--suppress-health-check", "all", "--generation-database", "none", "--no-color", "--workers", "1",
               *more]
    out = subprocess.run(command, cwd=where.root, capture_output=True, text=True, timeout=1200, check=False)
    lines = out.stdout.splitlines()
    summary = [line for line in lines if "generated" in line or "Tested" in line]
    print(f"# {title}: {'; '.join(s.strip() for s in summary)}")
    if not ok(out.returncode == 0, f"schemathesis finds nothing: {title}"):
        print("\n".join("#   " + line for line in failures(lines)[:200]))
        print("#   " + out.stderr[-2000:].replace("\n", "\n#   "))


def with_names(where, document):
    """The document with what there is instead of any string: models and jobs."""
    names = ["base", "tuned-1", "tuned-2", "tuned-3", "stranger", "nobody"]
    jobs = [p.name for p in sorted((where.path / ".tenpak" / "jobs").iterdir()) if p.name[0].isdigit()]
    for name, schema in document["components"]["schemas"].items():
        if name in ("compress", "delta_compress", "delta_estimate", "evaluate", "optimize"):
            properties = schema["properties"]
            properties["model"] = {"enum": names}
            if name.startswith("delta"):
                properties["base"] = {"enum": ["base", "stranger"]}
            elif "base" in properties:
                properties["base"] = {"enum": ["auto", "none", "base", None]}
    for path in document["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", []):
                if parameter["name"] == "job_id":
                    parameter["schema"] = {"enum": [*jobs, "20200101-000000-1"]}
                elif parameter["name"] == "Range":
                    # What lies beyond the end cannot be told from the document.
                    parameter["schema"] = {"enum": ["bytes=0-", "bytes=0-99", "bytes=-5", "bytes=7-7"]}
    out = where.root / "named.json"
    out.write_text(json.dumps(document))
    return str(out)


def main():
    if not importlib.util.find_spec("schemathesis"):
        skip_all("Python module schemathesis is not installed")
    built = subprocess.run([TENPAK.resolve(), "serve", "/nonexistent"], capture_output=True, text=True, check=False)
    if "no HTTP server" in built.stderr:
        skip_all("this build has no HTTP server")
    print(f"# TP_SEED={SEED}")
    where = Directory()
    where.make("base")
    for number in (1, 2, 3):
        where.make(f"tuned-{number}", "--noise=0.05", f"--noise-seed={number}")
    where.make("stranger", "--seed=7")
    server = Client(where, stderr=None)
    served = server.get("/openapi.json")
    ok(served == json.loads((TOP / "share/tenpak/openapi.json").read_text()), "the document that is served is the shipped one")
    thesis(where, server, server.url + "/openapi.json", "as it is")
    server.post("/compress", {"model": "tuned-1", "base": "base"})
    server.post("/delta/estimate", {"model": "tuned-2", "base": "stranger"})
    ok(server.wait(), "jobs end")
    # Names that the document has now are not all that are good, and an id= that was seen makes any request its job.
    thesis(where, server, with_names(where, served), "with names that are there", "--exclude-checks", "negative_data_rejection")
    ok(server.wait(), "all that it asked for ends")
    states = {j["status"] for j in server.get("/jobs")["jobs"]}
    ok(states <= {"completed", "failed", "cancelled"} and "completed" in states, "as jobs do", states)
    ok(server.process.poll() is None, "the server lives")
    ok(server.stop() == 0, "it ends on request")
    left = [str(p) for p in where.path.rglob("*") if ".tmp" in p.name or p.name.startswith(".base") or p.name.startswith(".tuned")]
    ok(not left, "nothing is left of what was under way", left)
    done()


main()
