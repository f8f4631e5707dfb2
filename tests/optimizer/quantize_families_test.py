#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Small random models of every family, quantized by every recipe: the planned bytes, the same result from any number
of threads, and errors that are those of the formats. A scale that is folded into the wrong operation shows as a large
error."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("top_srcdir", "."), "tests", "loaders"))
sys.path.insert(0, os.path.join(os.environ.get("top_srcdir", "."), "tests", "optimizer"))

from harness import BUILD, ok, require  # noqa: E402

require("torch", "transformers", "safetensors", "numpy")

import families_test as families  # noqa: E402
import torch  # noqa: E402

RUN = BUILD / "tests" / "optimizer" / "quantize_run"
MODELS = ("llama", "llama-biases", "llama-head-dim", "llama-bf16", "mistral", "qwen2", "qwen3", "phi3-partial",
          "gemma2", "gemma3", "gpt2", "neox", "neox-serial")
RECIPES = ("fp16", "int4_residual", "int4_g8", "int4_g16", "awq_g128", "awq_g256", "awq_g512", "tenpak_x",
           "gptq_quality", "awq_balanced", "bnb_nf4", "bnb_int8", "quality", "balanced", "size", "nearest",
           "nearest_sym", "int4_awq_v1")
# The most that the logits may be off, as a share of their deviation.
LIMITS = {"fp16": 0.02, "bnb_int8": 0.1, "int4_residual": 0.15}


def quantize(model, windows, threads, recipes):
    run = subprocess.run([RUN, model, "f32", str(threads), str(len(windows) // 2), *recipes], input=families.lines_of(windows),
                         capture_output=True, text=True, check=False)
    if run.returncode != 0:
        return run.stderr.strip()
    rows = [line.split() for line in run.stdout.splitlines()]
    return {r[0]: {"bytes": int(r[1]), "planned": int(r[2]), "hash": r[3], "error": float(r[4]), "kl": float(r[5])}
            for r in rows}


def windows_of(generator):
    """Each token appears with few others, so that inputs are not alike."""
    return [torch.randint(3, families.VOCAB, (32,), generator=generator) for _ in range(16)]


def check_model(root, name):
    directory = families.make(root, name)
    windows = windows_of(torch.Generator().manual_seed(5))
    got = quantize(directory, windows, 2, RECIPES)
    if not ok(not isinstance(got, str), f"{name}: is quantized", got):
        return
    bad = [r for r in RECIPES if got[r]["error"] > LIMITS.get(r, 0.6)]
    ok(not bad, f"{name}: errors", str({r: got[r]["error"] for r in bad}))
    print("#  ", " ".join(f"{r}={got[r]['error']:.4f}" for r in RECIPES))
    bad = [r for r in RECIPES if r not in ("fp16", "bnb_int8") and got[r]["bytes"] != got[r]["planned"]]
    ok(not bad and got["bnb_int8"]["bytes"] >= got["bnb_int8"]["planned"], f"{name}: bytes are as planned", str(bad))
    ok(got["awq_g128"]["error"] < got["nearest"]["error"], f"{name}: AWQ is better than rounding to nearest",
       f"{got['awq_g128']} {got['nearest']}")
    ok(got["gptq_quality"]["error"] < got["nearest_sym"]["error"], f"{name}: GPTQ is better than rounding to nearest",
       f"{got['gptq_quality']} {got['nearest_sym']}")
    ok(got["balanced"]["kl"] < got["awq_balanced"]["kl"], f"{name}: GPTQ after AWQ's scales is better than AWQ alone",
       f"{got['balanced']} {got['awq_balanced']}")
    one = quantize(directory, windows, 1, RECIPES)
    ok(not isinstance(one, str) and all(one[r]["hash"] == got[r]["hash"] for r in RECIPES),
       f"{name}: one thread gives the same bytes", str(one))


if __name__ == "__main__":
    families.for_each_model(RUN, MODELS, check_model)
