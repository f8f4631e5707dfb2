#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Statistics of a calibration are kept: later passes use them and give the same packs, also after damage, a kill, on a
full disk and in a directory that cannot be written."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(os.environ.get("top_srcdir", Path(__file__).resolve().parents[2])).resolve()
sys.path.insert(0, str(TOP / "tests" / "loaders"))

from harness import BUILD, TENPAK, done, ok, skip  # noqa: E402

os.environ["TENPAK_TEXT_DIR"] = str(TOP / "share" / "tenpak" / "text")
RUN = BUILD / "tests" / "optimizer" / "search_run"
LAYERS = 3  # of the model


def copy_model(folder):
    folder.mkdir()
    shutil.copytree(TOP / "demo" / "models" / "base", folder / "m")
    for path in [folder / "m", *(folder / "m").iterdir()]:
        path.chmod(path.stat().st_mode | 0o200)
    return folder


def pack(folder, *words, out=None):
    """Layers whose statistics were kept, the hash of the pack, and what was said."""
    made = out or folder / "out.tnpk"
    run = subprocess.run([TENPAK, "pack", "--json", "--samples=8", "--context=64", "-j2", *words, "-o", made, folder / "m"],
                         capture_output=True, text=True, check=False)
    if not ok(run.returncode == 0 and made.exists(), f"pack {' '.join(words)}", run.stderr):
        done()
    digest = hashlib.sha256(made.read_bytes()).hexdigest()
    made.unlink()
    return json.loads(run.stdout)["models"][0]["layers_cached"], digest, run.stderr


def kept_files(folder):
    """The largest one, of Hessians, is the last; what forms cost is the smallest."""
    return sorted((folder / ".tenpak" / "calibration").iterdir(), key=lambda path: path.stat().st_size)


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def test_packs(folder):
    cached, gptq, _ = pack(folder, "--target=gptq:16")
    ok(cached == 0 and len(kept_files(folder)) == 1, "the first pass keeps its statistics", kept_files(folder))
    cached, again, _ = pack(folder, "--target=gptq:16")
    ok(cached == LAYERS and again == gptq, "the second one computes none, and the pack is the same")
    cached, quality, _ = pack(folder, "--target=quality")
    ok(cached == LAYERS, "nor does one by another method")
    cached, sized, _ = pack(folder, "--target-size=230kB")
    ok(cached == LAYERS and len(kept_files(folder)) == 2, "nor one of a size, which keeps what its forms cost")
    cached, again, said = pack(folder, "--target-size=230kB")
    ok(cached == LAYERS and again == sized, "from which it makes the same pack", said)
    cached, other, _ = pack(folder, "--target-size=200kB")
    cached, _, _ = pack(folder, "--target=bnb_nf4")
    ok(cached == 0 and len(kept_files(folder)) == 2, "a method that needs none keeps none")
    return {"--target=gptq:16": gptq, "--target=quality": quality, "--target-size=230kB": sized,
            "--target-size=200kB": other}


def test_new(root, packs):
    """Each alone, without what another one has kept. A size depends on the length of the path, which is the same."""
    for target, expected in packs.items():
        folder = copy_model(root / "others")
        cached, digest, _ = pack(folder, target)
        ok(cached == 0 and digest == expected, f"{target}: the pack is that of a pass that finds nothing")
        shutil.rmtree(folder)
    folder = copy_model(root / "others")
    cached, _, _ = pack(folder, "--target=bnb_int8")
    size = kept_files(folder)[0].stat().st_size
    cached, digest, _ = pack(folder, "--target=gptq:16")
    ok(cached == 0 and digest == packs["--target=gptq:16"] and kept_files(folder)[0].stat().st_size > 3 * size,
       "Hessians are added to a file without", (size, kept_files(folder)[0].stat().st_size))
    cached, _, said = pack(folder, "--target=bnb_int8")
    ok(cached == LAYERS and not said.strip(), "which still serves a method without", said)
    cached, _, _ = pack(folder, "--target=gptq:16", "--calibration=evaluation")
    ok(cached == 0 and len(kept_files(folder)) == 2, "another text has statistics of its own")
    with open(folder / "m" / "config.json", "a", encoding="ascii") as file:
        file.write("\n")
    cached, _, _ = pack(folder, "--target=bnb_int8")
    ok(cached == 0, "a model that was changed is another one")
    shutil.rmtree(folder)


def test_damage(folder, packs):
    for target in packs:
        for part in (0.04, 0.5, 0.99, "a record"):
            path = kept_files(folder)[-1]
            flip(path, 128 + 9 if part == "a record" else int(path.stat().st_size * part))
            cached, digest, said = pack(folder, target)
            ok(cached < LAYERS and digest == packs[target], f"{target}: damage at {part} is no matter", cached)
            ok(said.count(path.name) == 1 and "again" in said, "it is named once", said)
            cached, digest, said = pack(folder, target)
            ok(cached == LAYERS and digest == packs[target] and path.name not in said, "and made again", said)
    for part in (0.0, 0.01, 0.5, 0.99):
        path = kept_files(folder)[0]
        flip(path, int(path.stat().st_size * part))
        cached, digest, said = pack(folder, target)
        ok(cached == LAYERS and digest == packs[target], f"damage at {part} of what forms cost is no matter", cached)
        ok(said.count(path.name) == 1 and "again" in said, "it is named once", said)
        cached, digest, said = pack(folder, target)
        ok(cached == LAYERS and digest == packs[target] and path.name not in said, "and made again", said)
    path.write_bytes(b"")
    cached, digest, said = pack(folder, target)
    ok(cached == LAYERS and digest == packs[target] and said.count(path.name) == 1, "an empty one is damaged", said)
    path = kept_files(folder)[-1]
    path.write_bytes(b"something else\n" * 100)
    cached, digest, said = pack(folder, "--target=gptq:16")
    ok(cached == 0 and digest == packs["--target=gptq:16"] and said.count(path.name) == 1, "so is another file", said)


def search(folder, *words):
    return subprocess.run([RUN, folder, "m", "samples=2", "calibration_samples=8", "context=64", "keep=all",
                           "candidates=gptq_quality,awq_g128", *words], capture_output=True, text=True, check=False)


def test_search(root, packs):
    """A search that is killed in its pass, and continued; what it keeps serves packs."""
    results = {}
    for place in (None, "quantize:0", "quantize:0.5", "quantize:0.8"):
        folder = copy_model(root / "search")
        if place:
            ok(search(folder, f"kill={place}").returncode == -9, f"killed at {place}")
        run = search(folder)
        if not ok(run.returncode == 0, f"a search, killed at {place} before", run.stderr):
            done()
        report = json.loads(run.stdout)
        ok((report["layers_cached"] > 0) == (place not in (None, "quantize:0")) and report["layers_cached"] <= LAYERS,
           "what the killed one had computed is used", report["layers_cached"])
        results[place] = [report["all_candidates"][i][key] for i in (0, 1) for key in ("pack_bytes", "perplexity")]
        if place == "quantize:0.8":
            shutil.rmtree(folder / ".tenpak" / "search")
            report = json.loads(search(folder).stdout)
            ok(report["layers_cached"] == LAYERS, "another search finds all", report["layers_cached"])
            cached, digest, _ = pack(folder, "--target=gptq:16")
            ok(cached == LAYERS and digest == packs["--target=gptq:16"], "so does a pack")
        shutil.rmtree(folder)
    ok(all(r == results[None] for r in results.values()), "all have the same figures", results)


def test_no_place(root, packs):
    folder = copy_model(root / "file")
    (folder / ".tenpak").write_text("not a directory\n")
    for _ in range(2):
        cached, digest, said = pack(folder, "--target=gptq:16")
        ok(cached == 0 and digest == packs["--target=gptq:16"] and not said.strip(), "without a place nothing is kept", said)
    shutil.rmtree(folder)


def test_disk(root, packs):
    """A small disk, which is also read-only once."""
    disk = root / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], capture_output=True, check=False).returncode:
        skip("small and read-only disks", "only root can mount them")
        return
    try:
        shutil.copytree(TOP / "demo" / "models" / "base", disk / "m")
        out, target = root / "disk.tnpk", "--target=gptq:16"
        pack(disk, target, out=out)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        cached, digest, said = pack(disk, target, out=out)
        ok(cached == LAYERS and digest == packs[target], "a directory that cannot be written serves readers", said)
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        for path in kept_files(disk):
            path.unlink()

        def fill(left):
            (disk / "filler").unlink(missing_ok=True)
            free = os.statvfs(disk)
            (disk / "filler").write_bytes(bytes(free.f_bavail * free.f_frsize - left))

        fill(300 << 10)
        for expected in (0, 0):
            cached, digest, _ = pack(disk, target, out=out)
            ok(cached == expected and digest == packs[target], "a disk without space for Hessians", cached)
        ok(kept_files(disk)[0].stat().st_size < 100 << 10, "has the vectors", kept_files(disk))
        kept_files(disk)[0].unlink()
        fill(4 << 10)
        cached, digest, said = pack(disk, target, out=out)
        ok(cached == 0 and digest == packs[target] and not said.strip(), "a full disk is no error", said)
    finally:
        subprocess.run(["umount", disk], check=False)


def main():
    root = Path(tempfile.mkdtemp(prefix="tenpak-test."))
    try:
        folder = copy_model(root / "models")
        packs = test_packs(folder)
        test_new(root, packs)
        test_damage(folder, packs)
        test_search(root, packs)
        test_no_place(root, packs)
        test_disk(root, packs)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    done()


if __name__ == "__main__":
    main()
