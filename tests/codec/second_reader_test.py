#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A second, slow reader of coded chunks, written from doc/codecs.md and doc/quantization.md alone, and of lossy packs,
from doc/FORMAT.md: what it decodes from the corpus of the fuzz target must have the hashes that the first reader's test
expects. TAP."""

import hashlib
import math
import os
import re
import shutil
import struct
import subprocess
import sys

BYTES, F16, BF16, F32, F64, C64 = 0, 6, 7, 10, 13, 14
WIDTH = {4: 2, 5: 2, F16: 2, BF16: 2, 8: 4, 9: 4, F32: 4, 11: 8, 12: 8, F64: 8, C64: 4}
FLOATS = {F16, BF16, F32, F64, C64, 15, 16, 18, 19}
FIELD = {BF16: (7, 0xff), F16: (10, 0x1f), F32: (23, 0xff), 15: (3, 15), 18: (3, 15), 16: (2, 31), 19: (2, 31),
         17: (0, 255), 2: (4, 15), 3: (4, 15), 4: (12, 15), 5: (12, 15), 8: (28, 15), 9: (28, 15)}
NO_ESCAPE = -1


class Bits:
    """Bits from the least significant of each byte up."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def get(self, n):
        v = 0
        for i in range(n):
            v |= (self.data[self.at >> 3] >> (self.at & 7) & 1) << i
            self.at += 1
        return v


def number(data, p):
    v = shift = 0
    while True:
        byte = data[p]
        v |= (byte & 0x7f) << shift
        shift += 7
        p += 1
        if byte < 0x80:
            return v, p


def frequencies(data, p, escape):
    """(first slot, frequency) of each symbol that has one, and where the table ends."""
    bits = Bits(data[p:])
    lo, hi = bits.get(8), bits.get(8)
    freq, before = {}, 0
    left_out = hi if escape == NO_ESCAPE else escape
    for symbol in range(lo, hi + 1):
        if symbol == left_out:
            continue
        order, zeros = before.bit_length() // 2, 0
        while not bits.get(1):
            zeros += 1
        u = ((1 << zeros | bits.get(zeros)) - 1) << order
        u |= bits.get(order)
        before = before - (u + 1) // 2 if u & 1 else before + u // 2
        freq[symbol] = before
    freq[left_out] = 2048 - sum(freq.values())
    table, first = {}, 0
    for symbol in sorted(freq):
        if freq[symbol]:
            table[symbol] = (first, freq[symbol])
            first += freq[symbol]
    assert first == 2048
    return table, p + (bits.at + 7) // 8


def slot_of(table, slot):
    for symbol, (first, freq) in table.items():
        if first <= slot < first + freq:
            return symbol, first, freq
    raise ValueError("no symbol")


class Stream:
    def __init__(self, data):
        self.lanes = 1 << data[0]
        bits = Bits(data[1:])
        widths = [15 + bits.get(4) for _ in range(self.lanes)]
        self.x = [1 << n | bits.get(n) for n in widths]
        self.words, self.p, self.i = data, 1 + (bits.at + 7) // 8, 0

    def get(self, table):
        lane, self.i = self.i % self.lanes, self.i + 1
        x = self.x[lane]
        symbol, first, freq = slot_of(table, x % 2048)
        x = freq * (x >> 11) + x % 2048 - first
        if x < 32768:
            x = x << 16 | int.from_bytes(self.words[self.p:self.p + 2], "little")
            self.p += 2
        self.x[lane] = x
        return symbol

    def finish(self):
        """The bits that the lanes carried."""
        assert self.p == len(self.words) and all(32768 <= x < 65536 for x in self.x)
        return [x >> i & 1 for x in self.x for i in range(15)]


def order(v, bits, is_float):
    top = 1 << bits - 1
    return v if not is_float else v ^ ((1 << bits) - 1 if v & top else top)


def unorder(o, bits, is_float):
    top = 1 << bits - 1
    return o if not is_float else o ^ (top if o & top else (1 << bits) - 1)


def signed(z):
    return z // 2 if z % 2 == 0 else -(z + 1) // 2


def elements(data, width):
    return [int.from_bytes(data[i:i + width], "little") for i in range(0, len(data), width)]


def joined(values, width):
    return b"".join(v.to_bytes(width, "little") for v in values)


def decode_delta(dtype, tables, coded, base):
    width = WIDTH.get(dtype, 1)
    bits, is_float, (field_shift, field_mask) = 8 * width, dtype in FLOATS, FIELD[dtype]
    e, count, contexts, p = tables[0], tables[1], tables[2:18], 18
    shifts = [c >> 5 for c in contexts]
    if bits == 32:
        shifts = [s | (tables[18 + i // 4] >> 2 * (i % 4) & 3) << 3 for i, s in enumerate(shifts)]
        p = 22
    table = []
    for _ in range(count):
        t, p = frequencies(tables, p, 255)
        table.append(t)
    assert p == len(tables)
    raw_len, p = number(coded, 0)
    esc_len, p = number(coded, p)
    escapes = len(coded) - esc_len
    stream = Stream(coded[p:escapes - raw_len])
    base = elements(base, width)
    context = [min(max((b >> field_shift & field_mask) - e, 0), 15) for b in base]
    symbols = [stream.get(table[contexts[c] & 15]) for c in context]
    carried = stream.finish()
    if not any(shifts) or any(k > bits - 8 or k and 0 not in table[t & 15] for k, t in zip(shifts, contexts)):
        space = 0
    else:
        space = len(carried)
    total = sum(shifts[c] for c, symbol in zip(context, symbols) if symbol)
    moved = min(total, space)
    assert not any(carried[moved:]) and (total - moved + 7) // 8 == raw_len
    raw = Bits(coded[escapes - raw_len:escapes])
    kept = [raw.get(1) for _ in range(total - moved)] + carried[:moved]
    at = 0
    out = []
    for b, c, symbol in zip(base, context, symbols):
        z = 0
        if symbol:
            z = (symbol - 1 << shifts[c] | sum(bit << j for j, bit in enumerate(kept[at:at + shifts[c]]))) + 1
            at += shifts[c]
        if symbol == 255:
            z = int.from_bytes(coded[escapes:escapes + width], "little")
            escapes += width
        start = order(0 if contexts[c] >> 4 & 1 else b, bits, is_float)
        out.append(unorder((start + signed(z)) % (1 << bits), bits, is_float))
    assert escapes == len(coded)
    return joined(out, width)


def plane_of(kind, table, coded, p, n):
    if kind == 0:
        return bytes([coded[p]]) * n, p + 1
    if kind == 1:
        return coded[p:p + n], p + n
    length, p, patches, at = int.from_bytes(coded[p:p + 3], "little"), p + 3, [], 0
    if kind == 3:
        table, p = frequencies(coded, p, NO_ESCAPE)
    else:
        count, p = number(coded, p)
        for _ in range(count):
            gap, p = number(coded, p)
            patches.append((at + gap, coded[p]))
            at, p = at + gap + 1, p + 1
    stream = Stream(coded[p:p + length])
    plane = bytearray(stream.get(table) for _ in range(n))
    assert not any(stream.finish())
    for where, symbol in patches:
        plane[where] = symbol
    return bytes(plane), p + length


def decode_split(dtype, tables, coded, length):
    width, table, p = WIDTH.get(dtype, 1), [], 0
    n = length // width
    for _ in range(width):
        kind, t, p = tables[p], None, p + 1
        if kind == 2:
            t, p = frequencies(tables, p, NO_ESCAPE)
        table.append(t)
    assert p == len(tables)
    p = 2 if width == 8 else 1
    kinds, planes = int.from_bytes(coded[:p], "little"), [b""] * width
    for k in reversed(range(width)):
        planes[k], p = plane_of(kinds >> 2 * k & 3, table[k], coded, p, n)
    assert p == len(coded)
    out = []
    for i in range(n):
        v = sum(planes[k][i] << 8 * k for k in range(width))
        if dtype in FLOATS and width > 1:
            low = 8 * width - 16
            top = v >> low
            v = v & (1 << low) - 1 | (top >> 1 | (top & 1) << 15) << low
        out.append(v)
    return joined(out, width)


def alphabet(data, p):
    table, symbol, total = {}, 0, 0
    while total < 2048:
        v, p = number(data, p)
        if v == 0:
            v, p = number(data, p)
            symbol += v
            continue
        table[symbol] = (total, v)
        total, symbol = total + v, symbol + 1
    return table, p


class State:
    """The 64-bit state of sparse: symbols and plain bits."""

    def __init__(self, data):
        n = len(data) if len(data) < 5 else 5 + (len(data) - 5) % 4
        self.x, self.data, self.p = int.from_bytes(data[:n], "little"), data, n

    def refill(self):
        if self.x < 1 << 31 and self.p < len(self.data):
            self.x = self.x << 32 | int.from_bytes(self.data[self.p:self.p + 4], "little")
            self.p += 4

    def plain(self, n):
        v = got = 0
        while got < n:
            piece = min(24, n - got)
            v |= self.x % (1 << piece) << got
            self.x >>= piece
            got += piece
            self.refill()
        return v

    def number(self, table, escape, escape_bits):
        token, first, freq = slot_of(table, self.x % 2048)
        self.x = freq * (self.x // 2048) + self.x % 2048 - first
        self.refill()
        if token == escape:
            token = self.plain(escape_bits)
        if token < 16:
            return token
        t = (token - 16) // 4 + 4
        return (4 | token & 3) << t - 2 | self.plain(t - 2)


def decode_sparse(dtype, tables, coded, base):
    width = WIDTH.get(dtype, 1)
    bits, is_float = 8 * width, dtype in FLOATS
    gaps, p = alphabet(tables, 0)
    values, p = alphabet(tables, p)
    assert p == len(tables)
    count, p = number(coded, 0)
    state, out, at = State(coded[p:]), elements(base, width), 0
    for _ in range(count):
        at += state.number(gaps, 72, 7)
        z = state.number(values, 256, 8) + 1
        out[at] = unorder((order(out[at], bits, is_float) + signed(z)) % (1 << bits), bits, is_float)
        at += 1
    assert state.x == 0 and state.p == len(state.data)
    return joined(out, width)


# Quant: doc/quantization.md, "Packed bytes" and "Values", and doc/codecs.md, "quant".
INT8, NF4, NF4_DOUBLE, SYM, ASYM, AFFINE, OUTLIERS, COLUMNS, LOW_RANK, CODEBOOK = range(1, 11)
ONE_CODE = {INT8, NF4, NF4_DOUBLE, SYM, ASYM, AFFINE}  # kinds with a code for each element
CODES, SCALES, ZEROS, TABLE = range(4)
STORED = (TABLE, CODES, SCALES, ZEROS)


def f32(x):
    try:
        return struct.unpack("<f", struct.pack("<f", x))[0]
    except OverflowError:
        return math.copysign(math.inf, x)


def bf16(x):
    """Rounded to nearest even, from fp32."""
    if x != x:
        return 0x7fc0
    v = struct.unpack("<I", struct.pack("<f", x))[0]
    return (v + 0x7fff + (v >> 16 & 1)) >> 16


def constants(top):
    """The values of NF4 and of coded scales, which the page leaves to a source."""
    with open(os.path.join(top, "codec/quant/values.c"), encoding="utf-8") as f:
        text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
    tables = {}
    for name, count, body in re.findall(r"(\w+)\[(\d+)\]\s*=\s*\{(.*?)\}", text, re.S):
        values = [v.strip().rstrip("f") for v in body.split(",") if v.strip()]
        tables[int(count)] = [float.fromhex(v) if "x" in v else float(v) for v in values]
    return tables[16], tables[256]


class Part:
    """What a part has: for each section the bits of a number and how many of them each row has; 0 rows: no rows."""

    def __init__(self, record, rows, cols):
        self.kind, self.bits, self.group, self.count = record[0], record[1], *struct.unpack_from("<II", record, 4)
        blocks, b, wide = -(-rows * cols // 64), self.bits, 16 if cols <= 65536 else 32
        groups = cols // self.group if self.group and self.kind not in (NF4, NF4_DOUBLE) else 0
        self.sections = {  # section: (bits of a number, rows, numbers of a row)
            INT8: {CODES: (8, rows, cols), SCALES: (32, rows, 1)},
            NF4: {CODES: (4, 0, rows * cols), SCALES: (32, 0, blocks)},
            NF4_DOUBLE: {CODES: (4, 0, rows * cols), SCALES: (8, 0, blocks), ZEROS: (32, 0, -(-blocks // 256)), TABLE: (32, 0, 1)},
            SYM: {CODES: (b, rows, cols), SCALES: (16, rows, groups)},
            ASYM: {CODES: (b, rows, cols), SCALES: (16, rows, groups), ZEROS: (b, rows, groups)},
            AFFINE: {CODES: (b, rows, cols), SCALES: (16, rows, groups), ZEROS: (16, rows, groups)},
            OUTLIERS: {CODES: (wide, 0, self.count), SCALES: (16, 0, self.count), TABLE: (32, 0, rows + 1)},
            COLUMNS: {SCALES: (16, rows, self.count), TABLE: (32, 0, self.count)},
            LOW_RANK: {SCALES: (16, rows, self.count), TABLE: (16, self.count, cols)},
            CODEBOOK: {CODES: (b, rows, groups), SCALES: (16, rows, 1), TABLE: (16, 0, self.group << b)},
        }[self.kind]
        self.data = {s: bytearray(self.stride(s) * max(1, self.sections[s][1])) for s in self.sections}

    def stride(self, section):
        bits, _, numbers = self.sections[section]
        return (bits * numbers + 7) // 8

    def grain(self, section, cols):
        """The columns that a number of a row stands for; 0: a row has one number, or all of its numbers belong to all columns."""
        return cols // self.sections[section][2] if self.sections[section][2] and (self.kind, section) not in (
            (INT8, SCALES), (CODEBOOK, SCALES), (LOW_RANK, SCALES), (COLUMNS, SCALES)) else 0

    def put(self, section, at, data):
        self.data[section][at:at + len(data)] = data

    def get(self, section, row, i):
        bits, rows, _ = self.sections[section]
        data, at = self.data[section], (self.stride(section) * row if rows else 0) * 8 + i * bits
        if bits == 4 and not rows:  # nf4: the first of two is in the high half
            return data[i // 2] >> (4 if i % 2 == 0 else 0) & 15
        return int.from_bytes(data[at // 8:(at + bits + 7) // 8], "little") >> at % 8 & (1 << bits) - 1

    def half(self, section, row, i):
        return struct.unpack("<e", struct.pack("<H", self.get(section, row, i)))[0]

    def single(self, section, i):
        return struct.unpack_from("<f", self.data[section], 4 * i)[0]


class Matrix:
    def __init__(self, tables):
        assert tables[1:4] == bytes(3) and tables[12:16] == bytes(4)
        self.by_columns, self.first, self.end = tables[0], *struct.unpack_from("<II", tables, 4)
        header = tables[16:80]
        assert header[:5] == b"tpQM\x01"
        self.rows, self.cols = struct.unpack_from("<II", header, 8)
        self.parts = [Part(header[16 + 12 * i:28 + 12 * i], self.rows, self.cols) for i in range(header[5])]
        self.tables, self.at = tables, 80
        for part in self.parts:
            for section in STORED:
                if section in part.sections:
                    self.read_tables(part, section)
        assert self.at == len(tables)

    def take(self, part, section, at, n):
        part.put(section, at, self.tables[self.at:self.at + n])
        self.at += n

    def read_tables(self, part, section):
        bits, rows, numbers = part.sections[section]
        kind, stride = part.kind, part.stride(section)
        if not self.by_columns:
            if section == TABLE and kind != OUTLIERS:
                self.take(part, section, 0, stride * max(1, rows))
            return
        if section == CODES and kind in ONE_CODE:
            return
        if kind in (NF4, NF4_DOUBLE) and section == SCALES and self.cols % 64 == 0:
            rows, numbers = self.rows, self.cols // 64
            stride = bits * numbers // 8
        elif not rows or not part.grain(section, self.cols):
            self.take(part, section, 0, stride * max(1, rows))
            return
        grain = self.cols // numbers
        begin, end = self.first // grain * bits // 8, (((self.end - 1) // grain + 1) * bits + 7) // 8
        for row in range(rows):
            self.take(part, section, row * stride + begin, end - begin)

    def read_chunk(self, chunk, count):
        self.tables, self.at = chunk, 8
        self.element = int.from_bytes(chunk[:8], "little")
        if self.by_columns:
            for part in self.parts:
                if part.kind in ONE_CODE:
                    n = (count * part.sections[CODES][0] + 7) // 8
                    part.chunk, self.at = Bits(chunk[self.at:self.at + n]), self.at + n
                    part.chunk = [part.chunk.get(part.sections[CODES][0]) for _ in range(count)]
        else:
            last = self.element + count - 1
            self.corner = (self.element // self.cols, self.element % self.cols // 8 * 8, last // self.cols, last % self.cols)
            for part in self.parts:
                self.read_rows(part)
        assert self.at == len(chunk)

    def read_rows(self, part):
        i, a, j, b = self.corner
        if part.kind == OUTLIERS:
            n = 4 * (j - i + 2)
            self.take(part, TABLE, 4 * i, n)
            low, high = part.get(TABLE, 0, i), part.get(TABLE, 0, j + 1)
            self.take(part, CODES, low * part.sections[CODES][0] // 8, (high - low) * part.sections[CODES][0] // 8)
            self.take(part, SCALES, 2 * low, 2 * (high - low))
            return
        for section in STORED:
            if section not in part.sections or section == TABLE:
                continue
            bits, rows, numbers = part.sections[section]
            stride, grain = part.stride(section), part.grain(section, self.cols)
            if part.kind == COLUMNS:
                columns = [part.get(TABLE, 0, k) for k in range(part.count)]
                begin = i * stride + 2 * sum(c < a for c in columns)
                end = j * stride + 2 * sum(c <= b for c in columns)
            elif not rows:  # nf4: one row of all elements, or of their blocks
                size = {CODES: 1, SCALES: 64, ZEROS: 64 * 256}[section]
                begin, end = (i * self.cols + a) // size * bits // 8, (((j * self.cols + b) // size + 1) * bits + 7) // 8
            elif grain:
                begin, end = i * stride + a // grain * bits // 8, j * stride + ((b // grain + 1) * bits + 7) // 8
            else:
                begin, end = i * stride, (j + 1) * stride
            self.take(part, section, begin, max(0, end - begin))

    def code(self, part, n, r, c):
        if self.by_columns:
            return part.chunk[n]
        return part.get(CODES, r, c) if part.sections[CODES][1] else part.get(CODES, 0, r * self.cols + c)

    def value(self, part, n, r, c):
        kind = part.kind
        q = self.code(part, n, r, c) if kind in ONE_CODE else 0
        if kind == INT8:
            return f32((q ^ 128) - 128) * f32(part.single(SCALES, r) * float.fromhex("0x1.020408p-7"))
        if kind in (NF4, NF4_DOUBLE):
            block = (r * self.cols + c) // 64
            if kind == NF4:
                return self.nf4[q] * part.single(SCALES, block)
            scale = f32(self.dynamic[part.get(SCALES, 0, block)] * part.single(ZEROS, block // 256))
            return self.nf4[q] * f32(scale + part.single(TABLE, 0))
        g = c // part.group if part.group else 0
        if kind == SYM:
            return (q - (1 << part.bits - 1)) * part.half(SCALES, r, g)
        if kind == ASYM:
            return (q - part.get(ZEROS, r, g)) * part.half(SCALES, r, g)
        if kind == AFFINE:
            return f32(q * part.half(SCALES, r, g)) + part.half(ZEROS, r, g)
        if kind == OUTLIERS:
            for k in range(part.get(TABLE, 0, r), part.get(TABLE, 0, r + 1)):
                if part.get(CODES, 0, k) == c:
                    return part.half(SCALES, 0, k)
            return None
        if kind == COLUMNS:
            for k in range(part.count):
                if part.get(TABLE, 0, k) == c:
                    return part.half(SCALES, r, k)
            return None
        if kind == LOW_RANK:
            s = 0.0
            for k in range(part.count):
                s = f32(s + f32(part.half(SCALES, r, k) * part.half(TABLE, k, c)))
            return s
        return part.half(TABLE, 0, part.get(CODES, r, g) * part.group + c % part.group) * part.half(SCALES, r, 0)


def decode_quant(tables, chunk, count, numbers):
    m = Matrix(tables)
    m.nf4, m.dynamic = numbers
    m.read_chunk(chunk, count)
    out = bytearray()
    for n in range(count):
        e = m.element + n
        r, c = (e % m.rows, e // m.rows) if m.by_columns else (e // m.cols, e % m.cols)
        w = None
        for part in m.parts:
            p = m.value(part, n, r, c)
            if p is not None:
                w = f32(p) if w is None else f32(w + f32(p))
        out += struct.pack("<H", bf16(w))
    return bytes(out)


def make_base(length):
    """What the fuzz target gives as the base."""
    out, x = bytearray(length), 12345
    for i in range(length):
        x = (x * 1103515245 + 12345) & 0xffffffff
        out[i] = 0x3c + (x >> 24 & 0x81) if i & 1 and x >> 28 else x >> 16 & 0xff
    return bytes(out)


def decode(data, numbers):
    codec, dtype = data[0], data[1]
    count, tables_len = int.from_bytes(data[2:4], "little"), int.from_bytes(data[4:6], "little")
    tables, coded = data[6:6 + tables_len], data[6 + tables_len:]
    length = count * WIDTH.get(dtype, 1) * (2 if dtype == C64 else 1)
    if codec == 6:
        return decode_quant(tables, coded, count, numbers)
    if codec == 3:
        return decode_split(dtype, tables, coded, length)
    return (decode_delta if codec == 4 else decode_sparse)(dtype, tables, coded, make_base(length))


# Packs: doc/FORMAT.md.
def unzstd(data):
    return subprocess.run(["zstd", "-dc", "-q"], input=data, capture_output=True, check=True).stdout


class Index:
    def __init__(self, pack):
        footer = pack[-128:]
        coding, self.lossy = struct.unpack_from("<HI", footer, 10)
        off, stored, length = struct.unpack_from("<QQQ", footer, 16)
        self.bytes = unzstd(pack[off:off + stored]) if coding else pack[off:off + stored]
        assert len(self.bytes) == length and hashlib.sha256(self.bytes).digest() == footer[40:72]
        self.chunk_size, *counts = struct.unpack_from("<6I", self.bytes, 4)
        attrs, values = struct.unpack_from("<II", self.bytes, 68)
        self.parts, at = [], 160
        for size, n in zip((80, 40, 28, 16, 8, 16), (*counts[:5], attrs)):
            self.parts.append([self.bytes[at + size * i:at + size * (i + 1)] for i in range(n)])
            at += size * n
        self.strings = self.bytes[at + values:]

    def string(self, at):
        return self.strings[at:self.strings.index(0, at)].decode()


def content_of(pack, wanted, numbers):
    """The content of a file of a pack without a base, and its SHA-256 as the index has it."""
    x = Index(pack)
    files, segments, chunks, tables = x.parts[:4]
    segment, chunk, table, at, out = 0, 0, 0, 16, bytearray()
    for file in files:
        named = x.string(struct.unpack_from("<I", file)[0]) == wanted
        for s in segments[segment:segment + struct.unpack_from("<I", file, 28)[0]]:
            dtype, (left,), blobs = s[4], struct.unpack_from("<Q", s, 8), {}
            for t in tables[table:table + s[6]]:
                (n,) = struct.unpack_from("<I", t, 8)
                blobs[t[12]], at = pack[at:at + n], at + n
            table += s[6]
            while left:
                size, (n,), codec = min(left, x.chunk_size), struct.unpack_from("<I", chunks[chunk], 16), chunks[chunk][24]
                if named:
                    coded = pack[at:at + n]
                    out += coded if codec == 0 else unzstd(coded) if codec == 2 else \
                        decode_split(dtype, blobs[3], coded, size) if codec == 3 else \
                        decode_quant(blobs[6], coded, size // 2, numbers)
                at, chunk, left = at + n, chunk + 1, left - size
        segment += struct.unpack_from("<I", file, 28)[0]
        if named:
            return bytes(out), file[40:72]
    return None


def check_lossy_pack(top, numbers):
    """All kinds of parts, in segments of rows and of columns."""
    name = "the second reader reads a lossy pack"
    if not shutil.which("zstd"):
        return f"ok - {name} # SKIP zstd is not installed"
    with open(os.path.join(top, "tests/golden/v2/lossy.tnpk"), "rb") as f:
        content, want = content_of(f.read(), "model.safetensors", numbers)
    return f"{'' if hashlib.sha256(content).digest() == want else 'not '}ok - {name}: {len(content)} bytes"


def golden(top, name):
    with open(os.path.join(top, "tests/codec", name), encoding="ascii") as f:
        return [line.split() for line in f if line.strip() and not line.startswith("#")]


def main():
    top = os.environ.get("top_srcdir", ".")
    numbers, n, failed = constants(top), 0, 0
    for name, want in golden(top, "golden.txt") + golden(top, "golden-quant.txt"):
        with open(os.path.join(top, "tests/fuzz/corpus/codec", name), "rb") as f:
            data = f.read()
        if data[0] == 2:
            continue  # a zstd frame says nothing of ours
        good = hashlib.sha256(decode(data, numbers)).hexdigest() == want
        n += 1
        failed += not good
        print(f"{'' if good else 'not '}ok {n} - {name}: the second reader decodes the same")
    last = check_lossy_pack(top, numbers)
    print(last.replace("ok -", f"ok {n + 1} -"))
    print(f"1..{n + 1}")
    return failed > 0 or n < 60 or last.startswith("not")


sys.exit(main())
