/* SPDX-License-Identifier: MIT */
/* Numbers of bytes as people write and read them: "512M", "1.5GiB". */
#ifndef TP_BASE_SIZE_H
#define TP_BASE_SIZE_H

#include <stdint.h>

/*
 * Parse a number of bytes: digits, an optional decimal fraction, an optional blank, an optional
 * unit. K, M, G, T, P and KiB, MiB, ... are powers of 1024; kB, KB, MB, ... powers of 1000; B, or
 * no unit, is bytes; case does not matter. A fraction of a byte is dropped. -EINVAL: not such a
 * number; -ERANGE: beyond 64 bits.
 */
int tp_size_parse(const char *text, uint64_t *out);

#define TP_SIZE_TEXT 16
/* "0 B", "1023 B", "1.50 KiB", "372 MiB": three significant digits. Returns OUT. */
char *tp_size_print(uint64_t bytes, char out[TP_SIZE_TEXT]);

#endif
