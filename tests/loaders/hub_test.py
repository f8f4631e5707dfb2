#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Unmodified huggingface_hub finds models in its own cache layout through a mount, offline: as plain directories,
and packed as a whole, with blobs named by hash and snapshots that link to them."""

import hashlib
import os
import shutil

from harness import TENPAK, Store, done, ok, require

require("huggingface_hub", "safetensors", "numpy")


def to_hub(source, cache, name, commit):
    """A model directory as the hub's cache has it; returns its directory."""
    repo = cache / ("models--" + name.replace("/", "--"))
    (repo / "blobs").mkdir(parents=True)
    (repo / "refs").mkdir()
    snapshot = repo / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for file in sorted(source.iterdir()):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.copy2(file, repo / "blobs" / digest)
        (snapshot / file.name).symlink_to(f"../../blobs/{digest}")
    (repo / "refs" / "main").write_text(commit)
    return repo


def same_files(ours, theirs):
    names = sorted(f.name for f in theirs.iterdir())
    return names == sorted(f.name for f in ours.iterdir()) and all(
        (ours / n).read_bytes() == (theirs / n).read_bytes() for n in names)


def check_repo(store, hub, name, commit, original):
    from safetensors.numpy import load_file
    path = hub.snapshot_download(name)
    ok(path == str(store.mnt / f"models--{name.replace('/', '--')}" / "snapshots" / commit),
       f"{name}: snapshot_download finds the snapshot", path)
    from pathlib import Path
    ok(same_files(Path(path), original), f"{name}: every file has its bytes")
    one = hub.hf_hub_download(name, "model.safetensors", revision="main")
    ours, theirs = load_file(one), load_file(original / "model.safetensors")
    ok(ours.keys() == theirs.keys() and all(
        ours[k].tobytes() == theirs[k].tobytes() for k in theirs), f"{name}: equal tensors")
    blob = Path(os.path.realpath(one))
    ok(blob.name == hashlib.sha256(blob.read_bytes()).hexdigest(), f"{name}: a link leads to its blob")
    absent = hub.try_to_load_from_cache(name, "absent.json")
    ok(absent is None, f"{name}: a file that is not there is not found", absent)


def check_transformers(name, original):
    try:
        from transformers import AutoConfig
    except ImportError:
        return
    ours = AutoConfig.from_pretrained(name).to_dict()
    theirs = AutoConfig.from_pretrained(original).to_dict()
    for config in (ours, theirs):
        config.pop("_name_or_path", None)
    ok(ours == theirs, f"{name}: transformers takes its configuration by its name", ours)
    try:
        import torch
        from transformers import AutoModelForCausalLM
    except ImportError:
        return
    mine = AutoModelForCausalLM.from_pretrained(name).state_dict()
    want = AutoModelForCausalLM.from_pretrained(original).state_dict()
    ok(mine.keys() == want.keys() and all(torch.equal(mine[k], want[k]) for k in want),
       f"{name}: from_pretrained gives equal weights")


def main():
    import subprocess
    store = Store()
    size = ("--layers=2", "--hidden=256", "--inter=640", "--vocab=2000", "--dtype=F32")
    store.make("base", *size)
    store.make("tune", *size, "--noise=0.01")
    store.packs.mkdir()
    to_hub(store.plain / "base", store.packs, "org/plain", "aaaa")
    repos = [to_hub(store.plain / "base", store.packs, "org/base", "bbbb"),
             to_hub(store.plain / "tune", store.packs, "org/tune", "cccc")]
    bytes_before = sum(f.stat().st_size for f in repos[1].rglob("*") if f.is_file())
    for repo in repos:
        run = subprocess.run([TENPAK, "pack", repo], capture_output=True, text=True, check=False)
        ok(run.returncode == 0 and not repo.exists(), f"{repo.name} is packed as it is", run.stderr)
    stored = (store.packs / f"{repos[1].name}.tnpk").stat().st_size
    ok(stored * 2 < bytes_before, "the fine-tune's blob is kept as its difference from the base's",
       f"{stored} of {bytes_before} bytes")
    store.mount()
    os.environ["HF_HUB_CACHE"] = str(store.mnt)
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_HOME"] = str(store.root / "home")
    import huggingface_hub as hub
    for name, commit, model in (("org/plain", "aaaa", "base"), ("org/base", "bbbb", "base"),
                                ("org/tune", "cccc", "tune")):
        check_repo(store, hub, name, commit, store.plain / model)
        check_transformers(name, store.plain / model)
    found = hub.scan_cache_dir()
    ok(sorted(r.repo_id for r in found.repos) == ["org/base", "org/plain", "org/tune"] and not found.warnings,
       "scan_cache_dir lists them", found)
    code = store.unmount()
    ok(code == 0, "the mount ends by fusermount3 -u", code)
    done()


if __name__ == "__main__":
    main()
