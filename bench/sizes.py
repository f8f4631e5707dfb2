# SPDX-License-Identifier: MIT
"""How small: what each codec stores of a base and of its fine-tunes."""

import rivals

TARGETS = {"zoo-sft": 0.72, "synthetic": 0.80, "few": 0.35}   # of BitX's bytes
BOUND = 1.06                                                  # times the conditional entropy


def measure_tune(report, rows, pair, tenpak, scratch, threads):
    logical = pair.tune.file_bytes
    bound = rivals.entropy(pair)
    sizes = {"BitX": rivals.bitx(pair, threads), "zstd -3": rivals.zstd_directory(pair.tune),
             "zstd -3 --patch-from": rivals.zstd_patch(pair), "ZipNN delta": rivals.zipnn_delta(pair),
             "lmzip": rivals.lmz(pair, scratch)}
    ours = tenpak.pack_pair(pair)[1].stat().st_size if tenpak else None
    if sizes["zstd -3 --patch-from"] is None:
        report.skip(f"zstd --patch-from on '{pair.name}'", "a file is over its limit of 2 GiB")
    sizes = {name: size for name, size in sizes.items() if size is not None}
    table = {"raw files": logical, **sizes, "tenpak": ours, "conditional entropy": bound}
    for name, size in table.items():
        if size is not None:
            rows.append({"pair": pair.name, "stored as": name, "bytes": size,
                         "ratio": logical / size, "of BitX": size / sizes["BitX"],
                         "of entropy": size / bound})
    if ours is None or pair.kind not in TARGETS:
        return
    report.target(f"{pair.name}: whole directory, of BitX's tensor bytes", ours / sizes["BitX"],
                  "<=", TARGETS[pair.kind])
    report.target(f"{pair.name}: whole directory, of the conditional entropy", ours / bound, "<=",
                  BOUND)
    best = min(sizes, key=sizes.get)
    report.target(f"{pair.name}: of the smallest other ({best})", ours / sizes[best], "<=", 1.0)


def measure_base(report, rows, name, model, tenpak, pack):
    zipnn = rivals.zipnn_base(model) + rivals.zstd_rest(model)
    table = {"raw files": model.file_bytes, "zstd -3": rivals.zstd_directory(model),
             "ZipNN (other files: zstd -3)": zipnn}
    if tenpak:
        table["tenpak"] = pack.stat().st_size
    for codec, size in table.items():
        rows.append({"base": name, "stored as": codec, "bytes": size,
                     "ratio": model.file_bytes / size})
    if tenpak:
        ours = table["tenpak"]
        report.target(f"{name}: split, ratio", model.file_bytes / ours, ">=", 1.5, "x")
        report.target(f"{name}: split, of ZipNN's size", ours / zipnn, "<=", 1.0)


def measure(report, pairs, tenpak, scratch, threads, say):
    tunes = report.section("Stored size of a fine-tune",
                           ["pair", "stored as", "bytes", "ratio", "of BitX", "of entropy"],
                           "; ".join(f"{p.name}: {p.note}" for p in pairs if p.note))
    bases = report.section("Stored size of a base", ["base", "stored as", "bytes", "ratio"])
    seen = set()
    for pair in pairs:
        say(f"sizes: {pair.name}")
        if pair.base.path not in seen:
            seen.add(pair.base.path)
            name = f"base of {pair.name}"
            pack = tenpak.pack_pair(pair)[0] if tenpak else None
            measure_base(report, bases, name, pair.base, tenpak, pack)
        measure_tune(report, tunes, pair, tenpak, scratch, threads)
