#!/bin/sh
# SPDX-License-Identifier: MIT
# embed.sh FILE...: the files as C that control/documents/embedded.h declares, on standard output.
set -eu

echo '/* Made by control/documents/embed.sh: do not edit. */'
echo '#include <config.h>'
echo
echo '#include "control/documents/embedded.h"'
n=0
for file in "$@"; do
    printf '\nstatic const unsigned char file_%d[] = {\n' "$n"
    od -An -v -tx1 "$file" | sed 's/ \([0-9a-f][0-9a-f]\)/0x\1,/g'
    echo '0x00};'
    n=$((n + 1))
done
printf '\nconst struct tp_embedded tp_embedded_files[] = {\n'
n=0
for file in "$@"; do
    printf '    {"%s", (const char *)file_%d, sizeof file_%d - 1},\n' "${file##*/}" "$n" "$n"
    n=$((n + 1))
done
echo '};'
echo "const size_t tp_embedded_count = $n;"
