#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tenpak pack --target on small models of several families: the quantized model beside the original, which stays, what
is reported, and transformers on what the pack shows."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, os.path.join(os.environ.get("top_srcdir", "."), "tests", "loaders"))
sys.path.insert(0, os.path.join(os.environ.get("top_srcdir", "."), "tests", "optimizer"))

from harness import TENPAK, done, ok, require, skip_all  # noqa: E402

require("torch", "transformers", "tokenizers", "safetensors", "numpy")

import families_test as families  # noqa: E402
import numpy as np  # noqa: E402
import tokenizers  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText  # noqa: E402

MODELS = ("llama-bf16", "gpt2", "phi3", "gemma2", "qwen2", "neox")
TEXT = "".join(f"Line {i}: {i * i} is the square of {i}, and so on.\n" for i in range(60))


def add_tokenizer(directory):
    """A token for each ASCII byte."""
    alphabet = {bytes([b]).decode(): b for b in range(33, 127)}
    alphabet.update({"Ġ": 32, "Ċ": 10})
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=alphabet, merges=[]))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.save(str(directory / "tokenizer.json"))


def tenpak(*arguments):
    return subprocess.run([TENPAK, *map(str, arguments)], capture_output=True, text=True, check=False)


def digest(path):
    """Of all files of a directory, or of a file."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return hashlib.sha256(b"".join(f.read_bytes() for f in files if f.is_file())).hexdigest()


def pack(model, target, *more):
    run = tenpak("pack", "--json", f"--target={target}", f"--calibration={model.parent}/text", "--samples=8",
                 "--context=48", "-j", "2", *more, model)
    return json.loads(run.stdout)["models"][0] if run.returncode == 0 else run.stderr


def check_integers(name, made, windows):
    """With dtype=int8 single tokens compute what a prompt does, near fp32."""
    prefill, decode, exact = (families.forward(mode, made, windows, dtype)
                              for mode, dtype in (("prefill", "int8"), ("decode", "int8"), ("prefill", "f32")))
    if not ok(not isinstance(prefill, str), f"{name}: computed with int8", prefill):
        return
    ok(np.array_equal(prefill, decode), f"{name}: int8, the same of single tokens")
    d = float(np.sqrt(np.square(prefill - exact).mean()) / exact.std())
    ok(1e-4 < d < 0.1, f"{name}: int8 is near fp32", d)


def check_family(root, name):
    directory = families.make(root, name)
    add_tokenizer(directory)
    before = digest(directory)
    result = pack(directory, "balanced")
    if not ok(isinstance(result, dict), f"{name}: packed", str(result)):
        return
    made = root / f"{name}~balanced.tnpk"
    ok(made.exists() and digest(directory) == before, f"{name}: the original stays")
    ok(result["stored_bytes"] == made.stat().st_size, f"{name}: its bytes are reported", str(result))
    ok(result["calibration"]["windows"] == 8 and result["calibration"]["context"] == 48, f"{name}: and the calibration")
    ok(result["calibration"]["warning"] is None, f"{name}: which is long enough", result["calibration"]["warning"])
    ok(all(g["used"] in (48, 72, 80, 192) for g in result["groups"].values()), f"{name}: and the groups", str(result["groups"]))
    shown = root / f"{name}-shown"
    run = tenpak("unpack", "-q", "-o", shown, made)
    ok(run.returncode == 0, f"{name}: unpacked", run.stderr)
    windows = families.windows_for(name, torch.Generator().manual_seed(3))
    families.check_packed_form(name, made, shown, windows)
    check_integers(name, made, windows)


def is_same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and \
        a.flatten().view(torch.uint8).numpy().tobytes() == b.flatten().view(torch.uint8).numpy().tobytes()


def is_aligned(path):
    """Whether each tensor of a file begins at a multiple of the size of its elements."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    sizes = {"I64": 8, "F32": 4, "I32": 4, "BF16": 2, "F16": 2, "U8": 1}
    return all(t["data_offsets"][0] % sizes[t["dtype"]] == 0 for n, t in header.items() if n != "__metadata__")


def shown_by(root, directory, name):
    """What the pack of a model by rounding shows; None: there is none."""
    result, shown = pack(directory, "nearest:16"), root / f"{directory.name}-kept"
    if not ok(isinstance(result, dict), f"{name}: packed", str(result)):
        return None
    run = tenpak("unpack", "-q", "-o", shown, root / f"{directory.name}~nearest-16.tnpk")
    return shown if ok(run.returncode == 0, f"{name}: unpacked", run.stderr) else None


def check_kept(root, name, extra, auto, pictures):
    """What the runtime does not use is in the pack with its dtype and bytes, and transformers loads the whole model."""
    directory = families.make(root, name)
    add_tokenizer(directory)
    path = directory / "model.safetensors"
    tensors = load_file(path)
    tensors.update(extra)
    save_file(tensors, path, {"format": "pt"})
    # Weights in the names of another program, as some publishers add them, are not of the model that is loaded.
    save_file({"tok.weight": torch.ones(3)}, directory / "consolidated.safetensors")
    shown = shown_by(root, directory, name)
    if not shown:
        return
    found = load_file(shown / "model.safetensors")
    ok(found.keys() == tensors.keys(), f"{name}: every tensor of the original is there", found.keys() ^ tensors.keys())
    unused = [n for n in tensors if n in extra or "vision" in n or "projector" in n]
    wrong = [n for n in unused if not is_same(found[n], tensors[n])]
    ok(len(unused) == len(extra) + pictures and not wrong, f"{name}: {len(unused)} unused tensors have their dtype and bytes", wrong)
    ok(is_aligned(shown / "model.safetensors"), f"{name}: every tensor begins at a multiple of its elements")
    model, info = auto.from_pretrained(shown, dtype=torch.float32, output_loading_info=True)
    ok(not info["missing_keys"] and not info["mismatched_keys"] and set(info["unexpected_keys"]) <= extra.keys(),
       f"{name}: transformers misses no tensor", info)
    windows = families.windows_for(name, torch.Generator().manual_seed(3))
    d = families.distance(families.forward("prefill", shown, windows), families.expected(model.eval(), windows))
    ok(families.is_close(d, 1e-4), f"{name}: the whole model computes what the runtime does", d)
    if pictures:
        shards = root / f"{name}-shards"
        auto.from_pretrained(directory, dtype=torch.float32).save_pretrained(shards, max_shard_size="20KB")
        add_tokenizer(shards)
        again = shown_by(root, shards, f"{name}, in shards")
        again = load_file(again / "model.safetensors") if again else {}
        ok(len(list(shards.glob("model-*"))) > 2 and again.keys() == found.keys() - extra.keys() and
           all(is_same(t, found[n]) for n, t in again.items()), f"{name}: the same of {len(list(shards.glob('model-*')))} shards")


def evaluated(root, name, dtype):
    path = root / name if (root / name).exists() else root / f"{name}.tnpk"
    run = tenpak("eval", "--json", f"--text={root}/text", "--context=48", "--samples=4", f"--dtype={dtype}", path)
    if run.returncode != 0:
        raise RuntimeError(run.stderr)
    return json.loads(run.stdout)


def check_forms(root):
    """Other targets, and other ways to ask for them."""
    directory = families.make(root, "llama")
    add_tokenizer(directory)
    for target in ("nearest:48", "gptq:16:3", "bnb_nf4", "fp16"):
        result = pack(directory, target)
        name = f"llama~{target.replace(':', '-')}.tnpk"
        ok(isinstance(result, dict) and (root / name).exists(), f"target {target}", str(result))
        info = json.loads(tenpak("info", "--json", root / name).stdout)
        ok(info["lossy"]["target"] == target and info["exact"] is False, f"{target}: the pack says so", str(info))
    for name, low, high in (("llama", 0, 0), ("llama~bnb_nf4", 0, 0), ("llama~gptq-16-3", 0.5, 0.99)):
        exact, rounded = (evaluated(root, name, dtype) for dtype in ("fp32", "int8"))
        ok(low <= rounded["integer_share"] <= high and exact["integer_share"] == 0, f"{name}: products of integers", rounded)
        ok(abs(rounded["perplexity"] / exact["perplexity"] - 1) < 0.02 and
           (rounded["perplexity"] == exact["perplexity"]) == (high == 0), f"{name}: and what they change", f"{rounded} {exact}")
        generated = tenpak("generate", "--json", "--dtype=int8", "-n", "2", "-p", "a b", root / name)
        report = json.loads(generated.stdout) if generated.returncode == 0 else {"error": generated.stderr}
        ok(report.get("dtype") == "int8" and low <= report["integer_share"] <= high and report["seconds"].keys() == {"load", "compute"},
           f"{name}: generate reports the same", report)
        os.environ["TENPAK_CPU"] = "scalar"
        ok(evaluated(root, name, "int8")["perplexity"] == rounded["perplexity"], f"{name}: the same by scalar code")
        del os.environ["TENPAK_CPU"]
    shutil.rmtree(root / ".tenpak" / "calibration")
    small = pack(directory, "gptq:16:3", "--memory=64MiB", "-o", root / "small.tnpk")
    ok(isinstance(small, dict) and (root / "small.tnpk").read_bytes() == (root / "llama~gptq-16-3.tnpk").read_bytes(),
       "the same in less memory", str(small))
    run = tenpak("pack", "--target=gptq:16:3", "--memory=1MiB", "-o", root / "none.tnpk", directory)
    ok(run.returncode != 0 and "'memory' must be from" in run.stderr and not (root / "none.tnpk").exists(),
       "too little memory is refused", run.stderr)
    one = pack(directory, "quality", "-o", root / "one.tnpk")
    ok(isinstance(one, dict), "to another place", str(one))
    run = tenpak("pack", "-q", "--keep", directory)
    ok(run.returncode == 0, "an exact pack", run.stderr)
    shutil.rmtree(directory)
    two = pack(root / "llama.tnpk", "quality")
    ok(isinstance(two, dict) and (root / "llama~quality.tnpk").exists(), "of a pack", str(two))
    ok(two["stored_bytes"] == one["stored_bytes"], "the same from a directory and from its pack")
    run = tenpak("pack", "--job", root, "llama", "target=size", "calibration=text", "samples=8", "context=48")
    ok(run.returncode == 0 and (root / "llama~size.tnpk").exists(), "as a job", run.stderr)
    report = json.loads((root / ".tenpak" / "jobs" / "last" / "report.json").read_text()) if \
        (root / ".tenpak" / "jobs" / "last").exists() else None
    if report:
        ok(report["result"]["target"] == "size", "and its report", str(report))


def check_refusals(root):
    directory = root / "gpt2"
    (root / "short").write_text("a few words\n")
    cases = [
        (("--target=best",), "'best'"),
        (("--target=nf4:64",), "no groups"),
        (("--target=awq:0",), "no group"),
        (("--target=awq:64:5",), "bits"),
        (("--target=size", "--keep"), "leaves the original"),
        (("--target=size", "--codec=zstd"), "'codec'"),
        (("--samples=4",), "--target"),
        (("--target=balanced",), "exists"),
        (("--target=size", f"--calibration={root}/short"), "tokens"),
        (("--target=size", f"--calibration={root}/none"), "none"),
        (("--target=size", "--context=65"), "positions"),
    ]
    for words, part in cases:
        run = tenpak("pack", *words, directory)
        ok(run.returncode != 0 and part in run.stderr, f"refused: {' '.join(words)}".replace(str(root), ""), run.stderr)
    left = [p.name for p in root.iterdir() if p.name.startswith(".gpt2")]
    ok(not left, "nothing is left of them", str(left))


def check_short_calibration(root):
    """A calibration with fewer tokens than a matrix has inputs is warned of, where its Hessian is used."""
    def run(target):
        done = tenpak("pack", "--json", f"--target={target}", f"--calibration={root}/text", "--samples=1",
                      "--context=16", "-o", root / f"short-{target.split(':')[0]}.tnpk", root / "gpt2")
        return done.stderr, json.loads(done.stdout)["models"][0]["calibration"] if done.returncode == 0 else None

    notes, calibration = run("gptq:16")
    ok(calibration and "has 16 tokens" in (calibration["warning"] or ""), "a short calibration: the report warns",
       calibration)
    ok("has 16 tokens" in notes, "and so does a message", notes)
    notes, calibration = run("bnb_int8")
    ok(calibration and calibration["warning"] is None and "has 16 tokens" not in notes, "but not without a Hessian",
       (notes, calibration))


def check_odd_weights(root):
    """Numbers that are not finite are refused, wherever they are; zeros, and copies of the weights, are not."""
    source = root / "llama-bf16"
    tensors = load_file(source / "model.safetensors")

    def with_value(name, tensor, value):
        directory = root / name
        shutil.copytree(source, directory)
        save_file({**tensors, tensor: torch.full_like(tensors[tensor], value)}, directory / "model.safetensors", {"format": "pt"})
        return directory

    for name, tensor, where in (("norm", "model.norm.weight", "the final norm: a weight"),
                                ("layer-norm", "model.layers.1.input_layernorm.weight", "layer 1: a weight"),
                                ("matrix", "model.layers.0.mlp.up_proj.weight", "layer 0: ")):
        directory = with_value(name, tensor, float("nan"))
        for target in ("fp16", "bnb_nf4"):
            refused = pack(directory, target)
            ok(isinstance(refused, str) and where in refused and "finite" in refused, f"NaN in {name}: {target} is refused", refused)
    ok(not list(root.glob(".*.tmp-*")) and not list(root.glob("*norm~*")), "nothing is left of them")
    # Nothing reaches 'down' here.
    directory = with_value("dead", "model.layers.1.mlp.up_proj.weight", 0)
    shutil.copytree(source, directory / "original")
    for target in ("gptq:16", "awq_g128", "tenpak_x", "int4_residual", "bnb_int8"):
        result = pack(directory, target)
        name = f"dead~{target.replace(':', '-')}"
        ok(isinstance(result, dict) and evaluated(root, name, "fp32")["perplexity"] < 1e6, f"{target}: inputs that are all zero", str(result))
    elements = sum(t.numel() for n, t in tensors.items())
    ok(result["fp16_bytes"] == 2 * elements, "a copy of the weights in the directory does not count", (result["fp16_bytes"], elements))
    stored = sum(t.numel() * t.element_size() for t in tensors.values())
    ok(result["logical_bytes"] == stored, "nor is it of the original's weights", (result["logical_bytes"], stored))


def main():
    if not families.FORWARD.exists():
        skip_all("tests/optimizer/forward is not built")
    root = Path(tempfile.mkdtemp(prefix="tenpak-test."))
    try:
        (root / "text").write_text(TEXT)
        for name in sys.argv[1:] or MODELS:
            check_family(root, name)
        odd = {"extra.wide": torch.arange(5, dtype=torch.int64), "extra.rounded": torch.full((3, 7), 0.1),
               "extra.narrow": torch.arange(13, dtype=torch.uint8), "extra.scalar": torch.tensor(7, dtype=torch.int32),
               "extra.empty": torch.zeros(0, 4), "extra.half": torch.rand(9).half()}
        check_kept(root, "gemma3-parts", odd, AutoModelForImageTextToText, 34)
        check_kept(root, "gpt2", {"transformer.h.0.attn.masked_bias": torch.tensor(-1e4)}, AutoModelForCausalLM, 0)
        check_forms(root)
        check_short_calibration(root)
        check_odd_weights(root)
        check_refusals(root)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    done()


if __name__ == "__main__":
    main()
