#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Unmodified readers of other kinds over a mount: gguf's, the way in which llama.cpp maps a file, and
fastsafetensors, which reads by O_DIRECT from many threads."""

import mmap
import os

from harness import Store, done, ok, require, skip

require("gguf", "numpy")

import gguf  # noqa: E402
import numpy as np  # noqa: E402


def write_gguf(path):
    """A small file with tensors of several kinds, quantized ones among them."""
    generator = np.random.default_rng(5)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("test")
    writer.add_block_count(2)
    writer.add_context_length(128)
    writer.add_array("tokenizer.ggml.tokens", [f"t{i}" for i in range(300)])
    for i in range(6):
        weights = generator.standard_normal((256, 512), np.float32) * np.float32(0.02)
        writer.add_tensor(f"blk.{i}.f32", weights)
        writer.add_tensor(f"blk.{i}.f16", weights.astype(np.float16))
        for kind in (gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.BF16):
            packed = gguf.quants.quantize(weights, kind)
            writer.add_tensor(f"blk.{i}.{kind.name}", packed, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def content(path):
    reader = gguf.GGUFReader(path)
    tensors = {t.name: (t.tensor_type, tuple(t.shape), t.data.tobytes()) for t in reader.tensors}
    return {k: v.contents() for k, v in reader.fields.items()}, tensors


def map_as_llama(path):
    """MAP_SHARED | MAP_POPULATE over the whole file, with the advice that llama.cpp gives."""
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        with mmap.mmap(file.fileno(), 0, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE,
                       prot=mmap.PROT_READ) as area:
            area.madvise(mmap.MADV_WILLNEED)
            first = bytes(area)
            area.madvise(mmap.MADV_RANDOM)
            area.madvise(mmap.MADV_DONTNEED)
            return first if bytes(area) == first else b""


def check_llama_direct(path, want):
    """By O_DIRECT, aligned to st_blksize."""
    block = os.stat(path).st_blksize
    area = mmap.mmap(-1, (len(want) + block - 1) // block * block)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        done_bytes = 0
        while done_bytes < len(want):
            n = os.preadv(fd, [memoryview(area)[done_bytes:done_bytes + 64 * block]], done_bytes)
            if n <= 0:
                break
            done_bytes += n
    finally:
        os.close(fd)
    ok(block <= 131072 and area[:len(want)] == want, "O_DIRECT in blocks of st_blksize", block)


def check_fastsafetensors(store):
    try:
        import torch
        from fastsafetensors import fastsafe_open
    except ImportError as error:
        skip("fastsafetensors", f"not installed: {error}")
        return
    from safetensors.torch import load_file
    name = "tune/model.safetensors"
    want = load_file(store.plain / name)
    with fastsafe_open([str(store.mnt / name)], nogds=True, device="cpu") as file:
        got = {k: file.get_tensor(k).clone() for k in file.keys()}
    ok(got.keys() == want.keys() and all(
        torch.equal(got[k].reshape(-1).view(torch.uint8), want[k].reshape(-1).view(torch.uint8)) for k in want),
       "fastsafetensors without GPU: equal tensors")


def main():
    store = Store()
    size = ("--layers=2", "--hidden=256", "--inter=640", "--vocab=2000")
    store.make("base", *size)
    store.make("tune", *size, "--noise=0.01")
    (store.plain / "gguf").mkdir()
    write_gguf(store.plain / "gguf" / "model.gguf")
    store.pack()
    store.mount()
    plain, mounted = store.plain / "gguf" / "model.gguf", store.mnt / "gguf" / "model.gguf"
    ok(content(mounted) == content(plain), "gguf: every field and tensor is equal")
    want = plain.read_bytes()
    ok(map_as_llama(mounted) == want, "mapped shared and populated, as llama.cpp does")
    check_llama_direct(mounted, want)
    check_fastsafetensors(store)
    code = store.unmount()
    ok(code == 0, "the mount ends by fusermount3 -u", code)
    done()


if __name__ == "__main__":
    main()
