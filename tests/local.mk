# SPDX-License-Identifier: MIT
# Tests speak TAP. A program without a suffix is C (tests/tap.h), .sh uses tests/lib.sh, .py runs with $(PYTHON).
TEST_EXTENSIONS = .sh .py
TP_TAP_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
LOG_DRIVER = $(TP_TAP_DRIVER)
SH_LOG_DRIVER = $(TP_TAP_DRIVER)
SH_LOG_COMPILER = $(SHELL)
PY_LOG_DRIVER = $(TP_TAP_DRIVER)
PY_LOG_COMPILER = $(PYTHON)
AM_TESTS_ENVIRONMENT = \
	LC_ALL=C; export LC_ALL; \
	TZ=UTC; export TZ; \
	MALLOC_PERTURB_=$${MALLOC_PERTURB_-165}; export MALLOC_PERTURB_; \
	top_builddir='$(abs_top_builddir)'; export top_builddir; \
	top_srcdir='$(abs_top_srcdir)'; export top_srcdir; \
	PYTHON='$(PYTHON)'; export PYTHON; \
	TP_SANITIZED='$(SAN_CFLAGS)'; export TP_SANITIZED; \
	unset XDG_CONFIG_HOME TENPAK_DEBUG;

EXTRA_DIST += tests/tap.h tests/lib.sh

# One block a layer. A C test needs one line in check_PROGRAMS and one in TESTS: its source is NAME.c, and it
# links with LDADD (Makefile.am).

# base
base_tests = \
	tests/base/error_test
check_PROGRAMS += $(base_tests)
TESTS += $(base_tests)

# tensor

# codec

# store

# fs

# cli

# fuzz: the targets of tests/fuzz, with libFuzzer, or with a main() that replays their corpora
if FUZZING
TP_FUZZ_MAIN =
else
TP_FUZZ_MAIN = tests/fuzz/replay_main.c
endif
