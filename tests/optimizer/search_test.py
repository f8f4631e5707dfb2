#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A search over all candidates on a small model: the choice against brute force, rounds, a search that is killed and
continued, the winner in a mount against transformers, and input that is refused with one line and nothing lost."""

import fcntl
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

TOP = Path(os.environ.get("top_srcdir", Path(__file__).resolve().parents[2])).resolve()
sys.path[:0] = [str(TOP / "tests" / "loaders"), str(TOP / "tests" / "optimizer")]

from harness import BUILD, TENPAK, Store, done, ok, require  # noqa: E402

require("torch", "transformers", "safetensors", "numpy")

import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

import brute_force  # noqa: E402

transformers.logging.set_verbosity_error()
torch.set_num_threads(1)
os.environ["TENPAK_TEXT_DIR"] = str(TOP / "share" / "tenpak" / "text")
RUN = BUILD / "tests" / "optimizer" / "search_run"
FORWARD = BUILD / "tests" / "optimizer" / "forward"
SETTINGS = ("samples=16", "calibration_samples=4", "context=32")
# What does not depend on how fast the machine was.
EXACT = ("pack_bytes", "compression", "scored_tokens", "perplexity", "perplexity_error", "ppl_delta",
         "ppl_delta_error", "kl_divergence", "kl_divergence_p99", "top1_agreement")


# --- The model ---

def byte_tokenizer():
    """A token for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    text = {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(others)}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {"version": "1.0", "added_tokens": [], "normalizer": None, "pre_tokenizer": level, "post_processor": None,
            "decoder": level, "model": {"type": "BPE", "vocab": {text[b]: b for b in range(256)}, "merges": []}}


def make_model(path, vocab=256, width=64, layers=2):
    torch.manual_seed(3)
    config = transformers.LlamaConfig(
        vocab_size=vocab, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64, initializer_range=0.2,
        tie_word_embeddings=False)
    transformers.LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(path)
    (path / "tokenizer.json").write_text(json.dumps(byte_tokenizer()))
    (path / "README.md").write_text("a model of a test\n")


def hashes(path):
    return {f.relative_to(path): hashlib.sha256(f.read_bytes()).hexdigest() for f in path.rglob("*") if f.is_file()}


# --- Searches ---

def search(folder, *words, settings=SETTINGS, name="model"):
    return subprocess.run([RUN, folder, name, *settings, *words], capture_output=True, text=True, check=False)


def report_of(run, what):
    if not ok(run.returncode == 0, what, run.stderr):
        done()
    return json.loads(run.stdout)


def by_name(report):
    return {row["codec"]: row for row in report["all_candidates"]}


def is_best(report, what):
    problems = list(brute_force.problems(report))
    ok(not problems, what, problems)


def is_refused(run, code, words, what):
    lines = [line for line in run.stderr.splitlines() if line.startswith("error ")]
    ok(run.returncode == 1 and len(lines) == 1 and lines[0].startswith(f"error {code}: ") and words in lines[0], what,
       run.stderr)


# --- Tests ---

def test_short_calibration(folder):
    short = ("samples=2", "calibration_samples=1", "context=32", "keep=none")
    report = report_of(search(folder, "candidates=gptq_quality", settings=short), "a short calibration")
    ok("has 32 tokens" in (report["calibration"]["warning"] or ""), "is warned of", report["calibration"]["warning"])
    report = report_of(search(folder, "candidates=bnb_nf4", settings=short), "of no use for the candidate")
    ok(report["calibration"]["warning"] is None, "it is not", report["calibration"]["warning"])


def test_all(folder):
    before = hashes(folder / "model")
    report = report_of(search(folder), "a search over all candidates")
    rows = by_name(report)
    ok(len(rows) == 12 and all(row["status"] == "complete" for row in rows.values()), "all are measured", rows)
    is_best(report, "the choice is that of brute force")
    same = rows["fp16"]
    ok(same["ppl_delta"] == 0 and same["kl_divergence"] == 0 and same["top1_agreement"] == 1,
       "a model in bf16 is itself as fp16", same)
    ok(all(row["kl_divergence"] > 0 for name, row in rows.items() if name != "fp16"), "the others differ from it")
    ok(all(report["seconds"][key] > 0 for key in ("calibrate", "quantize", "write", "evaluate", "time")),
       "it says where the time went", report["seconds"])
    ok(report["peak_memory_bytes"] > 0 and report["windows"] == 16, "and how much memory and text it took")
    ok(report["packs"] == [f"model~{report['winner']['codec']}.tnpk"] and (folder / report["packs"][0]).is_file(),
       "the winner is a model", report["packs"])
    ok(sorted(p.name for p in folder.iterdir()) == [".tenpak", "model", report["packs"][0]], "nothing else is left")
    ok(not list((folder / ".tenpak" / "search").rglob("*.tnpk")), "the other packs are removed")
    ok(hashes(folder / "model") == before, "the original is unchanged")
    return report


def test_choices(folder, report):
    """Ten sets of limits: nothing is measured again."""
    rows = [row for row in report["all_candidates"]]
    picks = random.Random(5)
    limits = (("max_ppl_delta", "ppl_delta"), ("max_latency_ms", "latency_ms"), ("min_compression", "compression"),
              ("max_latency_p99_ms", "latency_p99_ms"), ("min_throughput_tps", "throughput_tps"),
              ("max_memory", "memory_bytes"))
    for number in range(10):
        words = [f"{key}={picks.choice(rows)[figure]:.17g}" for key, figure in picks.sample(limits, 3)]
        again = report_of(search(folder, *words, "keep=none"), f"limits {number}: {' '.join(words)}")
        is_best(again, f"limits {number}: the choice is that of brute force")
        ok(all(by_name(again)[row["codec"]][key] == row[key] for row in rows for key in EXACT
               if by_name(again)[row["codec"]]["status"] == "complete"), f"limits {number}: figures are as before")


def test_rounds(folder, report):
    """A limit that some candidates surely miss, and all in between."""
    deltas = sorted(row["ppl_delta"] for row in report["all_candidates"])
    limit = deltas[len(deltas) // 2]
    halved = report_of(search(folder, f"max_ppl_delta={limit}"), "a search with a limit in the middle")
    full, rows = by_name(report), by_name(halved)
    dropped = [row for row in rows.values() if row["status"] == "dropped"]
    ok(all(row["ppl_delta"] - 2 * row["ppl_delta_error"] > limit and "max_ppl_delta" in row["why"] for row in dropped),
       "only candidates are dropped that miss it by two standard errors", dropped)
    ok(all(row["status"] == "complete" for name, row in rows.items()
           if full[name]["ppl_delta"] + 4 * full[name]["ppl_delta_error"] < limit), "none that meets it by far")
    ok(all(row[key] == full[name][key] for name, row in rows.items() if row["status"] == "complete" for key in EXACT),
       "the figures of the others are those without rounds")
    is_best(halved, "the choice is that of brute force")


def killed_at(folder, place, *words):
    """A search that kills itself at STAGE:PART, or end:CANDIDATE."""
    return search(folder, *words, f"kill={place}").returncode == -9


def test_killed(source, root, report):
    """Killed in each step; the limits leave one candidate, so that the winner does not depend on the machine."""
    best = max((row for row in report["all_candidates"] if row["codec"] != "fp16"), key=lambda row: row["compression"])
    limit = f"min_compression={best['compression'] * 0.99999}"
    expected = [row["codec"] for row in report["all_candidates"] if row["compression"] >= best["compression"] * 0.99999]
    folder = root / "killed"
    folder.mkdir()
    shutil.copytree(source / "model", folder / "model")
    before = hashes(folder / "model")
    state = folder / ".tenpak" / "search"
    for place in ("quantize:0", "quantize:0.2", "quantize:0.7", "write:0.5", "evaluate:0", "time:0", "end:int4_g8"):
        ok(killed_at(folder, place), f"killed at {place}")
        ok(not list(folder.glob("*.tnpk")), "there is no result")
    ok(not list(state.rglob("*.layers")), "whole packs need no layers")
    records = {p.stem: json.loads(p.read_text()) for p in (folder / ".tenpak").rglob("*.json")}
    complete = [name for name, record in records.items() if record["status"] == "complete"]
    ok("int4_g8" in complete, "records of complete candidates are there", complete)
    again = report_of(search(folder), "the search is continued")
    rows, full = by_name(again), by_name(report)
    ok(again["candidates_continued"] >= len(complete), "what was complete is not measured again")
    ok(all(rows[name]["latency_ms"] == records[name]["latency_ms"] for name in complete), "its times are those before")
    ok(all(row[key] == full[name][key] for name, row in rows.items() for key in EXACT),
       "all figures are those of a search that was not killed")
    chosen = report_of(search(folder, limit), "with a limit that few meet")
    ok(chosen["winner"]["codec"] in expected, "the winner is the expected one", (chosen["winner"], expected))
    ok(hashes(folder / "model") == before, "the original is unchanged")
    shutil.rmtree(folder)


def flip(path):
    """Change a byte within a file."""
    with open(path, "r+b") as file:
        file.seek(path.stat().st_size // 3)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def test_damaged(source, root, report):
    """Files of the state that are damaged are made again; layers that are whole are not."""
    folder = root / "damaged"
    folder.mkdir()
    shutil.copytree(source / "model", folder / "model")
    full = by_name(report)

    def is_same(again, what, names=full):
        rows = by_name(again)
        ok(all(rows[name][key] == full[name][key] for name in names for key in EXACT), f"{what}: the same figures")

    ok(killed_at(folder, "quantize:0.7"), "killed in the second layer")
    state = next((folder / ".tenpak" / "search").iterdir())
    (state / ".int4_g8.tnpk.tmp-1-0").write_text("of a process that was killed")
    again = report_of(search(folder), "a search that continues within the layers")
    ok(12 <= again["layers_continued"] < 24, "it quantizes only what was missing", again["layers_continued"])
    is_same(again, "continued layers")
    ok(sorted({p.suffix for p in state.iterdir()}) == ["", ".json", ".scores"], "only records and scores are left")

    some = ("gptq_quality", "bnb_nf4", "awq_g128")
    words = ["candidates=" + ",".join(some), "keep=none"]
    for what, place, pattern in (("layers", "write:0", "gptq_quality.layers"), ("a pack", "evaluate:0", "bnb_nf4.tnpk"),
                                 ("a pack", "time:0", "awq_g128.tnpk")):
        for path in state.iterdir():
            if path.name != "lock":
                path.unlink()
        ok(killed_at(folder, place, *words), f"killed at {place}")
        flip(state / pattern)
        run = search(folder, *words)
        is_same(report_of(run, f"{what} damaged at {place}"), f"{what} damaged at {place}", some)
        ok(any(line.startswith("note ") and pattern in line for line in run.stderr.splitlines()),
           f"{pattern} is named", run.stderr)
    flip(state / "bnb_nf4.scores")
    again = report_of(search(folder, *words), "scores that are damaged")
    is_same(again, "damaged scores", some)
    ok(again["candidates_continued"] == 2 and again["original"]["perplexity"] == report["original"]["perplexity"],
       "the others are continued", again["candidates_continued"])
    flip(state / "awq_g128.json")
    (state / "gptq_quality.scores").write_bytes(b"")
    again = report_of(search(folder, *words), "a record that is damaged, and empty scores")
    is_same(again, "damaged record", some)
    again = search(folder, *words, "context=24", "kill=quantize:0.7", f"do=touch {folder}/model/config.json")
    is_refused(again, 16, "has changed meanwhile", "a model that changes in the pass")
    for place in ("write:0.5", "evaluate:0"):
        again = search(folder, *words, "context=28", f"kill={place}", f"do=touch {folder}/model/config.json")
        is_refused(again, 16, "has changed meanwhile", f"a model that changes at {place}")
    shutil.rmtree(folder)


def test_embeddings(source, root, report):
    """Embedding and head in 8 bits: smaller, and near."""
    folder = root / "embeddings"
    folder.mkdir()
    shutil.copytree(source / "model", folder / "model")
    again = report_of(search(folder, "candidates=fp16,int4_g16", "embeddings=int8", "keep=all"), "embeddings in int8")
    rows, full = by_name(again), by_name(report)
    ok(all(rows[n]["pack_bytes"] < full[n]["pack_bytes"] and rows[n]["memory_bytes"] < full[n]["memory_bytes"]
           for n in rows), "packs and memory are smaller", rows)
    ok(0 < rows["fp16"]["kl_divergence"] < 0.01, "the divergence is that of 8 bits", rows["fp16"]["kl_divergence"])
    path = folder / "shown"
    subprocess.run([TENPAK, "unpack", "-q", "-o", path, folder / "model~fp16.tnpk"], check=True)
    shown, was = load_file(path / "model.safetensors"), load_file(folder / "model" / "model.safetensors")
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        a, b = shown[name].float(), was[name].float()
        step = b.abs().amax(dim=1, keepdim=True) / 127
        ok(not torch.equal(a, b) and bool(((a - b).abs() <= step * 0.5 + b.abs() / 128).all()),
           f"{name} is rounded to 8 bits by rows")
    ok(torch.equal(shown["model.norm.weight"], was["model.norm.weight"]), "a norm is not")
    shutil.rmtree(folder)


def test_published(source, root):
    """A result that is damaged is made again; one that is whole is not."""
    folder = root / "published"
    folder.mkdir()
    shutil.copytree(source / "model", folder / "model")
    pack = folder / "model~bnb_nf4.tnpk"
    report_of(search(folder, "candidates=bnb_nf4"), "a search of one")
    made = pack.stat().st_ino
    report_of(search(folder, "candidates=bnb_nf4"), "repeated")
    ok(pack.stat().st_ino == made, "its result stays")
    flip(pack)
    report_of(search(folder, "candidates=bnb_nf4"), "with a damaged result")
    ok(subprocess.run([TENPAK, "verify", "-q", pack], check=False).returncode == 0,
       "it is made again")
    shutil.rmtree(folder)


def test_mounted(store, report):
    """The winner as transformers loads it, against the runtime, which computes from the packed matrices."""
    name = Path(report["packs"][0]).stem
    store.packs = store.plain
    store.mount()
    model = transformers.AutoModelForCausalLM.from_pretrained(store.mnt / name, dtype=torch.float32)
    ids = [[7 * i % 251 for i in range(start, start + 24)] for start in (1, 50)]
    with torch.no_grad():
        want = torch.cat([model(torch.tensor([row])).logits[0] for row in ids]).numpy()
    text = "".join(" ".join(map(str, row)) + "\n" for row in ids)
    # transformers has the weights rounded to bf16, 2^-9 of each, as the files of the mount have them.
    for path, limit in ((store.mnt / name, 1e-4), (store.plain / (name + ".tnpk"), 0.05)):
        run = subprocess.run([FORWARD, "prefill", path, "f32", "2"], input=text.encode(), capture_output=True,
                             check=False)
        got = np.frombuffer(run.stdout, np.float32).reshape(want.shape)
        error = float(np.abs(got - want).max() / np.abs(want).max())
        ok(error < limit, f"logits differ from those of transformers by {error:.2g} of the largest, below {limit:g}")
    info = json.loads((store.mnt / ".tenpak" / "models" / (name + ".json")).read_text())
    ok("lossy" in json.dumps(info), "its document says that it is lossy", info)
    ok(store.unmount() == 0, "the mount ends well")


def test_refused(root, source):
    folder = root / "refused"
    folder.mkdir()
    shutil.copytree(source / "model", folder / "model")
    tensors = load_file(folder / "model" / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"][3, 5] = float("nan")
    (folder / "nan").mkdir()
    shutil.copytree(source / "model", folder / "nan", dirs_exist_ok=True)
    save_file(tensors, folder / "nan" / "model.safetensors", {"format": "pt"})
    make_model(folder / "small", vocab=100)
    for name, tensor in (("embedding", "model.embed_tokens.weight"), ("head", "lm_head.weight")):
        tensors = load_file(folder / "model" / "model.safetensors")
        tensors[tensor][250, 5] = float("inf")
        shutil.copytree(source / "model", folder / name)
        save_file(tensors, folder / name / "model.safetensors", {"format": "pt"})
    shutil.copytree(source / "model", folder / "cut")
    os.truncate(folder / "cut" / "model.safetensors", 20000)
    (folder / "short.txt").write_text("Too short.")
    (folder / "binary.txt").write_bytes(bytes(range(256)) * 40)
    (folder / "empty.txt").write_bytes(b"")
    before = hashes(folder)
    (folder / ".tenpak").mkdir(mode=0o700)
    (folder / ".tenpak" / "search").write_text("no directory")
    run = search(folder)
    is_refused(run, 20, f"cannot write to '{folder}/.tenpak/search'", "a store in which no state can be written")
    ok("stage hash" not in run.stderr, "that is known before the model is read", run.stderr)
    shutil.rmtree(folder / ".tenpak")
    is_refused(search(folder, name="nan"), 33, "finite number", "NaN weights")
    is_refused(search(folder, "candidates=fp16", name="nan"), 33, "finite number", "NaN weights that are not quantized")
    for name in ("embedding", "head"):
        is_refused(search(folder, name=name), 33, f"weight of the {name} is not a finite number", f"Inf in the {name}")
    is_refused(search(folder, name="cut"), 74, "'model.safetensors' is not read as safetensors", "a file that is cut")
    is_refused(search(folder, f"text={folder}/short.txt"), 22, "fewer than the context", "a text that is too short")
    is_refused(search(folder, f"text={folder}/binary.txt"), 22, "not a text", "a text that is binary")
    is_refused(search(folder, f"calibration={folder}/empty.txt"), 22, "is empty", "a calibration that is empty")
    is_refused(search(folder, name="small"), 22, "does not match", "a tokenizer that does not match the model")
    make_model(folder / "large", vocab=400)
    run = search(folder, "candidates=bnb_nf4", "keep=none", name="large")
    ok(run.returncode == 0 and "256 tokens, and the model 400: they may not belong together" in run.stderr,
       "one that knows few of the model's tokens is noted", run.stderr)
    shutil.rmtree(folder / "large")
    rows = by_name(report_of(search(folder, "candidates=fp16,nearest,int4_g16", "keep=none"), "a search with a method"))
    ok(list(rows) == ["fp16", "int4_g16", "nearest"] and rows["nearest"]["status"] == "complete"
       and rows["nearest"]["kl_divergence"] > 0, "which is a candidate", rows)
    is_refused(search(folder, "candidates=fp16,quality"), 2, "'quality'", "a target as a candidate")
    is_refused(search(folder, "candidates=fp16,fp17"), 2, "'fp17'", "an unknown candidate")
    is_refused(search(folder, "candidates=fp16,fp16"), 22, "twice", "a candidate that is there twice")
    is_refused(search(folder, "candidates=fp16,"), 2, "there is no candidate ''", "an empty name")
    is_refused(search(folder, "memory=1"), 12, "memory", "too little memory")
    (folder / "model~fp16.tnpk").write_text("something else")
    is_refused(search(folder), 17, "exists", "a file of the name of a result")
    (folder / "model~fp16.tnpk").unlink()
    subprocess.run([TENPAK, "pack", "-q", "--target=fp16", folder / "model"], check=True)
    is_refused(search(folder), 17, "not the result of a search", "a quantized model that no search has made")
    (folder / "model~fp16.tnpk").unlink()
    # A search of the same key in another process.
    report_of(search(folder, "candidates=bnb_nf4", "keep=none"), "a search that keeps nothing")
    ok(not list(folder.glob("*.tnpk")), "and it leaves no pack")
    lock = next(p for p in (folder / ".tenpak" / "search").rglob("lock") if (p.parent / "bnb_nf4.json").exists())
    with open(lock, "r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        is_refused(search(folder, "candidates=bnb_nf4"), 16, "another process", "a search that is locked")
    now = {path: value for path, value in hashes(folder).items() if path.parts[0] != ".tenpak"}
    ok(now == before, "nothing is lost, and nothing else is there")
    shutil.rmtree(folder)


def test_larger_than_memory(root):
    """A model that can be searched, but not timed, in the memory that may be used."""
    folder = root / "large"
    folder.mkdir()
    make_model(folder / "model", width=256, layers=64)
    words = ("candidates=fp16,bnb_nf4", "keep=none")
    short = ("samples=2", "calibration_samples=2", "context=32")
    report = report_of(search(folder, *words, "memory=76", settings=short), "a model larger than the memory")
    rows = by_name(report)
    ok(all(row["status"] == "complete" and row["throughput_tps"] is None and row["perplexity"] for row in rows.values()),
       "all is measured but the speed", rows)
    ok(report["winner"]["codec"] == "bnb_nf4" and "larger than bnb_nf4" in rows["fp16"]["why"], "the smallest pack wins",
       report)
    ok(report["peak_memory_bytes"] < 76 << 20, "the memory suffices", report["peak_memory_bytes"])
    is_best(report, "the choice is that of brute force")
    report = report_of(search(folder, *words, "memory=76", "max_latency_ms=1000000", settings=short), "a limit of speed")
    ok(report["winner"] is None and report["candidates_continued"] >= 1
       and "latency_ms is not known" in by_name(report)["bnb_nf4"]["why"], "which an unknown speed misses", report)
    report = report_of(search(folder, *words, settings=short), "the same search with more memory")
    ok(all(row["throughput_tps"] > 0 for row in report["all_candidates"]), "measures the speed", report)
    is_best(report, "and chooses by it")
    shutil.rmtree(folder)


def test_full(root, source):
    """A file system without space."""
    folder = root / "full"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True,
                      check=False).returncode:
        ok(True, "a full disk # SKIP no file system can be mounted")
        return
    try:
        path = source / "model"
        run = search(folder, f"path={path}")
        is_refused(run, 28, "No space", "a full disk")
        ok(f"'{folder}/.tenpak/search'" in run.stderr, "is told where the state is", run.stderr)
        ok(not list(folder.rglob("*.tnpk")) and not [p for p in folder.rglob("*") if ".tmp-" in p.name],
           "leaves no incomplete pack")
        subprocess.run(["mount", "-o", "remount,size=64m", folder], check=True)
        report_of(search(folder, f"path={path}", "candidates=fp16,bnb_nf4"), "and with space it is continued")
    finally:
        subprocess.run(["umount", folder], check=False)


def main():
    store = Store()
    make_model(store.plain / "model")
    report = test_all(store.plain)
    test_choices(store.plain, report)
    halves = store.root / "halves"
    halves.mkdir()
    shutil.copytree(store.plain / "model", halves / "model")
    test_rounds(halves, report)
    shutil.rmtree(halves)
    test_killed(store.plain, store.root, report)
    test_damaged(store.plain, store.root, report)
    test_embeddings(store.plain, store.root, report)
    test_published(store.plain, store.root)
    test_refused(store.root, store.plain)
    test_short_calibration(store.plain)
    test_larger_than_memory(store.root)
    test_full(store.root, store.plain)
    test_mounted(store, report)
    done()


main()
