#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Rules about sources: sources.py TOP prints TAP, with one check for each rule."""

import os
import re
import subprocess
import sys

LAYERS = ["base", "tensor", "codec", "store", "optimizer", "control", "fs", "serve", "cli"]
SIBLINGS = ["fs", "serve"]  # both stand on control; neither knows the other
# Within store/: what of it each of these may include, beside itself. They look down only.
STORE = {
    "pack": ["names", "place"],
    "engine": ["pack"],
    "code": [],
    "model": ["engine", "names", "pack", "place", "reader", "store"],
    "match": ["code", "model", "names", "pack", "place", "store"],
    "write": ["attrs", "code", "match", "model", "names", "pack", "pipeline", "restored", "store", "verify"],
}
FILE_LINES = 700
FUNCTION_LINES = 100
BANNED = ["sprintf", "vsprintf", "strcpy", "strcat", "atoi", "atol", "gets", "alloca", "strtok"]
# Spelt in pieces, so that this file does not find itself.
PLACES = ["/" + "work/", "/" + "root/", "/home/[a-z]+/src", "pypi" + r"\.org", "python" + "hosted",
          "download\\." + "pytorch"]
BINARY = {".safetensors", ".tnpk", ".png", ".xz", ".gz", ".bin", ".model"}


def files_of(top):
    """What git tracks; without git (a tarball) every file but what a build makes."""
    try:
        out = subprocess.run(["git", "-C", top, "ls-files", "-z", "--cached"], capture_output=True, check=True)
        names = [os.fsdecode(n) for n in out.stdout.split(b"\0") if n]
        if names:
            return sorted(n for n in names if os.path.isfile(os.path.join(top, n)))
    except (OSError, subprocess.CalledProcessError):
        pass
    generated = {"configure", "aclocal.m4", "Makefile.in", "config.h.in", "libtool.m4"}
    found = []
    for folder, folders, names in os.walk(top):
        folders[:] = [f for f in folders if f not in ("build-aux", "autom4te.cache", ".git")
                      and not f.startswith("build")]
        for name in names:
            if name in generated or re.match(r"lt.*\.m4$", name):
                continue
            found.append(os.path.relpath(os.path.join(folder, name), top))
    return sorted(found)


def without_comments(text):
    """The same lines with comments and the insides of literals blanked out."""
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''

    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0)) if match.group(0)[0] == "/" else '""'

    return re.sub(pattern, blank, text, flags=re.S)


def includes(text):
    return re.findall(r'^[ \t]*#[ \t]*include[ \t]*([<"][^>"]+)', text, flags=re.M)


def check_layers(sources):
    for path, text in sources.items():
        own = path.split("/")[0]
        if own not in LAYERS:
            continue
        for name in includes(text):
            other = name[1:].split("/")[0]
            if name[0] == "<":
                if other in LAYERS:
                    yield f"{path}: {name}> is ours: include it with quotes"
            elif "/" not in name:
                yield f'{path}: "{name[1:]}" does not say its layer'
            elif other not in LAYERS:
                yield f'{path}: "{name[1:]}" is of no layer'
            elif LAYERS.index(other) > LAYERS.index(own) or (own != other and {own, other} <= set(SIBLINGS)):
                yield f'{path}: {own}/ must not know "{name[1:]}"'
        if own in LAYERS[:LAYERS.index("fs")] and re.search(r"#\s*include\s*<fuse", text):
            yield f"{path}: FUSE belongs to fs/"
        if own in ("base", "tensor", "store", "codec", "optimizer", "control", "fs", "serve"):
            clean = without_comments(text)
            for word in ("exit", "_exit", "printf", "perror", "abort"):
                if re.search(r"(?<![\w>.])%s\s*\(" % word, clean) and "noreturn" not in clean:
                    if not re.search(r"format\s*\(\s*printf|__printf__", clean) or word != "printf":
                        yield f"{path}: {word}() does not belong below cli/"


def check_store(sources):
    for path, text in sources.items():
        match = re.match(r"store/(\w+?)(?:_impl|_read)?[./]", path)
        own = match and match.group(1)
        for name in includes(text) if own in STORE else []:
            other = re.match(r'"store/(\w+?)(?:_impl)?[./]', name)
            if other and other.group(1) != own and other.group(1) not in STORE[own]:
                yield f'{path}: store/{own} must not know "{name[1:]}"'


def check_codecs(sources):
    """
    A codec is a folder in codec/ and a line in its registry: nobody else names one. The formats of
    codec/quant/ have an interface of their own.
    """
    for path, text in sources.items():
        if path.startswith(("codec/", "tests/", "bench/")):
            continue
        for name in includes(text):
            if re.match(r'"codec/(?!quant/(quant|method|hessian|chunk)\.h)\w+/', name):
                yield f'{path}: "{name[1:]}" is inside a codec'
        for word in set(re.findall(r"\bTP_CODEC_[A-Z0-9]+\b", without_comments(text))):
            if word not in ("TP_CODEC_RAW", "TP_CODEC_SAME", "TP_CODEC_COUNT"):
                yield f"{path}: {word} names a codec"


def check_banned(sources):
    pattern = re.compile(r"(?<![\w])(%s)\s*\(" % "|".join(BANNED))
    for path, text in sources.items():
        for number, line in enumerate(without_comments(text).split("\n"), 1):
            match = pattern.search(line)
            if match:
                yield f"{path}:{number}: {match.group(1)}"


def check_heads(sources):
    for path, text in sources.items():
        if not text.startswith("/* SPDX-License-Identifier: MIT */\n/*"):
            yield f"{path}: SPDX line, then a comment that says what the file is for"
        # Examples for embedders have no config.h.
        if path.endswith(".c") and not path.startswith("doc/"):
            first = (includes(text) or ["nothing"])[0]
            if first != "<config.h":
                yield f"{path}: config.h must be included first"
        if path.endswith(".h") and not re.search(r"^#ifndef (TP_\w+_H|TENPAK_H)\n#define \1$", text, flags=re.M):
            yield f"{path}: no guard TP_..._H"


def check_comments(sources):
    for path, text in sources.items():
        literal_free = re.sub(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'',
                              lambda m: re.sub(r"[^\n]", " ", m.group(0)), text, flags=re.S)
        for number, line in enumerate(literal_free.split("\n"), 1):
            if "//" in line:
                yield f"{path}:{number}: a comment of the other kind"
        for number, line in enumerate(text.split("\n"), 1):
            if re.search(r"\b(TODO|FIXME|XXX)\b", line):
                yield f"{path}:{number}: unfinished business"


def functions(text):
    """(line, name, number of lines), by the brace style: a body begins and ends in column one."""
    lines = without_comments(text).split("\n")
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line == "}" and start:
            head = " ".join(lines[max(0, start - 6):start - 1])
            names = re.findall(r"(\w+)\s*\(", head)
            words = [n for n in names if n not in ("__attribute__", "target", "format", "optimize")]
            yield start, words[-1] if words else "?", number - start + 1
            start = None


def definitions(text):
    """Names of the functions that a .c or .cu file defines and that are not static."""
    pattern = r"^(?!static\b)[a-zA-Z_][^;{}()=]*?(?:__attribute__\(\(.*?\)\)[^;{}()=]*?)?\b(tp_\w+)\([^;{}]*\)\s*\n\{"
    return re.findall(pattern, without_comments(text), flags=re.M)


def declarations(text):
    """(name, name of the .c file in the last line above of the form /* --- NAME.c --- */, or "")."""
    lines, clean = text.split("\n"), without_comments(text)
    for match in re.finditer(r"^(?!static\b|typedef\b)[a-zA-Z_][^;{}()=#]*?\b(tp_\w+)\([^;{}]*\)[^;{}]*;",
                             clean, flags=re.M):
        above = "\n".join(lines[:clean.count("\n", 0, match.start())])
        marks = re.findall(r"^/\* --- (\w+\.c)(?:: .*)? --- \*/$", above, flags=re.M)
        yield match.group(1), marks[-1] if marks else ""


def check_places_of_functions(sources):
    """A function that NAME.h declares is defined in NAME.c, or in the file that a line above it names."""
    defined = {}
    for path, text in sources.items():
        if path.endswith((".c", ".cu")) and path.split("/")[0] in LAYERS:
            for name in definitions(text):
                defined.setdefault(name, set()).add(path)
    for path, text in sources.items():
        if not path.endswith(".h") or path.split("/")[0] not in LAYERS:
            continue
        for name, mark in declarations(text):
            file = os.path.join(os.path.dirname(path), mark) if mark else path[:-2] + ".c"
            found = defined.get(name, set())
            if not found:
                yield f"{path}: {name} is defined nowhere"
            elif file not in found and file + "u" not in found:
                yield f"{path}: {name} is defined in {', '.join(sorted(found))}: a line /* --- FILE.c --- */ must name it"


def exempt_functions(top):
    names = set()
    with open(os.path.join(top, "tests/lint/long-functions.txt"), encoding="utf-8") as f:
        for line in f:
            words = line.split(None, 2)
            if words and words[0] != "#" and len(words) == 3:
                names.add((words[0], words[1]))
    return names


def check_lengths(sources, top):
    exempt = exempt_functions(top)
    for path, text in sources.items():
        lines = text.count("\n")
        if lines > FILE_LINES:
            yield f"{path}: {lines} lines"
        for number, name, length in functions(text):
            if length > FUNCTION_LINES and (path, name) not in exempt and not path.startswith("tests/"):
                yield f"{path}:{number}: {name} has {length} lines"


def check_places(top, names):
    pattern = re.compile("|".join(PLACES))
    for name in names:
        if os.path.splitext(name)[1] in BINARY or name.startswith("demo/text") or "/corpus/" in name:
            continue
        with open(os.path.join(top, name), "rb") as f:
            raw = f.read()
        if b"\0" in raw:
            continue
        for number, line in enumerate(raw.decode("utf-8", "replace").split("\n"), 1):
            match = pattern.search(line)
            if match:
                yield f"{name}:{number}: {match.group(0)}"
            if re.search("[\U0001f300-\U0001faff]", line):
                yield f"{name}:{number}: a pictograph"


def check_test_names(names):
    """make check keeps one log for each name without its ending: two tests of one log are one."""
    stems = {}
    for name in names:
        stem, ending = os.path.splitext(name)
        if stem.startswith("tests/") and stem.endswith("_test") and ending in (".c", ".py", ".sh"):
            if stem in stems:
                yield f"{name}: has the log of {stems[stem]}"
            stems[stem] = name


def main():
    top = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("top_srcdir", ".")
    names = files_of(top)
    sources = {}
    for name in names:
        if name.endswith((".c", ".h", ".cu")):
            with open(os.path.join(top, name), encoding="utf-8", errors="replace") as f:
                sources[name] = f.read()
    rules = [
        ("layers look to their left only", check_layers(sources)),
        ("parts of store/ look down only", check_store(sources)),
        ("only codec/ names codecs", check_codecs(sources)),
        ("no banned function", check_banned(sources)),
        ("every file begins as it should", check_heads(sources)),
        ("functions are defined where their header says", check_places_of_functions(sources)),
        ("comments of one kind, nothing unfinished", check_comments(sources)),
        (f"at most {FILE_LINES} lines a file, {FUNCTION_LINES} a function", check_lengths(sources, top)),
        ("no place of one machine in any file", check_places(top, names)),
        ("every test has a log of its own", check_test_names(names)),
    ]
    failed = 0
    lengths = sorted(n for p, t in sources.items() if not p.startswith("tests/") for _, _, n in functions(t))
    if not lengths:
        print(f"Bail out! no sources under {top}")
        return 99
    print(f"# {len(sources)} sources, {len(lengths)} functions, p90 {lengths[len(lengths) * 9 // 10]} lines")
    for number, (title, findings) in enumerate(rules, 1):
        findings = list(findings)
        failed += bool(findings)
        print(f"{'not ' if findings else ''}ok {number} - {title}")
        for finding in findings:
            print(f"# {finding}")
    print(f"1..{len(rules)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
