# SPDX-License-Identifier: MIT
"""What others make of a pair, and the bound: sizes in bytes of what each would store."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import zstandard

SLAB = 256 << 20   # bytes of a file that a compressor which works in memory gets at a time


def zstd_size(data):
    return len(zstandard.ZstdCompressor(level=3).compress(np.ascontiguousarray(data)))


def bitx_tensor(pair):
    """XOR with the base, a plane of exponents, a plane of signs and mantissas, zstd -3 on each
    whole plane. A tensor without a base's is split in planes as it is."""
    tune, base = pair
    if tune.dtype != "BF16":
        return zstd_size(tune.raw)
    x = tune.words() if base is None else tune.words() ^ base.words()
    exponent = (x >> 7).astype(np.uint8)
    rest = ((x >> 8) & 0x80).astype(np.uint8) | (x & 0x7F).astype(np.uint8)
    return zstd_size(exponent) + zstd_size(rest)


def bitx(pair, threads):
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(bitx_tensor, pair.matched()))


def ordinal(words):
    """bf16 bit patterns as integers in the order of the values."""
    flip = np.where(words & 0x8000, np.uint16(0xFFFF), np.uint16(0x8000))
    return words ^ flip


def entropy_bits(counts):
    counts = counts[counts > 0].astype(np.float64)
    total = counts.sum()
    return float(total * np.log2(total) - (counts * np.log2(counts)).sum())


def conditional_bits(symbols, context):
    """Zero-order entropy of 16-bit symbols given an 8-bit context, in bits for all of them."""
    if symbols.size >= 1 << 16:
        keys = np.zeros(1 << 24, np.int64)
        for first in range(0, symbols.size, 1 << 22):
            part = slice(first, first + (1 << 22))
            key = (context[part].astype(np.uint32) << 16) | symbols[part]
            keys += np.bincount(key, minlength=1 << 24)
        rows = keys.reshape(256, 1 << 16)
        return sum(entropy_bits(rows[e]) for e in np.flatnonzero(rows.any(1)))
    bits = 0.0
    for exponent in np.unique(context):
        bits += entropy_bits(np.unique(symbols[context == exponent], return_counts=True)[1])
    return bits


def entropy(pair):
    """The conditional entropy of the ordinal difference given the base's exponent, per tensor, in
    bytes. Where only the first rows have a base's, the others count with their own entropy."""
    bits = 0.0
    for name, tune in pair.tune.tensors.items():
        words = tune.words()
        base = pair.base.tensors.get(name)
        common = 0
        if base is not None and base.dtype == tune.dtype and base.shape[1:] == tune.shape[1:]:
            common = min(words.size, base.words().size)
        if common:
            other = base.words()[:common]
            difference = ordinal(words[:common]) - ordinal(other)
            bits += conditional_bits(difference, (other >> 7).astype(np.uint8))
        if common < words.size:
            alone = words[common:]
            bits += conditional_bits(alone, np.zeros(alone.size, np.uint8))
    return round(bits / 8)


def zstd_directory(model):
    """Every file with zstd -3, as a person would do it."""
    return sum(command_size(["zstd", "-3", "-q", "-c", "--", str(f)]) for f in model.files())


def zstd_rest(model):
    """The files without tensors, with zstd -3."""
    return sum(command_size(["zstd", "-3", "-q", "-c", "--", str(f)]) for f in model.files()
               if f.suffix != ".safetensors")


def zstd_patch(pair):
    """zstd -3 --patch-from the base's file of the same name; the window spans both files. None where
    a file is over zstd's limit."""
    if pair.base.largest_file().stat().st_size >= 2 << 30:
        return None
    total = 0
    for file in pair.tune.files():
        base = pair.base.path / file.relative_to(pair.tune.path)
        command = ["zstd", "-3", "-q", "-c"]
        if base.is_file():
            command += ["--long=31", f"--patch-from={base}"]
        total += command_size(command + ["--", str(file)])
    return total


def command_size(command):
    """The bytes that a command writes to its standard output."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    size = 0
    while chunk := process.stdout.read(1 << 20):
        size += len(chunk)
    if process.wait() != 0:
        raise RuntimeError(f"'{' '.join(command)}' failed with {process.returncode}")
    return size


def zipnn_codec(dtype):
    from zipnn import ZipNN
    names = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}
    return ZipNN(input_format="byte", bytearray_dtype=names.get(dtype, "bfloat16"))


def zipnn_size(dtype, raw):
    # compress() changes the array that it is given, so it gets a copy.
    codec = zipnn_codec(dtype)
    return sum(len(codec.compress(bytearray(raw[i:i + SLAB]))) for i in range(0, raw.size, SLAB))


def zipnn_base(model):
    return sum(zipnn_size(t.dtype, t.raw) for t in model.tensors.values())


def zipnn_delta(pair):
    total = 0
    for tune, base in pair.matched():
        raw = tune.raw if base is None else np.bitwise_xor(tune.raw, base.raw)
        total += zipnn_size(tune.dtype, raw)
    return total


def lmz(pair, scratch):
    """What the fine-tune adds to an archive that holds the base: lmz finds a delta's base only
    inside the archive."""
    alone = lmz_archive([("base", pair.base)], scratch)
    return lmz_archive([("base", pair.base), ("tune", pair.tune)], scratch) - alone


def lmz_archive(members, scratch):
    tree, out = Path(scratch) / "lmz", Path(scratch) / "archive.lmz"
    shutil.rmtree(tree, ignore_errors=True)
    for name, model in members:
        for file in model.files():
            copy = tree / name / file.relative_to(model.path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(file, copy)
    command = [sys.executable, "-m", "lmz", "compress", "-q", "-f", str(tree), str(out)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    size = out.stat().st_size
    out.unlink()
    shutil.rmtree(tree)
    return size


def link_or_copy(source, target):
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
