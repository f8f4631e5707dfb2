# SPDX-License-Identifier: MIT
"""Mixed text for tests of tokenizers, the same in every run: documents as bytes, some of them ill-formed."""

import os
import random
from pathlib import Path

TOP = Path(os.environ.get("top_srcdir", "."))

# Ranges of characters; a document uses one of these lists, with ASCII in between.
SCRIPTS = {
    "chinese": [(0x4e00, 0x9fff), (0x3000, 0x303f), (0xff00, 0xffef), (0x3400, 0x4dbf), (0x20000, 0x2a6df)],
    "japanese": [(0x3041, 0x30ff), (0x4e00, 0x5fff), (0x3099, 0x309a)],
    "korean": [(0xac00, 0xd7a3), (0x1100, 0x11ff)],
    "arabic": [(0x621, 0x64a), (0x64b, 0x65f), (0x660, 0x669), (0x6d4, 0x6ed), (0xfb50, 0xfdff)],
    "cyrillic": [(0x400, 0x4ff)],
    "greek": [(0x370, 0x3ff), (0x1f00, 0x1fff)],
    "devanagari": [(0x900, 0x97f)],
    "hebrew": [(0x591, 0x5f4)],
    "thai": [(0xe01, 0xe5b)],
    "latin": [(0xa1, 0x24f), (0x1e00, 0x1eff)],
    "emoji": [(0x1f300, 0x1faff), (0x2600, 0x27bf), (0x1f1e6, 0x1f1ff), (0x1f3fb, 0x1f3ff), (0xfe0f, 0xfe0f), (0x200d, 0x200d)],
    "marks": [(0x300, 0x36f), (0x61, 0x7a), (0xc0, 0xff), (0x1ab0, 0x1ace), (0x20d0, 0x20f0)],
    "symbols": [(0x2000, 0x2bff), (0x2160, 0x218b), (0x2460, 0x24ff), (0x1d400, 0x1d7ff)],
    "old": [(0x10000, 0x10fff), (0x12000, 0x123ff), (0x13000, 0x1342f)],
    "all": [(0x80, 0xd7ff), (0xe000, 0x2ffff), (0xe0000, 0xe01ff), (0x10fff0, 0x10ffff)],
}
SPACES = [" ", "  ", "   ", " " * 7, " " * 40, "\n", "\n\n", "\r\n", "\t", "\t\t", " \n", "\n  ", "\u00a0", "\u2009", "\u3000",
          "\u0085", "\u2028", "\u180e", "\u200b", "\v", "\f", "\x1c"]
CONTRACTIONS = ["it's", "I'm", "we'll", "they'VE", "don'T", "'Re", "'s", "x'\u017f", "'d've", "\u2019s", "IT'S"]


def sources():
    """The prose and the code that come with the program."""
    names = sorted((TOP / "demo/text").glob("*.txt"))
    for folder in ("base", "codec", "store", "tests/store", "tests/base", "doc", "man", "bench"):
        names += sorted((TOP / folder).rglob("*.[chmp1]*"))
    return [n.read_bytes() for n in names if n.is_file() and n.stat().st_size]


def script_text(rng, ranges, size, word=9):
    out = []
    while size > 0:
        n = rng.randint(1, word)
        low, high = rng.choice(ranges)
        out += [chr(rng.randint(low, high)) for _ in range(n)]
        out.append(rng.choice(SPACES) if rng.random() < 0.1 else rng.choice((" ", " ", ".", ",", "", "1", "a")))
        size -= n
    return "".join(out)


def odd_text(rng, size, tokens):
    """Digits, blanks, contractions, ASCII at random, names of tokens."""
    out = []
    while size > 0:
        kind = rng.randint(0, 6)
        if kind == 0:
            part = str(rng.randint(0, 10 ** rng.randint(1, 20)))
        elif kind == 1:
            part = "".join(rng.choice(SPACES) for _ in range(rng.randint(1, 4)))
        elif kind == 2:
            part = rng.choice(CONTRACTIONS)
        elif kind == 3:
            part = "".join(chr(rng.randint(0, 127)) for _ in range(rng.randint(1, 12)))
        elif kind == 4 and tokens:
            part = rng.choice(SPACES[:4] + [""]) + rng.choice(tokens) + rng.choice(SPACES[:4] + [""])
        elif kind == 5:
            part = rng.choice("abcxyzABC\u00e9\u4e2d _-") * rng.randint(1, 60)
        else:
            part = "".join(rng.choice("etaoin shrdlu") for _ in range(rng.randint(1, 12)))
        out.append(part)
        size -= len(part)
    return "".join(out)


def damage(rng, raw):
    """Bytes put in, taken out and changed."""
    raw = bytearray(raw)
    for _ in range(len(raw) // 40 + 1):
        at = rng.randrange(len(raw))
        raw[at:at + rng.randint(0, 2)] = bytes(rng.choice((0x80, 0xbf, 0xc0, 0xc3, 0xe2, 0xed, 0xa0, 0xf0, 0xf4, 0xf5, 0xff, 0x41, 0xe4))
                                               for _ in range(rng.randint(0, 3)))
    return bytes(raw)


def documents(size, tokens, seed):
    """About SIZE bytes. TOKENS: names of added tokens, which stand in the text too."""
    rng = random.Random(seed)
    files = sources()
    out, total = [b"", b" ", b"a", b"\xff", b"\n", "\u00e9".encode()], 0
    for name, ranges in SCRIPTS.items():
        out.append(script_text(rng, ranges, 6500).encode())
        out.append(damage(rng, script_text(rng, ranges, 1500).encode()))
    for i in range(12):
        text = odd_text(rng, 20000, tokens).encode()
        out.append(damage(rng, text) if i % 3 == 0 else text)
    total = sum(map(len, out))
    rng.shuffle(files)
    while total < size:
        raw = files[len(out) % len(files)]
        begin = rng.randrange(max(1, len(raw) - 1000))
        raw = raw[begin:begin + rng.choice((3000, 30000, 300000))]
        if rng.random() < 0.05:
            raw = damage(rng, raw)
        out.append(raw)
        total += len(raw)
    # One that is longer than what the program looks at together.
    rng.shuffle(out)
    half = len(out) // 2
    return [b"".join(out[:half])] + out[half:]
