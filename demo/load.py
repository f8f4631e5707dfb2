#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Loads models with unmodified safetensors, from the mount and from the original, and compares.

    load.py MOUNTED ORIGINAL        every tensor, bit for bit
    load.py --generate MODEL...     transformers: a few words from each model
"""

import sys
from pathlib import Path


def tensors(directory):
    """{name: array} of a model directory, all shards together."""
    import ml_dtypes  # noqa: F401  (tells numpy what bfloat16 is)
    from safetensors import safe_open
    out = {}
    for shard in sorted(Path(directory).glob("*.safetensors")):
        with safe_open(shard, framework="np") as file:
            for name in file.keys():
                out[name] = file.get_tensor(name)
    return out


def compare(mounted, original):
    ours, theirs = tensors(mounted), tensors(original)
    if ours.keys() != theirs.keys():
        sys.exit(f"{mounted}: the names of the tensors differ")
    for name, array in ours.items():
        other = theirs[name]
        if (array.dtype, array.shape) != (other.dtype, other.shape) \
                or array.tobytes() != other.tobytes():
            sys.exit(f"{mounted}: tensor {name} differs")
    count = sum(a.size for a in ours.values())
    print(f"  {Path(mounted).name}: {len(ours)} tensors, {count:,} values, equal to the bit")


def generate(directories):
    from transformers.utils import logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    for seed, directory in enumerate(directories, 1):
        try:
            text = continued(directory, "It was a", seed)
        except Exception as error:  # the user's model may be of any kind
            sys.exit(f"{Path(directory).name}: {str(error).splitlines()[0]}")
        print(f"  {Path(directory).name}: {text}")


def continued(directory, prompt, seed):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForCausalLM.from_pretrained(directory)
    torch.manual_seed(seed)
    inputs = tokenizer(prompt, return_tensors="pt")
    inputs.pop("token_type_ids", None)
    out = model.generate(**inputs, do_sample=True, temperature=0.6, max_new_tokens=40,
                         pad_token_id=model.config.eos_token_id)
    return " ".join(tokenizer.decode(out[0], skip_special_tokens=True).split())


def main(arguments):
    if len(arguments) > 1 and arguments[0] == "--generate":
        generate(arguments[1:])
    elif len(arguments) == 2:
        compare(*arguments)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
