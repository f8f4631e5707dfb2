#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tokenizers of every kind, trained here: ids and decoded text are those of the library "tokenizers"."""

import json
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(os.environ.get("top_srcdir", ".")) / "tests/loaders"))
from harness import BUILD, done, ok, require  # noqa: E402

require("tokenizers")

from texts import documents, sources  # noqa: E402
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers  # noqa: E402
from tokenizers import pre_tokenizers as pre  # noqa: E402
from tokenizers import processors, trainers  # noqa: E402

RUN = BUILD / "tests/optimizer/tokenizer_run"
# Bytes of text for the kinds that are most common, and for the others. The library takes most of the time.
SIZE = int(os.environ.get("TP_TEXT_SIZE", 1_500_000))
SMALL = SIZE // 2

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
GPT4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
            r"|\s*[\r\n]+|\s+(?!\S)|\s+")
KIMI = (r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def special(name, **values):
    return AddedToken(name, special=True, **({"normalized": False} | values))


def byte_level(**values):
    return pre.ByteLevel(**({"add_prefix_space": False} | values))


def split(pattern, behavior="isolated", **values):
    return pre.Split(Regex(pattern), behavior, **values)


def bos(name, token_id=0):
    return processors.TemplateProcessing(single=f"{name} $A", pair=f"{name} $A {name}:1 $B:1", special_tokens=[(name, token_id)])


def bytes_kind(pre_tokenizer, normalizer=None, **values):
    return {"model": models.BPE(**values), "normalizer": normalizer, "pre_tokenizer": pre_tokenizer,
            "decoder": decoders.ByteLevel(), "alphabet": pre.ByteLevel.alphabet()}


def fallback_kind(normalizer, pre_tokenizer, decoder, **values):
    return {"model": models.BPE(**({"byte_fallback": True, "fuse_unk": True, "unk_token": "<unk>"} | values)),
            "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "decoder": decoder, "alphabet": [],
            "special": ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]}


def sequence(kind, *steps):
    return kind.Sequence(list(steps))


STRIPPED = (decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0))

# Name: the components; "added": further tokens; "size": bytes of text.
KINDS = {
    "gpt2": bytes_kind(byte_level()) | {"processor": processors.ByteLevel(trim_offsets=False), "size": SIZE,
                                        "added": [special("<|endoftext|>", normalized=True)]},
    "llama3": bytes_kind(sequence(pre, split(LLAMA3), byte_level(use_regex=False)), ignore_merges=True) | {
        "processor": sequence(processors, processors.ByteLevel(trim_offsets=False), bos("<|begin_of_text|>")), "size": SIZE,
        "special": ["<|begin_of_text|>", "<|end_of_text|>"], "added": [special("<|eot_id|>"), special("<|start_header_id|>")]},
    "qwen2": bytes_kind(sequence(pre, split(QWEN2), byte_level(use_regex=False)), normalizers.NFC()) | {
        "size": SIZE, "added": [special("<|endoftext|>"), special("<|im_start|>"), AddedToken("<tool_call>", normalized=False)]},
    "llama2": fallback_kind(sequence(normalizers, normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")), None,
                            sequence(decoders, *STRIPPED)) | {"processor": bos("<s>", 1), "size": SIZE},
    "gemma": fallback_kind(normalizers.Replace(" ", "\u2581"), pre.Split(" ", "merged_with_previous"),
                           sequence(decoders, *STRIPPED[:3])) | {
        "size": SIZE, "added": [special("<bos>"), special("<start_of_turn>")] +
        [AddedToken(s * n, normalized=False) for s in ("\n", "\t", "\u2581") for n in range(2, 9)]},
    "mistral": fallback_kind(None, pre.Metaspace(prepend_scheme="first", split=False), sequence(decoders, *STRIPPED)),
    "metaspace": fallback_kind(normalizers.NFKC(), pre.Metaspace(prepend_scheme="always", split=True), decoders.Metaspace(),
                               byte_fallback=False) | {"added": [AddedToken("x'", normalized=True), special("<a>", lstrip=True)]},
    "never": fallback_kind(None, pre.Metaspace(prepend_scheme="never"), decoders.Metaspace(prepend_scheme="never"), fuse_unk=False,
                           byte_fallback=False),
    "neox": bytes_kind(byte_level(add_prefix_space=True), normalizers.NFC()) | {
        "added": [AddedToken(" " * n, normalized=True) for n in range(2, 25)] + [special("<|padding|>", rstrip=True, lstrip=True)]},
    "gpt4o": bytes_kind(sequence(pre, split(GPT4O), byte_level(use_regex=False))),
    "deepseek": bytes_kind(sequence(pre, split(r"\p{N}{1,3}"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"), split(DEEPSEEK),
                                    byte_level(use_regex=False))),
    "kimi": bytes_kind(sequence(pre, split(KIMI), byte_level(use_regex=False))),
    "starcoder": bytes_kind(sequence(pre, pre.Digits(True), byte_level())),
    "clip": {"model": models.BPE(end_of_word_suffix="</w>", unk_token="<|end|>"), "decoder": decoders.BPEDecoder("</w>"),
             "normalizer": sequence(normalizers, normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()),
             "pre_tokenizer": sequence(pre, split(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", "removed", invert=True),
                                       byte_level()),
             "alphabet": pre.ByteLevel.alphabet(), "suffix": "</w>", "special": ["<|end|>"],
             "processor": processors.RobertaProcessing(("<|end|>", 0), ("<|end|>", 0))},
    "words": {"model": models.BPE(unk_token="[UNK]", continuing_subword_prefix="##"), "decoder": None, "prefix": "##",
              "normalizer": normalizers.BertNormalizer(), "pre_tokenizer": pre.BertPreTokenizer(), "alphabet": [], "special": ["[UNK]"],
              "processor": processors.BertProcessing(("[UNK]", 0), ("[UNK]", 0)),
              "added": [AddedToken("the", single_word=True), AddedToken("Of", single_word=True, lstrip=True, rstrip=True)]},
    "splits": fallback_kind(sequence(normalizers, normalizers.NFD(), normalizers.StripAccents(), normalizers.Strip()),
                            sequence(pre, pre.WhitespaceSplit(), pre.Punctuation("contiguous"), pre.Digits(False),
                                     pre.CharDelimiterSplit("e"), split("[aou]+", "merged_with_next"), split("t", "merged_with_previous"),
                                     split("[^hr]+", "contiguous", invert=True)), None),
    "whitespace": fallback_kind(sequence(normalizers, normalizers.Nmt(), normalizers.NFKD(), normalizers.Replace("th", "<>")),
                                sequence(pre, pre.Whitespace(), pre.Split("n", "removed")), sequence(decoders, decoders.Fuse()),
                                byte_fallback=False),
    "alphabet": {"model": models.BPE(), "normalizer": normalizers.ByteLevel(), "pre_tokenizer": split(r"\w+|\W"), "alphabet": [],
                 "decoder": decoders.ByteLevel()},
}


def train(kind, directory):
    tokenizer = Tokenizer(kind["model"])
    for name in ("normalizer", "pre_tokenizer", "decoder"):
        if kind.get(name):
            setattr(tokenizer, name, kind[name])
    trainer = trainers.BpeTrainer(
        vocab_size=6000, show_progress=False, special_tokens=kind.get("special", []), initial_alphabet=list(kind["alphabet"]),
        limit_alphabet=400, max_token_length=24, **({"continuing_subword_prefix": kind["prefix"]} if "prefix" in kind else {}),
        **({"end_of_word_suffix": kind["suffix"]} if "suffix" in kind else {}))
    sample = [s[:20000].decode("utf-8", "replace") for s in sources()[:60]]
    lines = [line for s in sample for line in s.splitlines(keepends=True)]
    tokenizer.train_from_iterator(lines, trainer)
    for token in kind.get("added", []):
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
    if kind.get("processor"):
        tokenizer.post_processor = kind["processor"]
    tokenizer.save(str(directory / "tokenizer.json"))
    return Tokenizer.from_file(str(directory / "tokenizer.json"))


def legacy_merges(directory):
    """The merges as strings, the form of older files."""
    path = directory / "tokenizer.json"
    data = json.loads(path.read_text("utf-8"))
    if all(" " not in a + b for a, b in data["model"]["merges"]):
        data["model"]["merges"] = [f"{a} {b}" for a, b in data["model"]["merges"]]
        path.write_text(json.dumps(data), "utf-8")


def run(action, directory, records, width):
    data = b"".join(struct.pack("<I", len(r) // width) + r for r in records)
    result = subprocess.run([RUN, action, directory], input=data, capture_output=True, check=False)
    if result.returncode:
        return [result.stderr.decode("utf-8", "replace")] * len(records)
    out, at, width = [], 0, 5 - width
    while at < len(result.stdout):
        (n,) = struct.unpack_from("<I", result.stdout, at)
        at += 4
        if n == 0xffffffff:
            (n,) = struct.unpack_from("<I", result.stdout, at)
            out.append(result.stdout[at + 4:at + 4 + n].decode())
            at += 4 + n
            continue
        out.append(result.stdout[at:at + n * width])
        at += n * width
    return out


def packed(ids):
    return struct.pack(f"<{len(ids)}I", *ids)


def difference(name, raw, got, want):
    """Where two lists of ids begin to differ."""
    if isinstance(got, str):
        return f"{name}: {got}"
    got = struct.unpack(f"<{len(got) // 4}I", got)
    want = struct.unpack(f"<{len(want) // 4}I", want)
    at = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
    return f"{name}: {len(raw)} bytes {raw[:60]!r}: from id {at} of {len(want)}: got {got[at:at + 8]}, want {want[at:at + 8]}"


def check(name, kind, directory):
    tokenizer = train(kind, directory)
    if name in ("gpt2", "gemma"):
        legacy_merges(directory)
    names = [t.content for t in tokenizer.get_added_tokens_decoder().values()][-12:]
    docs = documents(kind.get("size", SMALL), names, name)
    texts = [d.decode("utf-8", "replace") for d in docs]
    want = [packed(e.ids) for e in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
    got = run("encode", directory, docs, 1)
    bad = [difference(name, *x) for x in zip(docs, got, want) if x[1] != x[2]]
    ok(len(got) == len(want) and not bad, f"{name}: ids of {sum(map(len, docs))} bytes", "\n".join(bad[:5]))
    some = slice(1, 40)
    want = [packed(tokenizer.encode(t).ids) for t in texts[some]]
    got = run("encode-special", directory, docs[some], 1)
    ok(got == want, f"{name}: with special tokens")
    # What a text decodes to, and what ids at random decode to.
    ids = [want[i] for i in range(len(want))]
    ids += [bytes(b for i in range(700) for b in struct.pack("<I", (i * i * 7919 + i * k) % (tokenizer.get_vocab_size() + 3)))
            for k in range(1, 20)]
    lists = [list(struct.unpack(f"<{len(i) // 4}I", i)) for i in ids if i]
    ids = [i for i in ids if i]
    for action, skip in (("decode", False), ("decode-skip", True), ("stream", False)):
        want = [tokenizer.decode(i, skip_special_tokens=skip).encode() for i in lists]
        got = run(action, directory, ids, 4)
        bad = [f"{g[:80]!r}, want {w[:80]!r}" for g, w in zip(got, want) if g != w]
        ok(got == want, f"{name}: {action}", "\n".join(bad[:4]))


def main():
    wanted = sys.argv[1:] or KINDS
    with tempfile.TemporaryDirectory() as directory:
        for name in wanted:
            folder = Path(directory) / name
            folder.mkdir()
            check(name, KINDS[name], folder)
    done()


main()
