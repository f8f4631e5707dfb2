#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Unmodified frameworks write into a mount: the hub's client downloads a model into it, and
transformers saves one; both are packed there and load as before."""

import hashlib
import json
import os
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from harness import TENPAK, Store, done, ok, outcome, require, skip

os.environ.pop("HF_HUB_OFFLINE", None)
os.environ.update(HF_HUB_DISABLE_PROGRESS_BARS="1", HF_HUB_DISABLE_TELEMETRY="1",
                  NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
require("huggingface_hub", "safetensors", "numpy")

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """As much of a hub as its client asks for to download one model: what is in it, and files."""
    protocol_version = "HTTP/1.1"
    files = None

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass

    def answer(self, code, body=b"", headers=()):
        self.send_response(code)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):  # pylint: disable=invalid-name
        path = self.path.split("?")[0]
        names = sorted(p.name for p in self.files.iterdir())
        if path.startswith("/api/models/org/name/tree/"):
            tree = [{"type": "file", "path": n, "size": (self.files / n).stat().st_size,
                     "oid": hashlib.sha1((self.files / n).read_bytes()).hexdigest()}
                    for n in names]
            self.answer(200, json.dumps(tree).encode(), [("Content-Type", "application/json")])
        elif path.startswith("/api/models/org/name"):
            info = {"id": "org/name", "modelId": "org/name", "sha": COMMIT, "private": False,
                    "siblings": [{"rfilename": n} for n in names]}
            self.answer(200, json.dumps(info).encode(), [("Content-Type", "application/json")])
        elif path.startswith("/org/name/resolve/") and path.rsplit("/", 1)[1] in names:
            body = (self.files / path.rsplit("/", 1)[1]).read_bytes()
            self.answer(200, body, [("ETag", f'"{hashlib.sha256(body).hexdigest()}"'),
                                    ("X-Repo-Commit", COMMIT)])
        else:
            self.answer(404)

    do_HEAD = do_GET


def contents(directory):
    """Every visible file of a model and its bytes' hash."""
    return {str(p.relative_to(directory)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(directory.rglob("*"))
            if p.is_file() and ".cache" not in p.parts}


def test_download(store):
    from huggingface_hub import snapshot_download

    Hub.files = store.plain / "base"
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    want = contents(store.plain / "base")

    got = outcome(lambda: snapshot_download("org/name", local_dir=store.mnt / "downloaded",
                                            endpoint=endpoint))
    ok(contents(store.mnt / "downloaded") == want, "the hub's client downloads into the mount", got)
    ok(contents(store.packs / "downloaded") == want, "it is in the directory below")
    got = outcome(lambda: snapshot_download("org/name", cache_dir=store.mnt / "hub",
                                            endpoint=endpoint))
    snapshot = store.mnt / "hub" / "models--org--name" / "snapshots" / COMMIT
    ok(contents(snapshot) == want, "and into its own cache there", got)
    ok(all(p.is_symlink() for p in snapshot.iterdir()), "with its links")
    server.shutdown()


def pack(store, name):
    run = subprocess.run([TENPAK, "pack", "-q", store.packs / name], capture_output=True, text=True,
                         check=False)
    ok(run.returncode == 0, f"{name} is packed", run.stderr)
    end = time.monotonic() + 240
    codec = outcome(lambda: os.getxattr(store.mnt / name, "user.tenpak.codec"))
    while not isinstance(codec, bytes) and time.monotonic() < end:
        time.sleep(0.02)
        codec = outcome(lambda: os.getxattr(store.mnt / name, "user.tenpak.codec"))
    ok(isinstance(codec, bytes), "and shows as a pack", codec)


def test_save(store):
    try:
        import torch
        from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
    except ImportError:
        skip("transformers saves into the mount", "transformers is not installed")
        return
    torch.manual_seed(1)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=320, hidden_size=64, intermediate_size=128,
                                         num_hidden_layers=2, num_attention_heads=4))
    saved = store.mnt / "saved"
    failed = outcome(lambda: model.save_pretrained(saved))
    ok(failed is None, "transformers saves into the mount", failed)
    # Over what is there, as a training does.
    failed = outcome(lambda: model.save_pretrained(saved, max_shard_size="100KB"))
    ok(failed is None, "and once more, in shards", failed)
    before = contents(saved)
    pack(store, "saved")
    ok(contents(saved) == before, "every file as it was")
    loaded = AutoModelForCausalLM.from_pretrained(saved).state_dict()
    want = model.state_dict()
    ok(loaded.keys() == want.keys() and all(torch.equal(loaded[k], want[k]) for k in want),
       "and it loads from the pack, every weight the same")
    failed = outcome(lambda: model.save_pretrained(saved))
    ok(failed is not None, "over a pack nothing is saved", failed)
    ok(contents(saved) == before, "and it stays as it was")


def main():
    store = Store()
    store.make("base", "--hidden=128", "--inter=256", "--vocab=1000")
    store.packs.mkdir()
    store.mount()
    test_download(store)
    pack(store, "downloaded")
    ok(contents(store.mnt / "downloaded") == contents(store.plain / "base"), "every file as it was")
    test_save(store)
    ok(store.unmount() == 0, "the mount ends by itself")
    done()


if __name__ == "__main__":
    main()
