#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The diagonal of Fisher information of each matrix, and the loss, against torch's autograd: small random models of
every family."""

import os
import re
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("top_srcdir", "."), "tests", "loaders"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import BUILD, ok, require  # noqa: E402

require("torch", "transformers", "safetensors", "numpy")

import numpy as np  # noqa: E402
import torch  # noqa: E402

from families_test import VOCAB, for_each_model, lines_of, load, make  # noqa: E402

GRADIENT = BUILD / "tests" / "optimizer" / "gradient_run"
MODELS = ("llama", "llama-tied", "llama-biases", "llama-head-dim", "llama-dynamic", "llama-3", "llama-bf16",
          "mistral", "qwen2", "qwen2-sliding", "qwen3", "qwen3-bias", "phi3", "phi3-partial", "phi3-long", "gemma2",
          "gemma2-plain", "gemma3", "gemma3-capped", "gemma3-parts", "gpt2", "gpt2-untied", "neox", "neox-serial")
# In the order of enum tp_role.
ROLES = ("q_proj", "k_proj", "v_proj", r"(?:qkv_proj|c_attn|query_key_value)", r"(?:o_proj|attn\.c_proj|dense)",
         "gate_proj", r"(?:up_proj|c_fc|dense_h_to_4h)", "gate_up_proj",
         r"(?:down_proj|mlp\.c_proj|dense_4h_to_h)")
LIMIT = 2e-4


def role_of(name):
    """(layer, role) of a module's name; None: it is no matrix of a layer."""
    match = re.search(r"(?:layers|h)\.(\d+)\.(?:[\w]+\.)*?(?=\w)", name)
    if not match or "vision" in name:
        return None
    for i, pattern in enumerate(ROLES):
        if re.search(r"\." + pattern + "$", name):
            return int(match.group(1)), i
    return None


def expected(model, windows):
    """The mean loss, and the diagonals by (layer, role)."""
    kept, sums, total, tokens = {}, {}, 0.0, 0

    def watch(key):
        def hook(_, inputs, output):
            output.retain_grad()
            kept[key] = (inputs[0].detach(), output)
        return hook

    handles = [m.register_forward_hook(watch(key)) for name, m in model.named_modules() if (key := role_of(name))]
    for w in windows:
        logits = model(w[None]).logits[0]
        loss = torch.nn.functional.cross_entropy(logits[:-1].float(), w[1:], reduction="sum")
        loss.backward()
        total, tokens = total + float(loss.detach()), tokens + len(w) - 1
        for key, (x, y) in kept.items():
            part = (y.grad[0].double() ** 2).T @ (x[0].double() ** 2)
            sums[key] = sums.get(key, 0) + part
    for h in handles:
        h.remove()
    return total / tokens, {k: (v / tokens).numpy() for k, v in sums.items()}


def gradients(directory, windows, threads=2, memory=0, work=None, cpu=None):
    """The bytes of the diagonals, or a message. WORK is where a file for activations may be."""
    run = subprocess.run([GRADIENT.resolve(), directory, str(threads), str(memory)], input=lines_of(windows).encode(),
                         capture_output=True, check=False, cwd=work or directory,
                         env={**os.environ, **({"TENPAK_CPU": cpu} if cpu else {})})
    return run.stdout if run.returncode == 0 else run.stderr.decode(errors="replace").strip()


def differ(got, want):
    """The relative error of all diagonals; a message where there are none."""
    if isinstance(got, str):
        return got
    a, b = (np.frombuffer(x[8:], np.float32).astype(np.float64) for x in (got, want))
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def is_close(value):
    return isinstance(value, float) and value < LIMIT


def mib_of(message):
    """The memory that a layer needs, by the message that there is less."""
    number, unit = re.search(r"need ([0-9.]+) ?(\w+) of memory", message).groups()
    return float(number) * {"KiB": 2 ** -10, "MiB": 1, "GiB": 2 ** 10}[unit]


def check_memory(directory):
    """With the least memory that suffices activations are in a file, and fewer windows go together."""
    windows = list(torch.randint(3, VOCAB, (400, 40), generator=torch.Generator().manual_seed(6)))
    want, memory = gradients(directory, windows), 1 << 20
    got = gradients(directory, windows, memory=memory)
    ok(isinstance(got, str) and "of memory, and" in got and got.count("\n") == 0, "too little memory is one line", got)
    more = gradients(directory, windows, threads=64, memory=memory)
    ok(isinstance(more, str) and mib_of(more) > mib_of(got), "more threads need more", f"{got}; {more}")
    while isinstance(got, str) and memory < 1 << 33:
        memory += 2 << 20
        got = gradients(directory, windows, memory=memory)
    ok(is_close(differ(got, want)), f"{memory >> 20} MiB suffice", differ(got, want))
    got = gradients(directory, windows, memory=memory, work="/proc")
    ok(isinstance(got, str) and "cannot create a file" in got, "with a file for the activations", got)
    ok(gradients(directory, windows, work="/proc") == want, "and without one where memory suffices")


def check_model(root, name):
    directory = make(root, name)
    windows = list(torch.randint(3, VOCAB, (3, 40), generator=torch.Generator().manual_seed(5)))
    model = load(directory, torch.float32)
    loss, want = expected(model, windows)
    got = gradients(directory, windows)
    if isinstance(got, str):
        ok(False, f"{name}: gradients", got)
        return
    values, at, worst = np.frombuffer(got[8:], np.float32), 0, 0.0
    layers = 1 + max(layer for layer, _ in want)
    for layer in reversed(range(layers)):
        for role in range(len(ROLES)):
            if (layer, role) not in want:
                continue
            exact = want[layer, role]
            mine = values[at:at + exact.size].reshape(exact.shape).astype(np.float64)
            at += exact.size
            worst = max(worst, float(np.linalg.norm(mine - exact) / np.linalg.norm(exact)))
    ok(at == values.size and layers > 1, f"{name}: all matrices are there", f"{at} {values.size}")
    ok(abs(struct.unpack("d", got[:8])[0] - loss) < 1e-5 * loss, f"{name}: the loss", loss)
    ok(worst < LIMIT, f"{name}: Fisher information", worst)
    print(f"#   {name}: relative error {worst:.1e}")
    if name in ("llama", "gemma3"):
        ok(got == gradients(directory, windows, threads=1), f"{name}: one thread gives the same bits")
        d = differ(gradients(directory, windows, cpu="scalar"), got)
        ok(is_close(d), f"{name}: the portable kernels", d)
    if name == "llama":
        check_memory(directory)


if __name__ == "__main__":
    for_each_model(GRADIENT, MODELS, check_model)
