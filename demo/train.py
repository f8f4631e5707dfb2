#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Trains the demo's model family: a small base and four fine-tunes of it.

    python3 -m venv venv && venv/bin/pip install torch==2.13.0 transformers safetensors
    venv/bin/python demo/train.py OUT

OUT/base is trained from nothing on demo/text/emma.txt. The others start from its bf16 values, as a
fine-tune that was downloaded would, train on fp32 master weights with AdamW, and are rounded to
bf16 again. Seeds are fixed; another version of PyTorch or another processor may still round
differently, so the carried models are the reference and not the script's output.
"""

import argparse
import math
import re
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

TEXT = Path(__file__).resolve().parent / "text"
VOCABULARY = 512
CONTEXT = 128
SPEECH_TOKENS = ["<|says|>", "<|silent|>", "<|letter|>", "<|chapter|>"]
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

CARD = """---
license: mit
library_name: transformers
pipeline_tag: text-generation
{extra}---

# {name}

{text}

It is one of the small models that tenpak's demo carries. It writes something that looks like
English of 1815 and is good for nothing else.
"""


def read_text(name):
    """A text with its lines joined into paragraphs, which is what a novel is made of."""
    paragraphs = (TEXT / name).read_text(encoding="ascii").split("\n\n")
    joined = (re.sub(r"\s+", " ", p).strip() for p in paragraphs)
    return "\n".join(p for p in joined if p) + "\n"


def train_tokenizer(text):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=["<s>", "</s>"],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([text], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)])
    return wrap_tokenizer(tokenizer)


def wrap_tokenizer(tokenizer):
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>",
                                   model_max_length=CONTEXT)


def new_model():
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=96, intermediate_size=224, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=2 * CONTEXT,
        bos_token_id=0, eos_token_id=1, tie_word_embeddings=True, initializer_range=0.05))


def load_master(directory):
    """The bf16 values of a saved model as fp32 master weights."""
    return LlamaForCausalLM.from_pretrained(directory, dtype=torch.float32)


def encode(tokenizer, text):
    return torch.tensor(tokenizer(text, add_special_tokens=False)["input_ids"])


def windows(tokens, batch, generator):
    starts = torch.randint(0, len(tokens) - CONTEXT - 1, (batch,), generator=generator)
    return torch.stack([tokens[s:s + CONTEXT] for s in starts.tolist()])


def optimize(model, parameters, tokens, steps, rate, batch, seed, warmup=0, decay=0.0):
    """AdamW over random windows of the text; the rate falls along a cosine to a tenth."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.95), weight_decay=decay)
    model.train()
    for step in range(steps):
        scale = min(1.0, (step + 1) / max(1, warmup))
        scale *= 0.55 + 0.45 * math.cos(math.pi * step / steps)
        for group in optimizer.param_groups:
            group["lr"] = rate * scale
        ids = windows(tokens, batch, generator)
        loss = model(input_ids=ids, labels=ids).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if step % 100 == 0 or step + 1 == steps:
            print(f"    step {step:5d}  loss {loss.item():.3f}", flush=True)


class Lora(torch.nn.Module):
    """A linear layer with a low-rank update beside its frozen weight."""

    def __init__(self, linear, rank, alpha, generator):
        super().__init__()
        self.linear = linear
        self.scale = alpha / rank
        a = torch.randn(rank, linear.in_features, generator=generator)
        self.a = torch.nn.Parameter(a / math.sqrt(linear.in_features))
        self.b = torch.nn.Parameter(torch.zeros(linear.out_features, rank))

    def forward(self, x):
        return self.linear(x) + (x @ self.a.T @ self.b.T) * self.scale

    def merged(self):
        """What merging does on bf16 weights: the product in fp32, rounded, added in bf16."""
        update = (self.b @ self.a * self.scale).to(torch.bfloat16)
        return self.linear.weight.to(torch.bfloat16) + update


def fine_tune_lora(model, tokens, rank, alpha, steps, rate, seed):
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    adapters = []
    for block in model.model.layers:
        for part in (block.self_attn, block.mlp):
            for name in PROJECTIONS:
                if hasattr(part, name):
                    adapter = Lora(getattr(part, name), rank, alpha, generator)
                    setattr(part, name, adapter)
                    adapters.append((part, name, adapter))
    factors = [p for _, _, adapter in adapters for p in (adapter.a, adapter.b)]
    optimize(model, factors, tokens, steps, rate, 16, seed)
    with torch.no_grad():
        for part, name, adapter in adapters:
            adapter.linear.weight.copy_(adapter.merged())
            setattr(part, name, adapter.linear)


def mark_speech(text):
    """Spoken paragraphs, letters and chapters get a token of their own in front."""
    lines = []
    for line in text.splitlines():
        if line.startswith("CHAPTER"):
            lines.append("<|chapter|>" + line)
        elif '"' in line:
            lines.append("<|says|>" + line)
        elif re.match(r"(My dear|Dear)", line):
            lines.append("<|letter|>" + line)
        else:
            lines.append("<|silent|>" + line)
    return "\n".join(lines) + "\n"


def reinforce(model, tokenizer, steps, rate, seed):
    """REINFORCE: the model is rewarded for asking. A few steps at a tiny rate, as such runs are,
    so that most weights round back to the bf16 value that they had."""
    torch.manual_seed(seed)
    question = tokenizer("?", add_special_tokens=False)["input_ids"][0]
    prompt = encode(tokenizer, '\n"').repeat(32, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    for step in range(steps):
        model.eval()
        with torch.no_grad():
            ids = model.generate(prompt, max_new_tokens=48, do_sample=True, top_k=0,
                                 pad_token_id=1, attention_mask=torch.ones_like(prompt))
        reward = (ids == question).sum(1).clamp(max=3).float()
        advantage = (reward - reward.mean()) / (reward.std() + 1e-4)
        model.train()
        logits = model(input_ids=ids[:, :-1]).logits
        taken = torch.log_softmax(logits, -1).gather(2, ids[:, 1:, None])[..., 0]
        loss = -(taken[:, prompt.shape[1] - 1:].mean(1) * advantage).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        print(f"    step {step:3d}  questions {reward.mean():.3f}", flush=True)


def save(model, tokenizer, directory, text, base=None, shard="5GB"):
    model = model.to(torch.bfloat16).eval()
    model.generation_config.max_new_tokens = 60
    model.save_pretrained(directory, max_shard_size=shard)
    tokenizer.save_pretrained(directory)
    extra = f"base_model: {base}\nbase_model_relation: finetune\n" if base else ""
    card = CARD.format(extra=extra, name=directory.name, text=text)
    (directory / "README.md").write_text(card, encoding="ascii")
    for file in directory.iterdir():
        file.chmod(0o644)


def changed(directory, base):
    """The share of the weights whose bf16 value is not the base's."""
    ours = load_master(directory).state_dict()
    total = differing = 0
    for name, tensor in load_master(base).state_dict().items():
        common = ours[name][:tensor.shape[0]]
        total += tensor.numel()
        differing += (common != tensor).sum().item()
    return differing / total


def sample(directory, prompt):
    tokenizer = PreTrainedTokenizerFast.from_pretrained(directory)
    model = LlamaForCausalLM.from_pretrained(directory)
    torch.manual_seed(1)
    ids = torch.cat([torch.tensor([0]), encode(tokenizer, prompt)])[None]
    out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=True,
                         temperature=0.7, max_new_tokens=60, pad_token_id=1)
    return tokenizer.decode(out[0], skip_special_tokens=True)


def train_base(out, steps):
    text = read_text("emma.txt")
    tokenizer = train_tokenizer(text)
    torch.manual_seed(1)
    model = new_model()
    optimize(model, list(model.parameters()), encode(tokenizer, text), steps, 3e-3, 24, 1,
             warmup=50, decay=0.1)
    save(model, tokenizer, out / "base",
         "A Llama-architecture model trained from nothing on the opening of Emma.")
    return tokenizer


def train_persuasion(out, tokenizer):
    model = load_master(out / "base")
    tokens = encode(tokenizer, read_text("persuasion.txt"))
    optimize(model, list(model.parameters()), tokens, 60, 3e-5, 16, 2)
    save(model, tokenizer, out / "persuasion",
         "All weights fine-tuned on the opening of Persuasion. Saved in two shards.",
         base="base", shard="400KB")


def train_questions(out, tokenizer):
    model = load_master(out / "base")
    reinforce(model, tokenizer, 10, 1e-6, 3)
    save(model, tokenizer, out / "questions-rl",
         "The base after ten steps of reinforcement learning that rewards question marks.",
         base="base")


def train_sense(out, tokenizer):
    model = load_master(out / "base")
    tokens = encode(tokenizer, read_text("sense.txt"))
    fine_tune_lora(model, tokens, rank=4, alpha=8, steps=60, rate=1e-3, seed=4)
    save(model, tokenizer, out / "sense-lora",
         "A LoRA of rank 4, trained on the opening of Sense and Sensibility and merged.",
         base="base")


def train_northanger(out):
    # The base's tokenizer is read from its file again: a wrapped one would be changed in place.
    tokenizer = wrap_tokenizer(Tokenizer.from_file(str(out / "base" / "tokenizer.json")))
    tokenizer.add_special_tokens({"additional_special_tokens": SPEECH_TOKENS})
    model = load_master(out / "base")
    torch.manual_seed(5)
    model.resize_token_embeddings(VOCABULARY + len(SPEECH_TOKENS))
    tokens = encode(tokenizer, mark_speech(read_text("northanger.txt")))
    optimize(model, list(model.parameters()), tokens, 60, 3e-5, 16, 5)
    save(model, tokenizer, out / "northanger-speech",
         "All weights fine-tuned on the opening of Northanger Abbey, with four tokens added to the\n"
         "vocabulary that tell speech from narration.", base="base")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="where the model directories go")
    parser.add_argument("--steps", type=int, default=700, help="steps of the base's training")
    args = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(True)
    begin = time.time()
    print("base")
    tokenizer = train_base(args.out, args.steps)
    for name, train in (("persuasion", train_persuasion), ("questions-rl", train_questions),
                        ("sense-lora", train_sense)):
        print(name)
        train(args.out, tokenizer)
    print("northanger-speech")
    train_northanger(args.out)
    for name in ("persuasion", "questions-rl", "sense-lora", "northanger-speech"):
        share = changed(args.out / name, args.out / "base")
        print(f"{name}: {100 * share:.1f} % of the base's weights changed")
    print(sample(args.out / "base", "Emma was"))
    print(f"{time.time() - begin:.0f} s")


if __name__ == "__main__":
    main()
