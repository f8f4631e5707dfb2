#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Makes tests/codec/quant_nf4.h: what bitsandbytes 0.50.2 makes of weights that quant_nf4_test makes
as well. Needs torch and bitsandbytes.  usage: quant_nf4.py > quant_nf4.h
"""
import numpy as np
import torch
import bitsandbytes.functional as F


def weights(rows, cols):
    """The upper 24 bits of a generator, by a power of two for each 64 elements; some are zero."""
    state, out = 12345, np.empty(rows * cols, dtype=np.float32)
    for i in range(rows * cols):
        state = (state * 1664525 + 1013904223) % 2**32
        x = (state >> 8) - 2**23
        out[i] = 0 if i % 97 == 0 else np.ldexp(np.float32(x), -23 - (i // 64 * 7) % 5)
    return torch.from_numpy(out.reshape(rows, cols))


def rows_of(values, per):
    return ",\n".join("    " + ", ".join(values[i : i + per]) for i in range(0, len(values), per))


def array(kind, name, values, per):
    print(f"static const {kind} {name}[] = {{\n{rows_of(values, per)}}};\n")


def hexes(a):
    return [float(x).hex() + "f" for x in a]


def fnv(data):
    h = 0xCBF29CE484222325
    for b in data:
        h = (h ^ b) * 0x100000001B3 % 2**64
    return h


print('''/* SPDX-License-Identifier: MIT */
/* What bitsandbytes 0.50.2 makes of certain weights. Made by quant_nf4.py. */
#ifndef TP_TESTS_CODEC_QUANT_NF4_H
#define TP_TESTS_CODEC_QUANT_NF4_H

#include <stdint.h>

/* clang-format off */''')
q, state = F.quantize_4bit(weights(5, 63), blocksize=64, quant_type="nf4")
array("uint8_t", "nf4_codes", [str(x) for x in q.numpy().reshape(-1)], 20)
array("float", "nf4_absmax", hexes(state.absmax), 4)
q, state = F.quantize_4bit(weights(160, 128), blocksize=64, quant_type="nf4", compress_statistics=True)
print(f"static const uint64_t nf4_double_codes_hash = 0x{fnv(q.numpy().tobytes()):016x};\n")
array("uint8_t", "nf4_double_scales", [str(x) for x in state.absmax.numpy()], 20)
array("float", "nf4_double_absmax", hexes(state.state2.absmax), 4)
print(f"static const float nf4_double_offset = {float(state.offset).hex()}f;\n")
q, scale, _ = F.int8_vectorwise_quant(weights(3, 70).half())
array("int8_t", "int8_codes", [str(x) for x in q.numpy().reshape(-1)], 20)
array("float", "int8_absmax", hexes(scale), 4)
print("/* clang-format on */\n#endif")
