# SPDX-License-Identifier: MIT
"""load_model.py DIR CLASS: how long unmodified transformers takes to load the model in DIR, as JSON: seconds until
from_pretrained is done, which leaves the weights as a mapping, and until each weight was read; and their sum."""

import json
import sys
import time

import torch
import transformers


def total(tensor):
    flat = tensor.detach().reshape(-1)
    return int(flat.view(torch.uint8 if flat.nbytes % 8 else torch.int64).sum())


def main():
    directory, name = sys.argv[1:]
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    # Its module is imported here, and not while the clock runs.
    model_class = getattr(transformers, name)
    begin = time.monotonic()
    model = model_class.from_pretrained(directory)
    loaded = time.monotonic()
    weights = sum(total(p) for p in model.parameters())
    print(json.dumps({"load": loaded - begin, "used": time.monotonic() - begin, "sum": weights}))


if __name__ == "__main__":
    main()
