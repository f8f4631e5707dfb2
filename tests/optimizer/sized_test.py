#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tenpak pack --target-size on small models of several families: the pack is within its size and close to it, has a
smaller divergence than one format for all matrices in as many bytes, and says which matrix has which."""

import json
import os
import re
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
import torch  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from target_test import TEXT, add_tokenizer, digest, tenpak  # noqa: E402

WIDE = {"hidden_size": 128, "intermediate_size": 320, "num_attention_heads": 4, "num_key_value_heads": 2,
        "num_hidden_layers": 4, "n_embd": 128, "n_layer": 4, "initializer_range": 0.08}
MODELS = ("llama-bf16", "gpt2", "phi3", "neox")


def make(root, name):
    """A model of which some matrices matter little."""
    kind, values, options = families.MODELS[name]
    families.MODELS[name] = (kind, {**values, **{k: v for k, v in WIDE.items() if k in values}}, options)
    directory = families.make(root, name)
    model = families.load(directory, torch.float32)
    with torch.no_grad():
        for key, p in model.named_parameters():
            if re.search(r"(layers|h)\.1\..*(o_proj|down_proj|c_proj|dense|4h_to_h)\.weight", key):
                p.mul_(0.02)
    model.to(options.get("dtype", torch.float32)).save_pretrained(directory)
    add_tokenizer(directory)
    return directory


def pack(model, out, *more):
    run = tenpak("pack", "--json", f"--calibration={model.parent}/text", "--samples=8", "--context=48", "-j", "2",
                 "-o", out, *more, model)
    return json.loads(run.stdout)["models"][0] if run.returncode == 0 else run.stderr


def divergence(model, packed, windows):
    """The mean divergence of the pack's tokens from the model's."""
    a, b = (families.forward("prefill", m, windows) for m in (model, packed))
    if isinstance(a, str) or isinstance(b, str):
        return a if isinstance(a, str) else b
    p, q = (torch.log_softmax(torch.from_numpy(np.array(x, np.float64)), -1) for x in (a, b))
    return float((p.exp() * (p - q)).sum(-1).mean())


def text_windows():
    tokens = torch.tensor(list(TEXT.encode()))
    return [tokens[i:i + 48] for i in range(600, 600 + 8 * 48, 48)]


def check_family(root, name):
    directory = make(root, name)
    before, windows = digest(directory), text_windows()
    for bits in (3, 4):
        plain, sized = root / f"{name}-{bits}.tnpk", root / f"{name}-sized-{bits}.tnpk"
        one = pack(directory, plain, f"--target=gptq:128:{bits}")
        if not ok(isinstance(one, dict), f"{name}: {bits} bits for all", str(one)):
            return
        size = one["stored_bytes"]
        result = pack(directory, sized, f"--target-size={size}")
        if not ok(isinstance(result, dict), f"{name}: as many bytes", str(result)):
            return
        made = sized.stat().st_size
        ok(made == result["stored_bytes"] and 0.93 * size < made <= size, f"{name}: within the size", f"{made} {size}")
        a, b = divergence(directory, plain, windows), divergence(directory, sized, windows)
        ok(isinstance(a, float) and isinstance(b, float) and b < a, f"{name}: closer to the original", f"{a} {b}")
        print(f"#   {name}, {bits} bits: {made} of {size} bytes, divergence {b:.2e} instead of {a:.2e}")
    ok(digest(directory) == before, f"{name}: the original stays")
    check_choice(name, result, json.loads(tenpak("info", "--json", sized).stdout))


def check_choice(name, result, info):
    allocation = result["allocation"]
    formats = allocation["formats"]
    ok(info["lossy"]["allocation"] == allocation, f"{name}: the pack has the allocation", str(info.get("lossy")))
    counts = [0] * len(formats)
    for layer in allocation["layers"]:
        for k in layer:
            counts[k] += 1
    ok(all(len(layer) == len(allocation["matrices"]) for layer in allocation["layers"]) and
       counts == [f["matrices"] for f in formats], f"{name}: of each matrix", str(allocation))
    ok(sum(c > 0 for c in counts) > 1, f"{name}: with several formats", str(counts))
    ok(sum(f["bytes"] for f in formats) + allocation["other_bytes"] <= result["stored_bytes"],
       f"{name}: and bytes that add up", str(allocation))
    groups = [g for f in formats for g in f.get("groups", {}).values()]
    ok((groups or name == "gpt2") and all(g["used"] < g["wanted"] for g in groups) and
       all(set(f.get("groups", {})) <= set(allocation["matrices"]) for f in formats),
       f"{name}: and the groups that had to be smaller", str(formats))
    # What matters little has the fewest bits.
    for role in ("o", "down"):
        column = [layer[allocation["matrices"].index(role)] for layer in allocation["layers"]]
        ok(column[1] == min(column), f"{name}: {role} of layer 1 has few bits", str(column))


KEPT = 100000  # bytes


def least_with_kept(root, directory):
    """The least size of a copy that has a tensor which is not of the language model."""
    copy = root / "kept"
    shutil.copytree(directory, copy)
    tensors = load_file(copy / "model.safetensors")
    tensors["vision_tower.weight"] = torch.randint(0, 256, (KEPT,), dtype=torch.uint8)
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    err = pack(copy, root / "k.tnpk", "--target-size=2KiB")
    shutil.rmtree(copy)
    return int(re.search(r"at least (\d+) bytes", err).group(1))


def check_sizes(root):
    directory = root / "llama-bf16"
    err = pack(directory, root / "a.tnpk", "--target-size=2KiB")
    least = re.search(r"at least (\d+) bytes", err) if isinstance(err, str) else None
    if not ok(least is not None and err.strip().count("\n") < 2, "too small: the least size", str(err)):
        return
    least = int(least.group(1))
    other = least_with_kept(root, directory)
    ok(KEPT < other - least < KEPT + 2048, "a tensor that is kept counts", f"{least} {other}")
    result = pack(directory, root / "b.tnpk", f"--target-size={least}")
    ok(isinstance(result, dict) and result["stored_bytes"] <= least, "the least size is enough", str(result))
    result = pack(directory, root / "c.tnpk", "--target-size=1GiB")
    ok(isinstance(result, dict) and {f["name"] for f in result["allocation"]["formats"] if f["matrices"]} == {"8 bits"},
       "all of the best where there is space", str(result))
    run = tenpak("pack", "--job", root, "llama-bf16", "target_size=1MiB", "calibration=text", "samples=4", "context=48")
    ok(run.returncode == 0 and (root / "llama-bf16~1MiB.tnpk").exists(), "as a job", run.stderr)
    one = pack(directory, root / "d.tnpk", "--target-size=300000", "-j", "1")
    shutil.rmtree(root / ".tenpak" / "calibration")
    two = pack(directory, root / "e.tnpk", "--target-size=300000", "-j", "3")
    ok(isinstance(one, dict) and isinstance(two, dict) and
       (root / "d.tnpk").read_bytes() == (root / "e.tnpk").read_bytes(), "the same from any number of threads", str(one))


def check_refusals(root):
    directory = root / "llama-bf16"
    cases = [
        (("--target=size", "--target-size=1MiB"), "exclude"),
        (("--target-size=many",), "many"),
        (("--target-size=0",), "0"),
        (("--target-size=1MiB", "--keep"), "leaves the original"),
        (("--target-size=1MiB", "--codec=zstd"), "'codec'"),
        (("--target-size=1MiB",), "exists"),
    ]
    for words, part in cases:
        run = tenpak("pack", *words, directory)
        ok(run.returncode != 0 and part in run.stderr and run.stderr.strip().count("\n") < 3,
           f"refused: {' '.join(words)}", run.stderr)
    left = [p.name for p in root.iterdir() if p.name.startswith(".llama")]
    ok(not left, "nothing is left of them", str(left))


def main():
    if not families.FORWARD.exists():
        skip_all("tests/optimizer/forward is not built")
    root = Path(tempfile.mkdtemp(prefix="tenpak-test."))
    try:
        (root / "text").write_text(TEXT)
        for name in MODELS:
            check_family(root, name)
        check_sizes(root)
        check_refusals(root)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    done()


if __name__ == "__main__":
    main()
