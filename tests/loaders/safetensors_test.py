#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Unmodified safetensors reads packs through a mount as it reads the original directories: both of
its backends, whole tensors and slices, every dtype, into numpy and into PyTorch."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness import Store, done, ok, outcome, require, skip

require("safetensors", "numpy")

import numpy as np  # noqa: E402
from safetensors import safe_open  # noqa: E402

try:
    import torch
except ImportError:
    torch = None
try:
    import ml_dtypes  # noqa: F401  (gives numpy its bfloat16)
    HAS_BFLOAT16 = True
except ImportError:
    HAS_BFLOAT16 = False

SLICES = [np.s_[:], np.s_[:3], np.s_[5:], np.s_[1:4], np.s_[..., :7], np.s_[:, 3:9], np.s_[2:5, 1:]]


def content(array):
    """Bits, shape and dtype of a loaded tensor, as something that can be compared."""
    if torch is not None and isinstance(array, torch.Tensor):
        shape, dtype = tuple(array.shape), str(array.dtype)
        raw = array.contiguous().reshape(-1)
        if raw.numel() and raw.dtype != torch.uint8:
            raw = raw.view(torch.uint8)
        return raw.numpy().tobytes(), shape, dtype
    return array.tobytes(), array.shape, str(array.dtype)


def whole(path, framework, backend):
    """{name: content or failure} of every tensor of a file."""
    options = {} if backend is None else {"backend": backend}
    with safe_open(path, framework=framework, **options) as file:
        return {name: outcome(lambda n=name: content(file.get_tensor(n)))
                for name in file.keys()}


def sliced(path, framework, backend):
    options = {} if backend is None else {"backend": backend}
    out = {}
    with safe_open(path, framework=framework, **options) as file:
        for name in file.keys():
            for index in SLICES:
                key = (name, repr(index))
                out[key] = outcome(lambda n=name, i=index: content(file.get_slice(n)[i]))
    return out


def shards(directory):
    return sorted(Path(directory).glob("*.safetensors"))


def backends():
    """Those that this version has; None stands for the only one of an old version."""
    import tempfile
    from safetensors.numpy import save_file
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        save_file({"x": np.zeros(1, np.float32)}, file.name)
        found = []
        for name in ("mmap", "pread"):
            try:
                with safe_open(file.name, framework="np", backend=name) as opened:
                    opened.get_tensor("x")
                found.append(name)
            except Exception:  # pylint: disable=broad-except
                pass
    return found or [None]


def compare(store, name, read, framework, backend):
    """Each shard of a model, read from the mount and from the original."""
    loaded, refused, wrong = 0, 0, []
    for shard in shards(store.plain / name):
        want = read(shard, framework, backend)
        got = read(store.mnt / name / shard.name, framework, backend)
        if got.keys() != want.keys():
            wrong.append(f"{shard.name}: other names")
            continue
        for key, value in want.items():
            if got[key] != value:
                wrong.append(f"{shard.name}: {key}")
            elif isinstance(value, tuple):
                loaded += 1
            else:
                refused += 1
    how = f"{name}: {read.__name__} tensors into {framework} by {backend or 'the only backend'}"
    if loaded == 0 and refused > 0 and not wrong and not HAS_BFLOAT16:
        skip(how, "numpy has no bfloat16 without the Python module ml_dtypes")
    else:
        ok(not wrong and loaded > 0, f"{how}: {loaded} equal", "\n".join(wrong))


def check_threads(store, name, backend):
    """Sixteen readers of one cold file: every one gets the same."""
    path = shards(store.mnt / name)[0]
    want = whole(store.plain / name / path.name, "np", backend)
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda _: whole(path, "np", backend), range(16)))
    ok(all(r == want for r in results), f"{name}: sixteen threads at once")


def check_processes(store, name):
    """Loaders of their own, as the ranks of a tensor-parallel run are."""
    code = ("import sys, hashlib\nfrom safetensors import deserialize\nh = hashlib.sha256()\n"
            "for p in sys.argv[1:]:\n    for n, t in sorted(deserialize(open(p, 'rb').read())):\n"
            "        h.update(n.encode()); h.update(t['data'])\nprint(h.hexdigest())\n")

    def run(directory):
        command = [sys.executable, "-c", code, *map(str, shards(directory))]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    children = [run(store.plain / name)] + [run(store.mnt / name) for _ in range(3)]
    digests = [child.communicate()[0].strip() for child in children]
    good = len(set(digests)) == 1 and len(digests[0]) == 64
    ok(good and all(c.returncode == 0 for c in children), f"{name}: three processes at once", digests)


def check_index(store, name):
    index = json.loads((store.mnt / name / "model.safetensors.index.json").read_text())
    for tensor, shard in index["weight_map"].items():
        with safe_open(store.mnt / name / shard, framework="np") as file:
            if tensor not in file.keys():
                ok(False, f"{name}: the index names the shards", f"{tensor} is not in {shard}")
                return
    ok(True, f"{name}: the index names the shards")


def main():
    store = Store()
    size = ("--layers=3", "--hidden=256", "--inter=640", "--vocab=3000")
    store.make("base", *size)
    store.make("tune", *size, "--noise=0.01", "--base-model=base")
    store.make("sharded", *size, "--noise=0.003", "--noise-seed=2", "--shards=3", "--base-model=base")
    store.make("sparse", *size, "--noise=0.01", "--sparse=0.02", "--noise-seed=3", "--reverse")
    store.make("wide", *size, "--noise=0.01", "--dtype=F32", "--base-dtype=BF16", "--noise-seed=4")
    store.make("dtypes", "--every-dtype", "--seed=7")
    store.pack()
    store.mount()
    frameworks = ["np"] + (["pt"] if torch is not None else [])
    for name in store.names():
        for framework in frameworks:
            for backend in backends():
                compare(store, name, whole, framework, backend)
                compare(store, name, sliced, framework, backend)
    if torch is None:
        skip("tensors into PyTorch", "Python module torch is not installed")
    check_threads(store, "wide", backends()[-1])
    check_processes(store, "sharded")
    check_index(store, "sharded")
    code = store.unmount()
    ok(code == 0, "the mount ends by fusermount3 -u", code)
    done()


if __name__ == "__main__":
    main()
