# SPDX-License-Identifier: MIT
"""A model of random weights in Llama-3.2-1B's shapes, for figures of speed: a directory in bf16, and the same as GGUF
files for llama.cpp, quantized by llama.cpp. It runs in an interpreter that has numpy, gguf and llama_cpp."""

import argparse
import ctypes
import json
import sys
from pathlib import Path

import gguf
import llama_cpp as llama
import numpy as np

import models
import synth

BLOCK = 1 << 25   # random numbers, of which each row has a part
ENDS = {"model.embed_tokens": "token_embd", "model.norm": "output_norm"}
NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
TYPES = {"q8_0": "MOSTLY_Q8_0", "q4_0": "MOSTLY_Q4_0", "q4_k_m": "MOSTLY_Q4_K_M"}


def write_model(directory):
    random = np.random.default_rng(1)
    block = synth.to_bf16(random.standard_normal(BLOCK, np.float32) * np.float32(0.02))

    def fill(_, shape):
        if len(shape) == 1:
            return np.full(shape, 0x3f80, np.uint16)
        size = int(np.prod(shape))
        begin = int(random.integers(BLOCK))
        return np.resize(np.roll(block, begin), size)

    table = synth.shapes(synth.FULL_BYTES + synth.MARGIN)
    directory.mkdir(parents=True, exist_ok=True)
    models.write_safetensors(directory / "model.safetensors", table, fill)
    (directory / "config.json").write_text(json.dumps(synth.config(table), indent=1) + "\n")


def gguf_name(name):
    base = name.removesuffix(".weight")
    if base in ENDS:
        return ENDS[base] + ".weight"
    _, _, layer, rest = base.split(".", 3)
    return f"blk.{layer}.{NAMES[rest]}.weight"


def write_gguf(directory, path):
    """Rows of queries and keys stay in their order: for random weights it is as good as another."""
    config = json.loads((directory / "config.json").read_text())
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    writer.add_tokenizer_model("none")
    for name, tensor in models.Model(directory).tensors.items():
        if len(tensor.shape) == 1:
            values = (tensor.words().astype(np.uint32) << np.uint32(16)).view(np.float32)
            writer.add_tensor(gguf_name(name), values.reshape(tensor.shape))
        else:
            rows = tensor.raw.view(np.uint8).reshape(tensor.shape[0], -1)
            writer.add_tensor(gguf_name(name), rows, raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def quantize(source, path, kind, threads):
    params = llama.llama_model_quantize_default_params()
    params.ftype = getattr(llama, f"LLAMA_FTYPE_{TYPES[kind]}")
    params.nthread = threads
    part = path.with_suffix(".part")
    if llama.llama_model_quantize(bytes(source), bytes(part), ctypes.byref(params)) != 0:
        sys.exit(f"shaped: llama.cpp did not quantize to {kind}")
    part.rename(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--types", default="q4_k_m,q4_0,q8_0", metavar="LIST", help="beside bf16 (%(default)s)")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    silent = llama.llama_log_callback(lambda *_: None)
    llama.llama_log_set(silent, None)
    llama.llama_backend_init()
    if not (args.directory / "config.json").exists():   # the last file that is written
        write_model(args.directory)
    paths = {"bf16": args.directory / "bf16.gguf"}
    if not paths["bf16"].exists():
        write_gguf(args.directory, args.directory / "bf16.part")
        (args.directory / "bf16.part").rename(paths["bf16"])
    for kind in filter(None, args.types.split(",")):
        if kind not in TYPES:
            sys.exit(f"shaped: '{kind}' is none of {', '.join(TYPES)}")
        paths[kind] = args.directory / f"{kind}.gguf"
        if not paths[kind].exists():
            quantize(paths["bf16"], paths[kind], kind, args.threads)
    print(json.dumps({kind: str(path) for kind, path in paths.items()}))


if __name__ == "__main__":
    main()
