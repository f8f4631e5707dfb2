# SPDX-License-Identifier: MIT
"""Model directories as the benchmark sees them: tensors in mapped files, and sizes on disk."""

import json
import struct
from pathlib import Path

import numpy as np

BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "U16": 2, "I16": 2, "F16": 2,
         "BF16": 2, "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8}


class Tensor:
    """One tensor of a safetensors file: its dtype, its shape and its bytes, mapped."""

    def __init__(self, dtype, shape, raw):
        self.dtype = dtype
        self.shape = shape
        self.raw = raw

    @property
    def nbytes(self):
        return self.raw.nbytes

    def words(self):
        return self.raw.view(np.uint16)


class Model:
    """A model directory and its tensors by name, in the order of the files."""

    def __init__(self, directory):
        self.path = Path(directory)
        self.tensors = {}
        for shard in sorted(self.path.glob("*.safetensors")):
            self.tensors.update(read_safetensors(shard))

    @property
    def tensor_bytes(self):
        return sum(t.nbytes for t in self.tensors.values())

    @property
    def file_bytes(self):
        return sum(f.stat().st_size for f in self.files())

    def files(self):
        return sorted(f for f in self.path.rglob("*") if f.is_file())

    def largest_file(self):
        return max(self.files(), key=lambda f: f.stat().st_size)

    def is_bf16(self):
        return all(t.dtype == "BF16" for t in self.tensors.values())


class Pair:
    """A base and a fine-tune of it. KIND names the targets that hold for the pair."""

    def __init__(self, name, base, tune, kind, note=""):
        self.name = name
        self.base = Model(base)
        self.tune = Model(tune)
        self.kind = kind
        self.note = note

    def matched(self):
        """(tune, base or None) for each tensor; a base's tensor counts when the shape is the same."""
        for name, tensor in self.tune.tensors.items():
            other = self.base.tensors.get(name)
            if other is not None and (other.dtype, other.shape) != (tensor.dtype, tensor.shape):
                other = None
            yield tensor, other


def read_safetensors(path):
    data = np.memmap(path, dtype=np.uint8, mode="r")
    length = struct.unpack("<Q", data[:8].tobytes())[0]
    header = json.loads(data[8:8 + length].tobytes())
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        raw = data[8 + length + begin:8 + length + end]
        tensors[name] = Tensor(entry["dtype"], entry["shape"], raw)
    return tensors


def write_safetensors(path, shapes, fill):
    """A bf16 file of {name: shape}; FILL(name, shape) gives the words of one tensor at a time."""
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": list(shape),
                        "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in shapes.items():
            fill(name, shape).tofile(file)


def zoo_pairs(zoo):
    """The bf16 fine-tunes of a directory that holds 'base' and fine-tunes of it."""
    pairs = []
    for directory in sorted(Path(zoo).iterdir()):
        if directory.name == "base" or not (directory / "config.json").is_file():
            continue
        kind = "zoo-sft" if directory.name == "sft" else "other"
        pair = Pair(directory.name, Path(zoo) / "base", directory, kind)
        if pair.tune.is_bf16():
            pairs.append(pair)
    return pairs
