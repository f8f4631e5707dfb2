# SPDX-License-Identifier: MIT
"""The other quantizers of bench/quant, each in an interpreter that has it: quantizes a model on the given tokens, and
writes a model directory in bf16 with the values that its codes stand for. Prints one JSON object."""

import argparse
import hashlib
import importlib.metadata
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

NOT_COPIED = (".safetensors", ".index.json", ".bin", ".gguf")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tool", choices=sorted(TOOLS))
    parser.add_argument("method")
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--samples", type=int, required=True)
    parser.add_argument("--context", type=int, required=True)
    parser.add_argument("--bits", type=int, required=True)
    parser.add_argument("--group", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    return parser.parse_args()


# --- Models ---


def tensors_of(directory):
    """All tensors of the safetensors files of a directory."""
    tensors = {}
    for path in sorted(directory.glob("*.safetensors")):
        tensors.update(load_file(path))
    return tensors


def linears_of(directory):
    """The names of the weights that are quantized: all matrices but the embedding and the head."""
    names = []
    for path in sorted(directory.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            names += [n for n in file.keys() if n.endswith(".weight") and len(file.get_slice(n).get_shape()) == 2]
    return [n for n in names if not any(part in n for part in ("embed", "lm_head"))]


def write_model(args, changed):
    """The original with some tensors changed, all in bf16."""
    args.out.mkdir(parents=True)
    for path in args.model.iterdir():
        if path.is_file() and not path.name.endswith(NOT_COPIED):
            shutil.copy(path, args.out)
    tensors = tensors_of(args.model)
    unknown = changed.keys() - tensors.keys()
    if unknown:
        sys.exit(f"quantizers: the model has no '{min(unknown)}'")
    for name, value in changed.items():
        if value.shape != tensors[name].shape:
            sys.exit(f"quantizers: the shape of '{name}' is {tuple(value.shape)}")
        tensors[name] = value
    save_file({n: t.to(torch.bfloat16).contiguous() for n, t in tensors.items()}, args.out / "model.safetensors",
              metadata={"format": "pt"})


def windows_of(args):
    """The first windows of the calibration text, as tenpak takes them."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    ids = tokenizer(args.text.read_bytes().decode())["input_ids"][:args.samples * args.context]
    if len(ids) < args.samples * args.context:
        sys.exit(f"quantizers: the text has {len(ids)} tokens only")
    return torch.tensor(ids).reshape(args.samples, args.context)


# --- Packed numbers ---


def unpack(words, bits, count):
    """Numbers of some bits from the int32 words of each row, the least significant bit first."""
    bytes_ = words.contiguous().view(torch.uint8)
    stream = (bytes_.unsqueeze(-1) >> torch.arange(8, dtype=torch.uint8)) & 1
    stream = stream.reshape(words.shape[0], -1)[:, :count * bits].reshape(words.shape[0], count, bits)
    return (stream.to(torch.int32) << torch.arange(bits, dtype=torch.int32)).sum(-1)


def values_of_gptq(parts, bits):
    """Codes along the inputs, zeros along the outputs and less 1, a group for each input."""
    group = parts["g_idx"].long()
    codes = unpack(parts["qweight"].T, bits, len(group)).T
    zeros = unpack(parts["qzeros"], bits, codes.shape[1]) + 1 & (1 << bits) - 1
    return ((codes - zeros[group]).float() * parts["scales"].float()[group]).T


def values_of_awq(parts, bits):
    """Codes along the outputs, eight in a word in an order of their own."""
    place = torch.tensor([0, 4, 1, 5, 2, 6, 3, 7])
    outputs = parts["scales"].shape[1]

    def codes_of(words):
        return unpack(words, bits, outputs).reshape(len(words), -1, 8)[..., place].reshape(len(words), -1)

    codes, zeros = codes_of(parts["qweight"]), codes_of(parts["qzeros"])
    group = torch.arange(len(codes)) // (len(codes) // len(zeros))
    return ((codes - zeros[group]).float() * parts["scales"].float()[group]).T


def values_of_compressed_tensors(parts, bits):
    """Codes along the inputs, zeros along the outputs, both less half of the range."""
    rows, columns = parts["weight_shape"].tolist()
    codes = unpack(parts["weight_packed"], bits, columns)
    scales = parts["weight_scale"].float()
    zeros = torch.full(scales.shape, 1 << bits - 1)
    if "weight_zero_point" in parts:
        zeros = unpack(parts["weight_zero_point"].T, bits, rows).T
    each = columns // scales.shape[1]
    return (codes - zeros.repeat_interleave(each, 1)).float() * scales.repeat_interleave(each, 1)


def read_checkpoint(directory, model, bits, values_of):
    """What a checkpoint changes of the model, and the bytes of its quantized matrices."""
    tensors, changed, size = tensors_of(directory), {}, 0
    for name in linears_of(model):
        prefix = name.removesuffix("weight")
        parts = {n.removeprefix(prefix): tensors.pop(n) for n in list(tensors) if n.startswith(prefix)}
        parts.pop("bias", None)
        # A model that is computed in fp32 gets such scales; those of one in fp16 are meant.
        parts = {n: t.half() if t.dtype == torch.float32 else t for n, t in parts.items()}
        size += sum(t.numel() * t.element_size() for n, t in parts.items() if n != "weight_shape")
        changed[name] = values_of(parts, bits)
    original = tensors_of(model)
    changed.update({n: t for n, t in tensors.items() if n in original})
    return changed, {"bytes": size}


# --- The tools ---


def quantize_by_gptqmodel(args):
    # It sizes its pools by half of the cores, and refuses to start with one.
    os.cpu_count = lambda cores=os.cpu_count(): max(cores, 8)
    from gptqmodel import GPTQModel, QuantizeConfig
    from gptqmodel.nn_modules.qlinear.torch_awq import AwqTorchLinear

    windows = [{"input_ids": w[None], "attention_mask": torch.ones_like(w[None])} for w in windows_of(args)]
    config = QuantizeConfig(quant_method=args.method, bits=args.bits, group_size=args.group, sym=args.method == "gptq",
                            format="gptq" if args.method == "gptq" else "gemm", device="cpu", offload_to_disk=False)
    # Its AWQ computes in fp32 and packs scales in fp16, but refuses fp32; bf16 takes a CPU five times as long.
    AwqTorchLinear.SUPPORTS_DTYPES = [*AwqTorchLinear.SUPPORTS_DTYPES, torch.float32]
    model = GPTQModel.load(str(args.model), config, dtype=torch.float32)
    model.quantize(windows, batch_size=4)
    with tempfile.TemporaryDirectory(dir=args.out.parent) as place:
        model.save(place)
        values_of = values_of_gptq if args.method == "gptq" else values_of_awq
        return read_checkpoint(Path(place), args.model, args.bits, values_of)


def quantize_by_llmcompressor(args):
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from datasets import Dataset
    from llmcompressor import oneshot
    from llmcompressor.modifiers.gptq import GPTQModifier
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from llmcompressor.modifiers.transform.awq import AWQModifier
    from llmcompressor.pipelines.cache import IntermediatesCache
    from transformers import AutoModelForCausalLM

    # Memory cannot be pinned where there is no accelerator.
    IntermediatesCache.pin_memory = lambda *_: None
    symmetric = args.method in ("gptq", "nearest_sym")
    weights = QuantizationArgs(num_bits=args.bits, type="int", strategy="group", group_size=args.group,
                               symmetric=symmetric)
    settings = {"config_groups": {"group_0": QuantizationScheme(targets=["Linear"], weights=weights)},
                "ignore": ["lm_head"]}
    recipe = {"gptq": lambda: [GPTQModifier(**settings)],
              "awq": lambda: [AWQModifier(), QuantizationModifier(**settings)],
              }.get(args.method, lambda: [QuantizationModifier(**settings)])()
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32)
    windows = windows_of(args)
    data = Dataset.from_dict({"input_ids": windows.tolist(), "attention_mask": torch.ones_like(windows).tolist()})
    oneshot(model=model, dataset=data, recipe=recipe, max_seq_length=args.context,
            num_calibration_samples=args.samples, shuffle_calibration_samples=False, batch_size=4)
    with tempfile.TemporaryDirectory(dir=args.out.parent) as place:
        model.save_pretrained(place, save_compressed=True)
        return read_checkpoint(Path(place), args.model, args.bits, values_of_compressed_tensors)


def digest(tensor):
    return hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()


def quantize_by_bitsandbytes(args):
    from bitsandbytes import functional as bnb

    tensors, changed, size, sections = tensors_of(args.model), {}, 0, {}
    for name in linears_of(args.model):
        weight = tensors[name].float()
        if args.method == "int8":
            codes, scales, _ = bnb.int8_vectorwise_quant(weight.to(torch.float16))
            changed[name] = bnb.int8_vectorwise_dequant(codes, scales)
            parts = {"codes": codes, "scales": scales}
        else:
            codes, state = bnb.quantize_nf4(weight, blocksize=64, compress_statistics=args.method == "nf4_double")
            changed[name] = bnb.dequantize_nf4(codes, state)
            parts = {"codes": codes, "scales": state.absmax}
            if state.nested:
                parts.update(zeros=state.state2.absmax, table=state.offset)
            sections[name] = {k: digest(v) for k, v in parts.items()}
        size += sum(t.numel() * t.element_size() for t in parts.values())
    return changed, {"bytes": size, "sections": sections}


TOOLS = {"gptqmodel": quantize_by_gptqmodel, "llmcompressor": quantize_by_llmcompressor,
         "bitsandbytes": quantize_by_bitsandbytes}


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    began = time.perf_counter()
    changed, figures = TOOLS[args.tool](args)
    figures["seconds"] = time.perf_counter() - began
    figures["version"] = importlib.metadata.version(args.tool)
    figures["weights"] = sum(changed[n].numel() for n in linears_of(args.model))
    write_model(args, changed)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
