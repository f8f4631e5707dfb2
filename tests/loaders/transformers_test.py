#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Unmodified transformers loads packed models through a mount, from one file and from shards: the
same weights to the bit, and the same output, as from the original directories."""

import shutil
from pathlib import Path

from harness import Store, done, ok, require

require("torch", "transformers", "safetensors")

import torch  # noqa: E402
from tokenizers import Tokenizer, decoders, models, pre_tokenizers  # noqa: E402
from transformers import (AutoModelForCausalLM, AutoTokenizer, LlamaConfig,  # noqa: E402
                          LlamaForCausalLM, PreTrainedTokenizerFast)
from transformers.utils import logging  # noqa: E402

logging.set_verbosity_error()
logging.disable_progress_bar()


def make_tokenizer():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {c: i for i, c in enumerate(["<s>", "</s>"] + alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


def save(model, directory, shard="5GB"):
    model.save_pretrained(directory, max_shard_size=shard)
    make_tokenizer().save_pretrained(directory)


def fine_tune(model, seed, scale):
    """A copy of a bf16 model with noise on every weight, rounded to bf16 as a fine-tune is."""
    generator = torch.Generator().manual_seed(seed)
    tune = LlamaForCausalLM(model.config).to(torch.bfloat16)
    weights = {}
    for name, tensor in model.state_dict().items():
        noise = torch.randn(tensor.shape, generator=generator) * scale
        weights[name] = (tensor.float() + noise).to(torch.bfloat16)
    tune.load_state_dict(weights)
    return tune


def make_models(store):
    torch.manual_seed(1)
    config = LlamaConfig(vocab_size=320, hidden_size=192, intermediate_size=512,
                         num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2,
                         max_position_embeddings=128, bos_token_id=0, eos_token_id=1)
    base = LlamaForCausalLM(config).to(torch.bfloat16)
    save(base, store.plain / "base")
    save(fine_tune(base, 2, 2e-4), store.plain / "tune")
    save(fine_tune(base, 3, 5e-4), store.plain / "sharded", shard="1MB")
    save(fine_tune(base, 4, 2e-6), store.plain / "few")


def bits(model):
    return {name: tensor.contiguous().view(torch.uint8)
            for name, tensor in model.state_dict().items()}


def equal(ours, theirs):
    return ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)


def generated(model, tokenizer):
    inputs = tokenizer("abc", return_tensors="pt")
    inputs.pop("token_type_ids", None)
    with torch.no_grad():
        out = model.generate(**inputs, do_sample=False, max_new_tokens=12, pad_token_id=1)
    return tokenizer.decode(out[0])


def check(store, name):
    original = AutoModelForCausalLM.from_pretrained(store.plain / name)
    mounted = AutoModelForCausalLM.from_pretrained(store.mnt / name)
    ok(mounted.dtype == torch.bfloat16, f"{name}: loaded as bf16", mounted.dtype)
    ok(equal(bits(mounted), bits(original)), f"{name}: every weight is equal to the bit")
    tokenizer = AutoTokenizer.from_pretrained(store.mnt / name)
    want = generated(original, AutoTokenizer.from_pretrained(store.plain / name))
    got = generated(mounted, tokenizer)
    ok(got == want, f"{name}: generates the same", f"got {got!r}, want {want!r}")


def check_differs(store):
    """The fine-tunes are not the base: a mount that mixed them up would be noticed."""
    base = bits(AutoModelForCausalLM.from_pretrained(store.mnt / "base"))
    for name in ("tune", "sharded", "few"):
        tune = bits(AutoModelForCausalLM.from_pretrained(store.mnt / name))
        ok(not equal(base, tune), f"{name}: differs from the base")


def check_save(store):
    """What was loaded from the mount is saved again as the same file."""
    out = store.root / "saved"
    AutoModelForCausalLM.from_pretrained(store.mnt / "tune").save_pretrained(out)
    same = (out / "model.safetensors").read_bytes() == \
        (store.plain / "tune" / "model.safetensors").read_bytes()
    ok(same, "tune: saved from the mount, the file is the original's")
    shutil.rmtree(out)


def main():
    store = Store()
    make_models(store)
    count = len(list(Path(store.plain / "sharded").glob("*.safetensors")))
    ok(count > 1, f"the sharded model has {count} shards")
    store.pack()
    size = (store.packs / "tune.tnpk").stat().st_size
    plain = (store.plain / "tune" / "model.safetensors").stat().st_size
    ok(size < plain / 2, f"the fine-tune's pack holds a delta: {size} of {plain} bytes")
    store.mount()
    for name in store.names():
        check(store, name)
    check_differs(store)
    check_save(store)
    ok(store.unmount() == 0, "the mount ends by fusermount3 -u")
    done()


if __name__ == "__main__":
    main()
