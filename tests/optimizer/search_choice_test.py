#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Searches on a small model: for random limits the winner is that of a direct search over all candidates, for other
hardware figures are estimates, and what rounds and sizes dropped does miss the limits."""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(os.environ.get("top_srcdir", Path(__file__).resolve().parents[2])).resolve()
sys.path[:0] = [str(TOP / "tests" / "loaders"), str(TOP / "tests" / "optimizer")]

import brute_force  # noqa: E402
from harness import BUILD, done, ok, require  # noqa: E402

require("torch", "transformers", "tokenizers")

import tokenizers  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

SEARCH = BUILD / "tests" / "optimizer" / "search_run"
os.environ["TENPAK_TEXT_DIR"] = str(TOP / "share" / "tenpak" / "text")
SETTINGS = ["samples=8", "context=64", "threads=1", "keep=none", "calibration_samples=4"]
SHAPE = {"vocab_size": 400, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
         "initializer_range": 0.1}
MATRICES = 2 * (128 * (128 + 128 + 64 + 64) + 3 * 128 * 256)
LIMITS = ["max_ppl_delta", "min_compression", "max_latency_ms", "max_latency_p99_ms", "min_throughput_tps",
          "max_memory"]


def make_model(path):
    torch.manual_seed(1)
    text = (TOP / "share" / "tenpak" / "text" / "evaluation.txt").read_text()
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator([text[:60000]], tokenizers.trainers.BpeTrainer(
        vocab_size=400, show_progress=False, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()))
    config = transformers.LlamaConfig(**SHAPE)
    transformers.LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(path)
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(path)


def search(root, limits, *words):
    """The report."""
    run = subprocess.run([SEARCH, root, "model", *SETTINGS, *words, *(f"{k}={v}" for k, v in limits.items())],
                         capture_output=True, text=True, check=False)
    if run.returncode:
        ok(False, f"search {limits} {words}", run.stderr)
        done()
    return json.loads(run.stdout)


def is_consistent(report, name):
    ok(not (found := list(brute_force.problems(report))), f"{name}: the report gives the same choice", "\n".join(found))


def random_limits(candidates, source):
    """Each near the figure of a candidate, so that some of the candidates meet it."""
    limits = {}
    for key, figure, _ in brute_force.LIMITS:
        if key in LIMITS and source.random() < 0.5:
            value = source.choice(candidates)[figure] * source.uniform(0.97, 1.03)
            limits[key] = int(value) if key == "max_memory" else float(f"{max(value, 0):.4g}")
    return limits


def check_random_limits(root, full):
    source = random.Random(int(os.environ.get("TP_SEED", "1")))
    for i in range(10):
        limits = random_limits(full["all_candidates"], source)
        report = search(root, limits)
        is_consistent(report, f"limits {i}")
        want = brute_force.find_winner(full["all_candidates"], report["limits"], False)
        got = report["winner"] and report["winner"]["codec"]
        ok(got == want, f"limits {i}: the winner of all candidates is {want}", f"{limits}: {got}")


def check_without_winner(root, full):
    """A limit that the cheapest candidate misses, and another one does not."""
    first = full["winner"]
    for key, figure, highest in brute_force.LIMITS:
        better = sorted((c[figure] for c in full["all_candidates"]
                         if (c[figure] < first[figure] if highest else c[figure] > first[figure])), reverse=highest)
        if key in ("max_ppl_delta", "min_compression") and better:
            report = search(root, {key: better[0]})
            is_consistent(report, f"{key}={better[0]}")
            ok(report["winner"] and report["winner"]["codec"] != first["codec"], f"{key} excludes {first['codec']}",
               report["winner"])


def check_hardware(root, full):
    report = search(root, {}, "hardware=t4")
    is_consistent(report, "t4")
    ok(all(c["estimated"] for c in report["all_candidates"]), "figures for other hardware are estimates")
    measured = {c["codec"]: c["throughput_tps"] for c in full["all_candidates"]}
    ok(all(c["measured"]["throughput_tps"] == measured[c["codec"]] for c in report["all_candidates"]),
       "beside what was measured here")
    ok(report["winner"]["cost_per_1m_tokens"] > 0 and report["winner"]["estimated"], "they have a cost")


def check_steps(full):
    """What a step reads is what the packs store: 4 bits for the matrices, 16 for the head."""
    for c in full["all_candidates"]:
        if c["codec"] in ("fp16", "awq_g128"):
            bits = {"fp16": 16, "awq_g128": 4.15625}[c["codec"]]
            least = MATRICES * bits / 8 + 2 * 400 * 128
            got = c["steps"][0]["token"]["bytes"]
            # keys and values: fp32, of 2 layers, at most 128 positions
            ok(least <= got <= 1.1 * least + 2 * 128 * 2 * 64 * 4, f"{c['codec']}: bytes of a step", f"{got}, {least}")
            ok(c["steps"][0]["token"]["operations"] >= 2 * (MATRICES + 400 * 128), f"{c['codec']}: operations of a step")


def check_fresh(root, full, key, limit):
    """A search that starts with a limit: it drops what misses the limit by more than two standard errors."""
    shutil.rmtree(root / ".tenpak")
    report = search(root, {key: limit})
    is_consistent(report, f"{key}={limit}")
    dropped = {c["codec"]: c["why"] for c in report["all_candidates"] if c["status"] == "dropped"}
    ok(dropped and all(key in why for why in dropped.values()),
       f"{len(dropped)} candidates were dropped, with the reason", dropped)
    for c in full["all_candidates"]:
        if key == "min_compression":
            ok((c["codec"] in dropped) == (c["compression"] < limit), f"{c['codec']}: by its pack", c["compression"])
        elif c["ppl_delta"] - 2 * c["ppl_delta_error"] > limit:
            ok(c["codec"] in dropped, f"{c['codec']}: dropped, its ppl_delta is known to be above")
        elif c["ppl_delta"] <= limit:
            ok(c["codec"] not in dropped, f"{c['codec']}: not dropped, it meets the limit")


def main():
    root = Path(tempfile.mkdtemp(prefix="tenpak-test."))
    try:
        make_model(root / "model")
        full = search(root, {})
        is_consistent(full, "no limits")
        ok(all(c["status"] == "complete" for c in full["all_candidates"]), "without limits all are complete",
           {c["codec"]: c["why"] for c in full["all_candidates"]})
        ok(len(full["all_candidates"]) == 12, "twelve candidates")
        check_steps(full)
        check_random_limits(root, full)
        check_without_winner(root, full)
        check_hardware(root, full)
        report = search(root, {"min_compression": 100})
        is_consistent(report, "no winner")
        ok(report["winner"] is None and report["binding"]["limit"] == "min_compression", "a limit that none meets")
        # Half of the candidates; and a perplexity that the original itself does not have.
        check_fresh(root, full, "min_compression", sorted(c["compression"] for c in full["all_candidates"])[6])
        check_fresh(root, full, "max_ppl_delta", -0.5)
    finally:
        shutil.rmtree(root)
    done()


if __name__ == "__main__":
    main()
