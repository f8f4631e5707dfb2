#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The numbers of the documents: sums are those of the rows, rows those of the files; metrics have the format of
Prometheus and the same numbers."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from directory import DOCUMENTS, HOSTILE, TENPAK, Directory, done, ok, run, skip  # noqa: E402

SUMS = ("logical_bytes", "stored_bytes", "saved_bytes")


def is_(got, want, name):
    return ok(got == want, name, f"got  {got!r}\nwant {want!r}")


def bytes_of(folder):
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def check_rows(where, sizes):
    models = where.json("models.json")["models"]
    rows = {m["name"]: m for m in models}
    is_([m["name"] for m in models], sorted(sizes, key=str.encode), "every model has a row, in byte order")
    for name, size in sizes.items():
        row, pack = rows[name], where.path / f"{name}.tnpk"
        if name == "lost":
            ok(row["error"] and row["logical_bytes"] is None and row["id"] is None, "a damaged pack says so", row)
            is_(row["stored_bytes"], pack.stat().st_size, "and takes its place on disk")
            continue
        kind = "pack" if pack.exists() else "plain"
        shown = "the one with the bad name" if name == HOSTILE else name
        is_((row["kind"], row["error"], row["logical_bytes"]), (kind, None, size), f"{shown}: kind and size")
        is_(row["stored_bytes"], pack.stat().st_size if kind == "pack" else size, f"{shown}: bytes on disk")
        is_(row["saved_bytes"], row["logical_bytes"] - row["stored_bytes"], f"{shown}: what it saves")
        manifest = where.json(name)
        is_(manifest["truncated"], False, f"{shown}: the manifest has all of it")
        is_(row["tensors"], len(manifest["tensors"]), f"{shown}: tensors")
        is_(row["files"], sum(f["type"] == "file" for f in manifest["files"]), f"{shown}: files")
        is_(sum(f.get("bytes", 0) for f in manifest["files"]), size, f"{shown}: the manifest's files are all of it")
        if kind == "pack":
            info = json.loads(run(TENPAK.resolve(), "info", "--json", pack).stdout)
            is_({k: v for k, v in manifest.items() if k in info and k != "base"},
                {k: v for k, v in info.items() if k not in ("pack", "base")}, f"{shown}: as tenpak info has it")
    for name in ("tuned-1", "tuned-2"):
        is_((rows[name]["base"], rows[name]["family"], rows[name]["codec"]), ("base", "base", "delta"),
            f"{name} is a delta of base, and of its family")
    is_((rows["base"]["base"], rows["base"]["family"]), (None, "base"), "base is its own family")


def check_sums(where):
    status, models = where.json("status.json"), where.json("models.json")
    rows = [m for m in models["models"] if m["logical_bytes"] is not None]
    for key in SUMS:
        is_(status[key], sum(m[key] for m in rows), f"{key} is the sum of the rows")
        is_(status[key], models[key], f"{key} is the same in both documents")
        is_(status[key], sum(f[key] for f in status["families"]), f"{key} is the sum of the families")
    is_(status["models"]["total"], len(models["models"]), "how many models there are")
    is_(status["models"]["unreadable"], 1, "one of them cannot be read")
    is_(status["models"]["unreadable_bytes"], (where.path / "lost.tnpk").stat().st_size, "and what that takes")
    family = next(f for f in status["families"] if f["base"] == "base")
    mine = [m for m in rows if m["family"] == "base"]
    is_((family["models"], family["saved_bytes"]), (3, sum(m["saved_bytes"] for m in mine)), "the base's family")
    ok(abs(status["ratio"] - status["logical_bytes"] / status["stored_bytes"]) < 1e-4, "the ratio is theirs")
    listed = json.loads(run(TENPAK.resolve(), "ls", "--json", where.path, check=False).stdout)
    is_((listed["logical_bytes"], listed["stored_bytes"]), (status["logical_bytes"], status["stored_bytes"]),
        "tenpak ls has the same sums")
    saved = [f["saved_bytes"] for f in status["families"] if f["base"]]
    is_(saved, sorted(saved, reverse=True), "families are in the order of what they save")


# --- Metrics ---

def parse(text):
    """{name: {labels: value}}, types and helps, by the format's own rules."""
    samples, types, helps = {}, {}, {}
    for line in text.split("\n"):
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            types[name] = kind
        elif line.startswith("# HELP "):
            helps[line.split(" ", 3)[2]] = line
        elif line:
            match = re.fullmatch(r'([a-z_]+)(?:\{((?:[a-z]+="(?:\\.|[^"\\])*",?)*)\})? ([0-9.]+)', line)
            if not match:
                raise ValueError(line)
            labels = re.findall(r'([a-z]+)="((?:\\.|[^"\\])*)"', match[2] or "")
            plain = tuple((k, re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], v)) for k, v in labels)
            samples.setdefault(match[1], {})[plain] = float(match[3])
    return samples, types, helps


def label(name):
    """A name with its characters that may not be printed replaced, as metrics have it."""
    return re.sub("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]",
                  lambda m: f"\ufffdu{ord(m[0]):04x}", name)


def check_metrics(where):
    text, status, models = where.document("metrics"), where.json("status.json"), where.json("models.json")["models"]
    samples, types, helps = parse(text)
    is_(set(samples), set(types), "every metric has a type")
    is_(set(samples), set(helps), "every metric has a help")
    is_([n for n, t in types.items() if (t == "counter") != n.endswith("_total")], [], "counters, and no others, end in _total")
    is_([n for n in samples if not n.startswith("tenpak_")], [], "all are ours by name")
    is_(samples["tenpak_logical_bytes"][()], status["logical_bytes"], "logical bytes are those of status.json")
    is_(samples["tenpak_stored_bytes"][()], status["stored_bytes"], "stored bytes, too")
    is_(samples["tenpak_models"][(("kind", "pack"),)], status["models"]["packs"], "and the number of packs")
    by_model = {dict(labels)["model"]: value for labels, value in samples["tenpak_model_stored_bytes"].items()}
    is_(by_model, {label(m["name"]): m["stored_bytes"] for m in models if m["logical_bytes"] is not None},
        "a series a model, whatever it is called")
    is_(samples["tenpak_read_bytes_total"][()], 3456789, "what the mount has read")
    is_(samples["tenpak_decode_seconds_total"][()], 0.25, "seconds are seconds")
    jobs = where.json("jobs.json")["jobs"]
    for verb, state in (("estimate", "completed"), ("verify", "failed"), ("verify", "completed")):
        is_(samples["tenpak_jobs_total"][(("verb", verb), ("status", state))],
            sum(j["verb"] == verb and j["status"] == state for j in jobs), f"jobs: {verb}, {state}")
    if shutil.which("promtool"):
        out = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        ok(out.returncode == 0 and not out.stdout and not out.stderr, "promtool finds nothing", out.stdout + out.stderr)
    else:
        skip("promtool finds nothing", "promtool is not installed (Debian: it comes with the server, in prometheus)")
    try:
        from prometheus_client.parser import text_string_to_metric_families
    except ImportError:
        skip("Prometheus' own reader has the same", "Python module prometheus_client is not installed")
        return
    theirs = {(s.name, frozenset(s.labels.items())): s.value for f in text_string_to_metric_families(text) for s in f.samples}
    is_(theirs, {(n, frozenset(k)): v for n, by in samples.items() for k, v in by.items()}, "Prometheus' own reader has the same")


# --- What changes ---

def check_estimate(where):
    row = next(m for m in where.json("models.json")["models"] if m["name"] == "tuned-3")
    is_(row["estimate"], None, "nobody has asked for an estimate")
    reply = where.job("estimate", "tuned-3 base=base")
    result = where.record(reply["job_id"], "report.json")["result"]
    row = next(m for m in where.json("models.json")["models"] if m["name"] == "tuned-3")
    is_(row["estimate"], {"stored_bytes": result["stored_bytes"], "saves_bytes": row["stored_bytes"] - result["stored_bytes"],
                          "base": "base"}, "an estimate shows in the row of its model")


def check_absent_base(where):
    (where.path / "base.tnpk").rename(where.root / "base.tnpk")
    status = where.json("status.json")
    row = next(m for m in where.json("models.json")["models"] if m["name"] == "tuned-1")
    ok(row["base_absent"] and "base" in row["error"], "a base that went away is missed", row)
    ok(next(f for f in status["families"] if f["base"] == "base")["base_absent"], "in its family, too", status["families"])
    (where.root / "base.tnpk").rename(where.path / "else.tnpk")
    row = next(m for m in where.json("models.json")["models"] if m["name"] == "tuned-1")
    is_((row["base"], row["base_absent"], row["error"], row["family"]), ("else", False, None, "else"),
        "under another name it is the base still")


def check_much(where):
    """A small file that says much of itself: each of its tensors has the long path of the file beside it."""
    folder = where.path / "wide"
    for _ in range(15):
        folder /= "d" * 240
    folder.mkdir(parents=True)
    (where.path / "wide" / "config.json").write_text("{}")
    tensors = {f"t{i}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for i in range(20000)}
    header = json.dumps(tensors).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    run(TENPAK.resolve(), "pack", "-q", "--base=none", "-o", where.path / "narrow.tnpk", where.path / "wide")
    for name in ("wide", "narrow"):
        text = where.document(name)
        manifest = json.loads(text)
        ok(64 << 20 <= len(text) < 65 << 20, f"{name}: the document has an end", len(text))
        ok(manifest["truncated"] and 0 < len(manifest["tensors"]) < 20000, f"{name}: and says that it lacks the rest")


def main():
    where = Directory()
    is_(where.json("status.json")["models"]["total"], 0, "an empty directory has no models")
    is_((where.json("status.json")["ratio"], where.json("status.json")["families"]), (None, []), "and saves nothing")
    originals = where.root / "originals"
    where.fill()
    check_estimate(where)
    for text in ("base", "lost"):
        where.job("verify", text)
    sizes = {}
    for name in where.json("models.json")["models"]:
        name = name["name"]
        if (where.path / name).is_dir():
            sizes[name] = bytes_of(where.path / name)
        elif name == "lost":
            sizes[name] = None
        else:
            run(TENPAK.resolve(), "unpack", "-q", "-o", originals, where.path / f"{name}.tnpk")
            sizes[name] = bytes_of(originals)
            shutil.rmtree(originals)
    check_rows(where, sizes)
    check_sums(where)
    check_metrics(where)
    check_absent_base(where)
    missing = run(DOCUMENTS, where.path, "nobody", check=False)
    ok(missing.returncode == 1 and "no model 'nobody'" in missing.stderr, "no document of a model that is not there", missing.stderr)
    for bad in ("../models/base", ".tenpak", "..", "base/x"):
        ok(run(DOCUMENTS, where.path, bad, check=False).returncode == 1, f"nor of {bad}")
    check_much(where)
    readme = where.document("README")
    ok(all(f"    {v} " in readme for v in ("estimate", "compress", "restore", "verify", "cancel")), "README names the commands")
    done()


main()
