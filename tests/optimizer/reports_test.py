#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What eval, pack, optimize and generate say of texts, and what they warn of: in one form, and only once a request
was found to be possible. A model of the hub's cache by its id."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, os.path.join(os.environ.get("top_srcdir", "."), "tests", "loaders"))

from harness import TENPAK, done, ok, require  # noqa: E402

require("torch", "transformers", "tokenizers", "safetensors", "numpy")

import families_test as families  # noqa: E402
import target_test as target  # noqa: E402

TEXT = target.TEXT


def run(*words, code=0):
    made = subprocess.run([TENPAK, *map(str, words)], capture_output=True, text=True, check=False)
    if made.returncode != code:
        raise RuntimeError(f"{words}: {made.returncode}: {made.stderr}")
    return made


def check_texts(root):
    """The same text in the reports of three commands."""
    text, model = root / "text", root / "llama"
    settings = ("--context=48", "-j", "2", "--json", "-q")
    found = json.loads(run("optimize", "--candidates=gptq_quality", f"--text={text}", f"--calibration={text}",
                           "--eval-samples=4", "--keep=all", *settings, model).stdout)
    packed = json.loads(run("pack", "--target=gptq:16", f"--calibration={text}", "--samples=4", *settings,
                            model).stdout)["models"][0]
    measured = json.loads(run("eval", f"--text={text}", "--samples=4", *settings, model).stdout)
    ok(found["text"] == measured["text"], "optimize and eval name a text alike", (found["text"], measured["text"]))
    ok(found["text"] == {"name": str(text), "bytes": len(TEXT), "read_bytes": len(TEXT), "tokens": len(TEXT),
                         "sha256": hashlib.sha256(TEXT.encode()).hexdigest()}, "with what was read", found["text"])
    ok(found["calibration"] == packed["calibration"], "optimize and pack do, too",
       (found["calibration"], packed["calibration"]))
    ok(packed["calibration"] == {**found["text"], "windows": 4, "context": 48, "warning": None},
       "a calibration has its windows", packed["calibration"])
    ok(found["windows"] == 4 and found["context"] == 48, "and so has the search", found)
    for name, report in (("llama~gptq_quality", found), ("llama~gptq-16", packed)):
        lossy = json.loads(run("info", "--json", root / f"{name}.tnpk").stdout)["lossy"]
        ok(lossy["calibration"] == report["calibration"], f"{name} says the same of itself", lossy)


def check_notes(root):
    """Doubts are for requests that are possible."""
    model = root / "doubtful"
    shutil.copytree(root / "llama", model)
    path = model / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["model"]["vocab"] = {t: i for t, i in tokenizer["model"]["vocab"].items() if i < 100}
    path.write_text(json.dumps(tokenizer))
    (root / "short").write_text("1 2 3 4")
    (root / "digits").write_text("1234567890 " * 200)
    for words in (("eval",), ("optimize", "--candidates=fp16", "--keep=none"), ("pack", "--target=gptq:16")):
        key = "--calibration" if words[0] == "pack" else "--text"
        refused = run(*words, f"{key}={root}/short", "--context=64", model, code=1)
        ok(len(refused.stderr.splitlines()) == 1 and "belong" not in refused.stderr, f"{words[0]}: a refusal is one line",
           refused.stderr)
        more = () if words[0] == "eval" else (f"--calibration={root}/digits",)
        good = run(*words, f"{key}={root}/digits", *more, "--context=64", "-j", "2", model)
        ok("may not belong together" in good.stderr, f"{words[0]}: the tokenizer is doubted otherwise", good.stderr)
    refused = run("eval", f"--text={root}/digits", "--context=32", "--timing", "--prompt-tokens=60", "--new-tokens=60",
                  root / "gpt2", code=1)
    ok("64 positions" in refused.stderr and len(refused.stderr.splitlines()) == 1,
       "timing with too many positions is refused before the work", refused.stderr)


def check_positions(root):
    """What a model was not made for: 64 positions, or what the scaling makes of them."""
    for name, reach in (("llama", 64), ("llama-yarn", 64), ("llama-linear", 192), ("llama-dynamic", 40), ("gemma3", 64)):
        model = root / name
        if not model.exists():
            families.make(root, name)
            target.add_tokenizer(model)
        for n, beyond in ((reach - 19, False), (reach - 18, True)):
            made = run("generate", "--json", "--ignore-eos", f"--max-tokens={n}", "-p", "The first and second", model)
            warning = json.loads(made.stdout)["warning"]
            ok((warning is not None and f"the {reach} that" in warning) if beyond else warning is None,
               f"{name}: {20 + n - 1} positions", warning)
            ok(bool(made.stderr) == beyond, f"{name}: and a note says so, or not", made.stderr)
    made = run("generate", "--json", "--max-tokens=1", "-p", "x" * 70, root / "llama")
    ok(json.loads(made.stdout)["warning"].startswith("70 positions") and len(made.stderr.splitlines()) == 1,
       "a long prompt: one note", made)
    made = run("eval", f"--text={root}/text", "--context=65", "--samples=2", root / "llama")
    ok("65 positions are more than the 64" in made.stderr, "eval warns of long windows", made.stderr)
    made = run("eval", f"--text={root}/text", "--context=64", "--samples=2", root / "llama")
    ok("positions" not in made.stderr, "but not of those that fit", made.stderr)


def check_hub(root):
    """Quantizing a model of the hub's cache, which is named by its id."""
    folder = root / "hub" / "models--org--name"
    snapshot = folder / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (folder / "blobs").mkdir()
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    for number, path in enumerate(sorted((root / "llama").iterdir())):
        shutil.copy(path, folder / "blobs" / str(number))
        (snapshot / path.name).symlink_to(f"../../blobs/{number}")
    os.environ["HF_HUB_CACHE"] = str(root / "hub")
    before = target.digest(folder)
    run("pack", "-q", "--target=nearest:16", "org/name")
    made = root / "hub" / "models--org--name~nearest-16.tnpk"
    ok(made.is_file() and target.digest(folder) == before, "pack --target takes an id, and the cache stays")
    lossy = json.loads(run("info", "--json", made).stdout)["lossy"]
    ok(lossy["original"] == "models--org--name", "the pack names the original", lossy)
    made.unlink()
    run("pack", "-q", "--target=nearest:16", folder)
    ok(made.is_file(), "and the folder of the cache")
    made.unlink()
    run("pack", "-q", "--job", root / "hub", "org/name", "target=nearest:16")
    ok(made.is_file() and target.digest(folder) == before, "so does a job")
    made.unlink()
    run("pack", "-q", "--job", "--target=nearest:16", "org/name")
    ok(made.is_file(), "also where only the id is given")
    refused = run("pack", "--job", root / "hub", "org/name", code=2)
    ok("'target'" in refused.stderr and target.digest(folder) == before, "exact packs do not take an id", refused.stderr)


def main():
    root = Path(tempfile.mkdtemp(prefix="tenpak-test."))
    try:
        (root / "text").write_text(TEXT)
        for name in ("llama", "gpt2"):
            families.make(root, name)
            target.add_tokenizer(root / name)
        check_texts(root)
        check_notes(root)
        check_positions(root)
        check_hub(root)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    done()


if __name__ == "__main__":
    main()
