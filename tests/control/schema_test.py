#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every document agrees with its schema and has no key without one; the schemas in the program are the installed ones;
the program accepts the requests that they describe."""

import copy
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from directory import DOCUMENTS, SCHEMAS, TENPAK, TOP, Directory, done, ok, run, skip, skip_all  # noqa: E402

try:
    import jsonschema
except ImportError:
    skip_all("Python module jsonschema is not installed")


def closed(schema):
    """Published schemas let documents grow; a test does not."""
    if isinstance(schema, dict):
        out = {k: closed(v) for k, v in schema.items()}
        if out.get("type") == "object" and "properties" in out:
            out.setdefault("additionalProperties", False)
        return out
    return [closed(v) for v in schema] if isinstance(schema, list) else schema


LOADED = {p.name: json.loads(p.read_text()) for p in sorted(SCHEMAS.glob("*.json"))}


def findings(name, document):
    validator = jsonschema.Draft202012Validator(closed(LOADED[name]), format_checker=jsonschema.FormatChecker())
    return [f"{e.json_path}: {e.message[:300]}" for e in validator.iter_errors(document)]


def fits(name, document, title):
    found = findings(name, document)
    ok(not found, f"{name}: {title}", "\n".join(found))


def check_schemas():
    for name, schema in LOADED.items():
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
            why = ""
        except jsonschema.SchemaError as error:
            why = str(error)
        stem = name[:-5]
        ok(not why and schema["$id"] == f"urn:tenpak:schema:{stem}:1", f"{name} is a schema, and called so", why)
        shapes = [schema] if "properties" in schema else list(schema["$defs"].values())
        const = next((x["properties"]["schema"]["const"] for x in shapes if "schema" in x["properties"]), None)
        ok(const in (None, f"tenpak.{stem}/1"), f"{name} is of documents that say so", const)
    names = run(DOCUMENTS, "--schemas").stdout.split()
    ok(names == sorted(LOADED), "the program carries all of them, and none besides", names)
    for name in names:
        text = subprocess.run([DOCUMENTS, "--schema", name], capture_output=True, check=True).stdout
        ok(text == (SCHEMAS / name).read_bytes(), f"{name}: the program's is the installed one")


# --- What requests may say ---

def key_fits(key, schema):
    """Bounds and words of a schema are those of the program's table."""
    kind = key["kind"]
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if kind == "word":
        return [w for w in schema["enum"] if w is not None] == key["words"]
    if kind in ("number", "size", "decimal"):
        return (("number" if kind == "decimal" else "integer") in types and schema["minimum"] == key["low"]
                and schema["maximum"] == min(key["high"], 2 ** 53))
    return ("boolean" if kind == "bool" else "string") in types


def check_requests():
    table = {v["name"]: v["keys"] for v in json.loads(run(DOCUMENTS, "--verbs").stdout)}
    openapi = json.loads((TOP / "share/tenpak/openapi.json").read_text())["components"]["schemas"]
    described = [(v, f"request.json, {v}", LOADED["request.json"]["$defs"][v]["properties"])
                 for v in table if v != "cancel"]
    described += [(v, f"openapi.json, {s}", openapi[s]["properties"]) for v, s in (
        ("compress", "compress"), ("compress", "delta_compress"), ("estimate", "delta_estimate"),
        ("evaluate", "evaluate"), ("optimize", "optimize"))]
    for verb, where, properties in described:
        names = {k["name"] for k in table[verb]}
        ok(set(properties) - {"verb", "model", "model_id", "id"} == names, f"{where}: the keys that the program has",
           set(properties) ^ names)
        wrong = [k["name"] for k in table[verb] if k["name"] in properties and not key_fits(k, properties[k["name"]])]
        ok(not wrong, f"{where}: kinds, bounds and words are the program's", wrong)


# --- Documents of a directory ---

def check_documents(where):
    status, models = where.json("status.json"), where.json("models.json")
    fits("status.json", status, "before there are jobs")
    fits("models.json", models, "packs, plain, damaged, a hostile name")
    for row in models["models"]:
        if row["exact"] is None:
            continue
        fits("model.json", where.json(row["name"]), f"{row['kind']} of base {row['base']}")
    fits("candidates.json", where.json("candidates.json"), "as it is now")
    fits("hardware.json", where.json("hardware.json"), "as it is now")
    fits("conf.json", status["policy"], "the policy of status.json is one that can be written back")
    for point in ([], ["/some where/\u00e9 \"q\""]):
        told = json.loads(run(DOCUMENTS, "--owner", where.path, *point).stdout)
        fits("daemon.json", told, f"mounted at {point}")
        ok(told["mountpoint"] == (point[0] if point else None) and told["pid"] > 1, "with the true values", told)
    for wrong, why in (({"base": 1}, "a number for a name"), ({"codec_budget": 20}, "beyond a bound"),
                       ({"jobs": {"slot": 1}}, "an unknown key within"), ({"quiet": True}, "an unknown key")):
        ok(findings("conf.json", wrong), f"conf.json refuses {why}")


def check_mutations(where):
    """A schema that takes anything would pass all of the above."""
    status = where.json("status.json")
    for path, value in ((("logical_bytes",), "12"), (("models", "packs"), -1), (("families", 0, "base"), 5),
                        (("time",), "today"), (("schema",), "tenpak.status/2"), (("jobs", "slots"), None),
                        (("extra",), 1), (("ratio",), "big")):
        document = copy.deepcopy(status)
        at = document
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = value
        ok(findings("status.json", document), f"status.json with {'.'.join(map(str, path))} = {value!r} is refused")
    for key in status:
        document = {k: v for k, v in status.items() if k != key}
        ok(findings("status.json", document), f"status.json without {key} is refused")


def check_jobs(where):
    asked = [("estimate", "tuned-3 base=base id=retry-1"), ("compress", "tuned-3 base=base nice=5"),
             ("restore", "tuned-1"), ("verify", "base"), ("verify", "lost"), ("compress", "stranger base=none memory=1GiB")]
    for verb, text in asked:
        reply = where.job(verb, text)
        fits("reply.json", reply, f"{verb} {text}")
        job = reply["job_id"]
        if not ok(job is not None, f"{verb} {text} is taken", reply):
            continue
        state, report = where.record(job, "status.json"), where.record(job, "report.json")
        want = "failed" if text == "lost" else "completed"
        ok(state["status"] == want, f"{verb} {text}: {want}", json.dumps(state))
        fits("job.json", state, f"{verb} {text}")
        fits("report.json", report, f"{verb} {text}")
        ok(report["result"] is not None or want == "failed", f"{verb} {text}: the report has a result")
        fits("request.json", where.record(job, "request.json"), f"{verb} {text}")
    for verb, text in (("compress", "nobody"), ("compress", "tuned-2 speed=9"), ("evaluate", "base reference=nobody"), ("optimize", "base hardware=abacus"), ("restore", "")):
        reply = where.job(verb, text)
        fits("reply.json", reply, f"refused: {verb} {text}")
        ok(reply["job_id"] is None and reply["error"]["message"], f"refused, with a message: {verb} {text}", reply)
    fits("jobs.json", where.json("jobs.json"), "after jobs of each kind")
    fits("status.json", where.json("status.json"), "after jobs of each kind")
    fits("models.json", where.json("models.json"), "with an estimate")


def check_control(control):
    """The lines of a control directory, and its documents as they come out of the mount."""
    if not control.exists():
        skip("event.json, error.json: lines of a control directory", "this mount has none")
        return
    events = os.open(control / "events", os.O_RDONLY)
    for name, text in (("compress", b"nobody"), ("compress", b"base speed=9"), ("verify", b"base \xff\n" * 50), ("cancel", b"x")):
        refused = False
        try:
            (control / name).write_bytes(text)
        except OSError:
            refused = True
        ok(refused, f"{name} {text[:20]} is refused")
    (control / "verify").write_text("base")
    (control / "settings" / "jobs").write_text("3")
    (control / "jobs" / "last" / "wait").read_text()
    lines = (control / "error_log").read_text().splitlines()
    ok(len(lines) >= 4, "error_log has a line for each", lines)
    for line in lines:
        fits("error.json", json.loads(line), f"error_log: {json.loads(line)['message']}")
    lines, kinds = [], set()
    # Each event is written soon, but maybe after its cause has returned.
    for _ in range(6000):
        lines += os.read(events, 1 << 20).decode().splitlines()
        kinds = {json.loads(line)["event"] for line in lines}
        if {"job", "setting"} <= kinds:
            break
        time.sleep(0.02)
    os.close(events)
    ok({"job", "setting"} <= kinds, "events has the job and the setting", lines)
    found = [f for line in lines for f in findings("event.json", json.loads(line))]
    ok(not found, "event.json: every line of events", found)
    fits("status.json", json.loads((control / "status.json").read_text()), "from a mount, with what it says of itself")
    fits("models.json", json.loads((control / "models.json").read_text()), "from a mount")
    fits("model.json", json.loads((control / "models" / "base.json").read_text()), "from a mount")
    fits("candidates.json", json.loads((control / "candidates.json").read_text()), "from a mount")
    fits("hardware.json", json.loads((control / "hardware.json").read_text()), "from a mount")
    for name in ("request", "report"):
        fits(f"{name}.json", json.loads((control / "jobs" / "last" / f"{name}.json").read_text()), "from a mount")
    fits("job.json", json.loads((control / "jobs" / "last" / "wait").read_text()), "what a wait reads")
    ok(sorted(p.name for p in (control / "schema").iterdir()) == sorted(LOADED), "schema/ has every schema")


def check_mount(where):
    if not os.access("/dev/fuse", os.R_OK | os.W_OK) or not shutil.which("fusermount3"):
        skip("mount.json: what a mount says of itself", "there is no /dev/fuse, or no fusermount3")
        return
    point = where.root / "mnt"
    point.mkdir()
    run(TENPAK.resolve(), "mount", where.path, point)
    try:
        fits("mount.json", json.loads(os.getxattr(point, "user.tenpak.status")), "what a mount says of itself")
        check_control(point / ".tenpak")
    finally:
        run(TENPAK.resolve(), "umount", point, check=False)


def main():
    check_schemas()
    check_requests()
    where = Directory()
    where.fill()
    check_documents(where)
    check_mutations(where)
    check_jobs(where)
    check_mount(where)
    done()


main()
