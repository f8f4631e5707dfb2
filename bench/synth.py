# SPDX-License-Identifier: MIT
"""The synthetic models: a base in Llama-3.2-1B's shapes and three fine-tunes of it.

What real pairs are like and these imitate: weights near normal with a scale of their own for each
matrix and each row; a fine-tune ('sft') that adds noise whose scale differs by layer and by row; and
two where few weights differ. In 'few' the updates are so small that most weights round back to the
value that they had, which is how reinforcement learning leaves a model: the small weights change,
most by one unit in the last place. In 'anywhere' as many weights change, by one or two units, and
which ones has nothing to do with the base, so that the base tells a codec nothing.
"""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from models import Pair, write_safetensors

HIDDEN, KEY_VALUE, MLP, LAYERS, VOCABULARY = 2048, 512, 8192, 16, 128256
LAYER_BYTES = 2 * (2 * HIDDEN * HIDDEN + 2 * KEY_VALUE * HIDDEN + 3 * MLP * HIDDEN + 2 * HIDDEN)
FULL_BYTES = 2 * (VOCABULARY * HIDDEN + HIDDEN) + LAYERS * LAYER_BYTES
MARGIN = 1 << 18   # for what is not weights
NOISE_LOW, NOISE_HIGH = 5e-5, 8e-4   # standard deviation of the first and of the last layer's noise
ROW_SPREAD = 0.3                     # of the logarithm of a row's scale
FEW_SHARE = 0.02                     # of the weights of each matrix, that change in the other two
VERSION = 1                          # of what is generated: part of the cache's name

NOISE_NOTE = (f"noise of {NOISE_LOW:g} in the first layer to {NOISE_HIGH:g} in the last, "
              f"rows spread by e^N(0,{ROW_SPREAD:g})")
FEW_NOTE = f"updates so small that {100 * FEW_SHARE:g} % of each matrix's weights change"
ANYWHERE_NOTE = f"{100 * FEW_SHARE:g} % of each matrix's weights, anywhere, changed by one or two ulp"


def shapes(size):
    """{name: shape} of a model of just under SIZE bytes: below the full size there are fewer layers
    and rows of the vocabulary."""
    layers = max(1, round(LAYERS * min(1.0, size / FULL_BYTES)))
    space = size - MARGIN - 2 * HIDDEN - layers * LAYER_BYTES
    rows = min(VOCABULARY, max(256, space // (2 * HIDDEN)))
    out = {"model.embed_tokens.weight": (rows, HIDDEN)}
    for i in range(layers):
        block = f"model.layers.{i}."
        out[block + "input_layernorm.weight"] = (HIDDEN,)
        out[block + "mlp.down_proj.weight"] = (HIDDEN, MLP)
        out[block + "mlp.gate_proj.weight"] = (MLP, HIDDEN)
        out[block + "mlp.up_proj.weight"] = (MLP, HIDDEN)
        out[block + "post_attention_layernorm.weight"] = (HIDDEN,)
        out[block + "self_attn.k_proj.weight"] = (KEY_VALUE, HIDDEN)
        out[block + "self_attn.o_proj.weight"] = (HIDDEN, HIDDEN)
        out[block + "self_attn.q_proj.weight"] = (HIDDEN, HIDDEN)
        out[block + "self_attn.v_proj.weight"] = (KEY_VALUE, HIDDEN)
    out["model.norm.weight"] = (HIDDEN,)
    return out


def config(table):
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": "bfloat16",
            "hidden_size": HIDDEN, "intermediate_size": MLP, "num_attention_heads": 32,
            "num_key_value_heads": 8, "head_dim": 64, "hidden_act": "silu",
            "num_hidden_layers": sum(n.endswith("down_proj.weight") for n in table),
            "vocab_size": table["model.embed_tokens.weight"][0], "rms_norm_eps": 1e-5,
            "max_position_embeddings": 131072, "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0},
            "bos_token_id": 0, "eos_token_id": 1}


def to_bf16(x):
    """float32 to bf16 words, to nearest, ties to even; no NaN comes here."""
    bits = x.view(np.uint32)
    bits += np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (bits >> np.uint32(16)).astype(np.uint16)


def from_bf16(words):
    return (words.astype(np.uint32) << np.uint32(16)).view(np.float32)


def slabs(shape):
    """Row ranges of some four million weights each: what is worked on at a time."""
    rows = shape[0]
    step = max(1, (4 << 20) // (shape[1] if len(shape) > 1 else 1))
    return [(first, min(rows, first + step)) for first in range(0, rows, step)]


def by_slabs(shape, work):
    """The words of a tensor; WORK(first row, rows, columns, out) fills one slab."""
    columns = shape[1] if len(shape) > 1 else 1
    words = np.empty((shape[0], columns), np.uint16)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda r: work(r[0], r[1] - r[0], columns, words[r[0]:r[1]]), slabs(shape)))
    return words


def generator(*key):
    return np.random.Generator(np.random.SFC64(list(key)))


def make_base(shape, seed):
    if len(shape) == 1:
        x = 1.0 + 0.1 * generator(seed, 0).standard_normal(shape, np.float32)
        return to_bf16(x)
    scale = 0.02 * np.exp(0.25 * generator(seed, 1).standard_normal())

    def work(first, rows, columns, out):
        random = generator(seed, 2, first)
        x = random.standard_normal((rows, columns), np.float32)
        x *= scale * np.exp(0.15 * random.standard_normal((rows, 1), np.float32))
        out[:] = to_bf16(x)

    return by_slabs(shape, work)


def make_noise(shape, base, seed, sigma):
    def work(first, rows, columns, out):
        random = generator(seed, 3, first)
        x = random.standard_normal((rows, columns), np.float32)
        x *= sigma * np.exp(ROW_SPREAD * random.standard_normal((rows, 1), np.float32))
        x += from_bf16(base[first:first + rows])
        out[:] = to_bf16(x)

    return by_slabs(shape, work)


def few_sigma(base, seed):
    """The noise at which FEW_SHARE of the weights change, found on a sample."""
    random = generator(seed, 5)
    flat = base.reshape(-1)
    sample = flat[random.integers(0, flat.size, 1 << 18)]
    unit = random.standard_normal(sample.size, np.float32)
    low, high = 1e-9, 1e-1
    for _ in range(30):
        middle = (low * high) ** 0.5
        share = np.mean(to_bf16(from_bf16(sample) + np.float32(middle) * unit) != sample)
        low, high = (middle, high) if share < FEW_SHARE else (low, middle)
    return low


def make_anywhere(shape, base, seed):
    def work(first, rows, columns, out):
        random = generator(seed, 4, first)
        out[:] = base[first:first + rows]
        flat = out.reshape(-1)
        where = np.flatnonzero(random.random(flat.size, np.float32) < FEW_SHARE)
        step = 1 + (random.random(where.size, np.float32) < 0.1)
        sign = np.where(random.random(where.size, np.float32) < 0.5, -1, 1)
        flat[where] += (step * sign).astype(np.uint16)

    return by_slabs(shape, work)


def layer_sigma(name, layers):
    """The noise grows from layer to layer by a constant factor; what is in none gets the least."""
    if not name.startswith("model.layers."):
        return NOISE_LOW
    depth = int(name.split(".")[2]) / max(1, layers - 1)
    return NOISE_LOW * (NOISE_HIGH / NOISE_LOW) ** depth


def generate(directory, table):
    seeds = {name: i for i, name in enumerate(table)}
    layers = config(table)["num_hidden_layers"]
    kept = {}

    def base(name, shape):
        kept[name] = make_base(shape, seeds[name])
        return kept[name]

    def noisy(name, shape):
        words = kept[name].reshape(shape[0], -1)
        return make_noise(shape, words, seeds[name], layer_sigma(name, layers))

    def few(name, shape):
        words = kept[name].reshape(shape[0], -1)
        return make_noise(shape, words, seeds[name], few_sigma(words, seeds[name]))

    def anywhere(name, shape):
        return make_anywhere(shape, kept[name].reshape(shape[0], -1), seeds[name])

    for name, fill in (("base", base), ("sft", noisy), ("few", few), ("anywhere", anywhere)):
        (directory / name).mkdir(parents=True)
        write_safetensors(directory / name / "model.safetensors", table, fill)
        (directory / name / "config.json").write_text(json.dumps(config(table), indent=2) + "\n")
        front = "" if name == "base" else "---\nbase_model: base\n---\n\n"
        (directory / name / "README.md").write_text(f"{front}# {name}\n")


def synthetic_pairs(cache, size):
    """Pairs of about SIZE bytes a model, made once and kept in CACHE."""
    table = shapes(size)
    layers, rows = config(table)["num_hidden_layers"], config(table)["vocab_size"]
    directory = cache / f"synthetic-{VERSION}-{layers}x{rows}"
    if not (directory / "complete").exists():
        shutil.rmtree(directory, ignore_errors=True)
        generate(directory, table)
        (directory / "complete").touch()
    base = directory / "base"
    shape = f"{layers} of {LAYERS} layers, {rows:,} of {VOCABULARY:,} rows of vocabulary; "
    return [Pair("noise", base, directory / "sft", "synthetic", shape + NOISE_NOTE),
            Pair("few", base, directory / "few", "few", FEW_NOTE),
            Pair("anywhere", base, directory / "anywhere", "other", ANYWHERE_NOTE)]
