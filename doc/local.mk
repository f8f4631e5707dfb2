# SPDX-License-Identifier: MIT
EXTRA_DIST += doc/examples/cat.c
EXTRA_DIST += doc/FORMAT.md
EXTRA_DIST += doc/codecs.md
