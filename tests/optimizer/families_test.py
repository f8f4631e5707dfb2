#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The logits of small random models of every family, against transformers: all tokens at once, layer by layer,
token by token with a cache, and greedy continuations; from files and from delta packs."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, os.path.join(os.environ.get("top_srcdir", "."), "tests", "loaders"))

from harness import BUILD, TENPAK, done, ok, require, skip_all  # noqa: E402

require("torch", "transformers", "safetensors", "numpy")

import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402
from transformers.pytorch_utils import Conv1D  # noqa: E402

transformers.logging.set_verbosity_error()
torch.set_num_threads(1)
FORWARD = BUILD / "tests" / "optimizer" / "forward"
MKLOSSY = BUILD / "tests" / "mklossy"
VOCAB = 131
SMALL = {"vocab_size": VOCAB, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3,
         "num_attention_heads": 6, "num_key_value_heads": 2, "max_position_embeddings": 64,
         "initializer_range": 0.2, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
WITHOUT_KV = {k: v for k, v in SMALL.items() if k != "num_key_value_heads"}
GPT2 = {"vocab_size": VOCAB, "n_embd": 48, "n_layer": 3, "n_head": 4, "n_positions": 64, "initializer_range": 0.2,
        "bos_token_id": 1, "eos_token_id": 2}
PICTURES = {"mm_tokens_per_image": 4, "vision_config": {
    "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28,
    "patch_size": 14}}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 32, "rope_theta": 500.0}
LONG = {"rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0, 1.1, 1.3],
        "long_factor": [1.5, 2.0, 4.0]}

# name: class of the config, its values, further options
MODELS = {
    "llama": ("Llama", SMALL, {}),
    "llama-tied": ("Llama", {**SMALL, "tie_word_embeddings": True}, {}),
    "llama-biases": ("Llama", {**SMALL, "attention_bias": True, "mlp_bias": True, "hidden_act": "gelu"}, {}),
    "llama-head-dim": ("Llama", {**SMALL, "head_dim": 20, "num_key_value_heads": 6}, {}),
    "llama-linear": ("Llama", {**SMALL, "rope_parameters": {
        "rope_type": "linear", "factor": 3.0, "rope_theta": 10000.0}}, {}),
    "llama-dynamic": ("Llama", {**SMALL, "max_position_embeddings": 20, "rope_parameters": {
        "rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}}, {"one_length": True}),
    "llama-yarn": ("Llama", {**SMALL, "rope_parameters": {
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "rope_theta": 10000.0}}, {}),
    "llama-yarn-mscale": ("Llama", {**SMALL, "rope_parameters": {
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "rope_theta": 1000.0,
        "mscale": 1.2, "mscale_all_dim": 0.7, "beta_fast": 8, "beta_slow": 2, "truncate": False}}, {}),
    "llama-3": ("Llama", {**SMALL, "rope_parameters": LLAMA3}, {}),
    "llama-long": ("Llama", {**SMALL, "rope_parameters": {
        **LONG, "original_max_position_embeddings": 24, "short_factor": [1.0] * 4, "long_factor": [2.0] * 4}},
        {"one_length": True}),
    "llama-bf16": ("Llama", SMALL, {"dtype": torch.bfloat16}),
    "llama-fp16": ("Llama", SMALL, {"dtype": torch.float16}),
    "llama-shards": ("Llama", SMALL, {"shard": "60KB"}),
    "mistral": ("Mistral", {**SMALL, "sliding_window": 7}, {}),
    "mistral-full": ("Mistral", {**SMALL, "sliding_window": None}, {}),
    "qwen2": ("Qwen2", {**SMALL, "tie_word_embeddings": True}, {}),
    "qwen2-sliding": ("Qwen2", {**SMALL, "use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1}, {}),
    "qwen2-types": ("Qwen2", {**SMALL, "use_sliding_window": True, "sliding_window": 5, "layer_types": [
        "sliding_attention", "full_attention", "sliding_attention"]}, {}),
    "qwen3": ("Qwen3", {**SMALL, "head_dim": 16}, {}),
    "qwen3-bias": ("Qwen3", {**SMALL, "head_dim": 12, "attention_bias": True}, {}),
    "phi3": ("Phi3", {**SMALL, "sliding_window": 9}, {}),
    "phi3-partial": ("Phi3", {**SMALL, "partial_rotary_factor": 0.75}, {}),
    "phi3-long": ("Phi3", {**SMALL, "original_max_position_embeddings": 24, "partial_rotary_factor": 0.75,
                           "rope_parameters": LONG}, {"one_length": True}),
    "gemma2": ("Gemma2", {**SMALL, "head_dim": 12, "query_pre_attn_scalar": 17, "sliding_window": 6,
                          "attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0}, {}),
    "gemma2-plain": ("Gemma2", {**SMALL, "head_dim": 8, "attn_logit_softcapping": None, "sliding_window": 30,
                                "final_logit_softcapping": None, "tie_word_embeddings": False}, {}),
    "gemma3": ("Gemma3Text", {**SMALL, "num_hidden_layers": 4, "head_dim": 12, "query_pre_attn_scalar": 10,
                              "sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"] * 2,
                              "rope_parameters": {
                                  "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                                  "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}}, {}),
    "gemma3-capped": ("Gemma3Text", {**SMALL, "head_dim": 12, "final_logit_softcapping": 4.0}, {}),
    "gemma3-parts": ("Gemma3", {"text_config": {
        **SMALL, "head_dim": 12, "sliding_window": 6, "final_logit_softcapping": 0.5}, **PICTURES}, {}),
    "gemma3-parts-new": ("Gemma3", {"text_config": {**SMALL, "head_dim": 12, "sliding_window": 6}, **PICTURES},
                         {"prefix": ("language_model.model.", "model.language_model.")}),
    "gpt2": ("GPT2", GPT2, {}),
    "gpt2-untied": ("GPT2", {**GPT2, "tie_word_embeddings": False, "n_inner": 100,
                             "scale_attn_by_inverse_layer_idx": True, "activation_function": "gelu"}, {}),
    "gpt2-unscaled": ("GPT2", {**GPT2, "scale_attn_weights": False}, {"bare": True}),
    "neox": ("GPTNeoX", WITHOUT_KV, {}),
    "neox-serial": ("GPTNeoX", {**WITHOUT_KV, "use_parallel_residual": False, "attention_bias": False,
                                "rope_parameters": {"rope_type": "default", "rope_theta": 500.0,
                                                    "partial_rotary_factor": 0.5}}, {"new_head": True}),
}
# The older form of a config's rope parameters: beside "rope_theta", with "type".
OLD_ROPES = ("llama-linear", "llama-dynamic", "llama-yarn", "llama-3", "phi3-long")
DELTAS = ("llama-tied", "qwen2", "gemma2", "gpt2", "neox", "llama-bf16")
LOSSY = ("llama", "gpt2")
BF16 = ("llama", "mistral", "qwen2", "qwen3", "phi3-partial", "gemma2", "gemma3", "gpt2", "neox")
FP16 = ("llama", "llama-bf16", "qwen3", "gemma3", "gpt2", "neox")


def randomize(model, generator):
    """Values with which each part of the arithmetic shows: norms and biases are not 1 and 0."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim == 1:
                p.add_(torch.randn(p.shape, generator=generator) * 0.3)
    model.tie_weights()


def make(root, name):
    """The model NAME, saved; returns its directory."""
    kind, values, options = MODELS[name]
    config = getattr(transformers, kind + "Config")(**values)
    torch.manual_seed(sum(name.encode()))
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    randomize(model, torch.Generator().manual_seed(7))
    directory = root / name
    model.to(options.get("dtype", torch.float32)).save_pretrained(
        directory, max_shard_size=options.get("shard", "5GB"))
    if options.keys() & {"bare", "new_head", "prefix"}:
        rename_tensors(directory / "model.safetensors", options)
    return directory


def load(directory, dtype):
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=dtype, attn_implementation="eager").eval()
    model.generation_config.eos_token_id = None
    return model


def rename_tensors(path, options):
    """Other names: without the prefix of the base model, or of the head."""
    from safetensors.torch import load_file, save_file
    tensors = load_file(path)
    if options.get("bare"):
        tensors = {k.removeprefix("transformer."): v for k, v in tensors.items()}
        tensors["h.0.attn.bias"] = torch.ones(1, 1, 64, 64).tril()
    if options.get("prefix"):
        old, new = options["prefix"]
        tensors = {k.replace(old, new, 1): v for k, v in tensors.items()}
    if options.get("new_head"):
        tensors["lm_head.weight"] = tensors.pop("embed_out.weight")
    save_file(tensors, path, {"format": "pt"})


def windows_for(name, generator):
    n = (40, 40, 40) if MODELS[name][2].get("one_length") else (40, 1, 23, 12)
    return [torch.randint(3, VOCAB, (i,), generator=generator) for i in n]


def lines_of(windows):
    """As the programs of these tests read windows: the tokens of one a line."""
    return "".join(" ".join(str(int(t)) for t in w) + "\n" for w in windows)


def forward(mode, model, windows, dtype="f32", threads=2, extra=()):
    run = subprocess.run([FORWARD, mode, model, dtype, str(threads), *map(str, extra)], input=lines_of(windows).encode(),
                         capture_output=True, check=False)
    if run.returncode != 0:
        return run.stderr.decode(errors="replace").strip()
    if mode == "greedy":
        return [[int(t) for t in line.split()] for line in run.stdout.decode().splitlines()]
    return np.frombuffer(run.stdout, np.float32).reshape(-1, VOCAB)


def expected(model, windows):
    with torch.no_grad():
        return torch.cat([model(w[None]).logits[0].float() for w in windows]).numpy()


def distance(got, want):
    """The largest difference of logits in standard deviations of the logits; a message where there are none."""
    if isinstance(got, str):
        return got
    return float(np.abs(got - want).max() / want.std())


def log_loss(logits, windows):
    """The mean negative log-probability of each next token."""
    total, n, row = 0.0, 0, 0
    logits = torch.from_numpy(np.array(logits, np.float64))
    for w in windows:
        part = torch.log_softmax(logits[row:row + len(w)], -1)
        total -= float(part[torch.arange(len(w) - 1), w[1:]].sum())
        n += len(w) - 1
        row += len(w)
    return total / n


def is_close(value, limit):
    return isinstance(value, float) and value <= limit


def greedy_of(name, model, directory, windows, steps):
    result = []
    for w in windows:
        if name == "llama-dynamic":  # transformers keeps the frequencies of the longest sequence so far
            model = load(directory, torch.float32)
        out = model.generate(w[None], max_new_tokens=steps, min_new_tokens=steps, do_sample=False,
                             attention_mask=torch.ones(1, len(w), dtype=torch.long))
        result.append(out[0, len(w):].tolist())
    return result


def check_model(root, name):
    generator = torch.Generator().manual_seed(11)
    directory = make(root, name)
    windows = windows_for(name, generator)
    model = load(directory, torch.float32)
    want = expected(model, windows)
    got = forward("prefill", directory, windows)
    d = distance(got, want)
    if not ok(is_close(d, 1e-4), f"{name}: logits", d):
        return
    print(f"#   differs by {d:.1e} standard deviations")
    ok(np.array_equal(got, forward("prefill", directory, windows, threads=1)), f"{name}: one thread gives the same bits")
    ok(np.array_equal(got, forward("steps", directory, windows)), f"{name}: layer by layer gives the same bits")
    if not MODELS[name][2].get("one_length"):
        d = distance(forward("decode", directory, windows), want)
        ok(is_close(d, 1e-4), f"{name}: token by token with a cache", d)
    steps, prompts = 12, list(windows)
    if name == "phi3-long":  # the factors change on the way: transformers, too, begins anew
        prompts.append(windows[0][:20])
    ours = forward("greedy", directory, prompts, extra=(steps,))
    theirs = greedy_of(name, model, directory, prompts, steps)
    ok(ours == theirs, f"{name}: greedy tokens", f"{ours}\n{theirs}")
    if name in BF16:
        check_rounded(name, directory, windows, "bf16", torch.bfloat16)
    if name in FP16:
        check_rounded(name, directory, windows, "f16", torch.float16)
    if name in OLD_ROPES:
        check_old_rope(name, directory, windows, got)
    if name in DELTAS:
        check_delta(root, name, directory, model, windows)
    if name in LOSSY and MKLOSSY.exists():
        check_lossy(root, name, directory, windows)


def check_rounded(name, directory, windows, word, dtype):
    model = load(directory, dtype)
    want, exact = expected(model, windows), forward("prefill", directory, windows)
    for mode in ("prefill", "decode"):
        got = forward(mode, directory, windows, word)
        if isinstance(got, str):
            ok(False, f"{name}: {word}, {mode}", got)
            continue
        # Both differ from fp32 by rounding; ours must not be further away than theirs.
        ours, theirs = np.sqrt(((got - exact) ** 2).mean()), np.sqrt(((want - exact) ** 2).mean())
        ok(ours < 1.25 * theirs, f"{name}: {word}, {mode}: as close to fp32 as transformers", f"{ours} {theirs}")
        loss, other = log_loss(got, windows), log_loss(want, windows)
        print(f"#   loss {loss:.5f}, transformers {other:.5f}, fp32 {log_loss(exact, windows):.5f};"
              f" error {ours:.4f}, transformers {theirs:.4f}")


def check_old_rope(name, directory, windows, want):
    path = directory / "config.json"
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    rope.pop("partial_rotary_factor", None)
    rope["type"] = rope.pop("rope_type")
    config["rope_scaling"] = rope
    path.write_text(json.dumps(config))
    got = forward("prefill", directory, windows)
    ok(not isinstance(got, str) and np.array_equal(got, want), f"{name}: the older form of the config", got)


def check_delta(root, name, directory, model, windows):
    """A fine-tune, packed as a delta of the model, gives what its plain directory gave."""
    where = root / "packs"
    shutil.copytree(directory, where / name)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape) * 1e-3)
    model.tie_weights()
    model.to(MODELS[name][2].get("dtype", torch.float32)).save_pretrained(where / f"{name}-tune")
    want = forward("prefill", where / f"{name}-tune", windows)
    for part in (name, f"{name}-tune"):
        run = subprocess.run([TENPAK, "pack", where / part], capture_output=True, text=True, check=False)
        ok(run.returncode == 0, f"{part} is packed", run.stderr)
    got = forward("prefill", where / f"{name}-tune.tnpk", windows)
    ok(not isinstance(got, str) and np.array_equal(got, want), f"{name}: a pack gives the same bits",
       got if isinstance(got, str) else "")


def quantized_weights(model):
    """The matrices of the layers, with rows that share scales."""
    head = model.get_output_embeddings()
    for module in model.modules():
        if isinstance(module, torch.nn.Linear) and module is not head:
            yield module.weight.data
        elif isinstance(module, Conv1D):
            yield module.weight.data.T


def move_within_rounding(weights, generator):
    """Weights that round to those in bf16. Equal ones of a row are one code of one group, and move together."""
    for row in weights:
        values, place = torch.unique(row, return_inverse=True)
        step = torch.where(values == 0, 0.0, torch.exp2(torch.floor(torch.log2(values.abs())) - 7))
        row.add_(((torch.rand(len(values), generator=generator) - 0.5) * step)[place])


def distances_of_rounding(model, windows, want, draws=6):
    """How far logits are from those of the weights before they were rounded, of which these are as good as any."""
    generator, found = torch.Generator().manual_seed(13), []
    state = {n: v.clone() for n, v in model.state_dict().items()}
    for _ in range(draws):
        for weights in quantized_weights(model):
            move_within_rounding(weights, generator)
        found.append(distance(expected(model, windows), want))
        model.load_state_dict(state)
    return found


def check_packed_form(name, pack, shown, windows):
    """The runtime takes the matrices of a lossy pack as they are. transformers takes what the pack shows: rounded."""
    model = load(shown, torch.float32)
    want, got = expected(model, windows), forward("prefill", pack, windows)
    rounding = distances_of_rounding(model, windows, want)
    d = distance(got, want)
    ok(is_close(d, 1.5 * max(rounding)) and d > min(rounding) / 2,
       f"{name}: the packed form differs from what the pack shows by the rounding to bf16", f"{d}, rounding {rounding}")
    d = distance(forward("prefill", shown, windows), want)
    ok(is_close(d, 1e-4), f"{name}: the runtime computes what transformers does with what the pack shows", d)


def check_lossy(root, name, directory, windows):
    pack, shown = root / f"{name}~nearest.tnpk", root / f"{name}-shown"
    for command in ([MKLOSSY, directory, pack, "nearest_sym"], [TENPAK, "unpack", "-o", shown, pack]):
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        ok(run.returncode == 0, f"{name}: {Path(command[0]).name}", run.stderr)
    check_packed_form(name, pack, shown, windows)


def for_each_model(program, models, check):
    """CHECK(directory, name) of the models that the command line names, or of all; all use PROGRAM."""
    if not program.exists():
        skip_all(f"{program} is not built")
    root = Path(tempfile.mkdtemp(prefix="tenpak-test."))
    try:
        for name in sys.argv[1:] or models:
            check(root, name)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    done()


if __name__ == "__main__":
    for_each_model(FORWARD, MODELS, check_model)
