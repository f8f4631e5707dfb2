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
	PYTHONDONTWRITEBYTECODE=1; export PYTHONDONTWRITEBYTECODE; \
	unset XDG_CONFIG_HOME TENPAK_DEBUG;

EXTRA_DIST += tests/rawpack.h tests/tap.h tests/lib.sh tests/requirements.txt

# One block a layer. A C test needs one line, in its layer's list: its source is NAME.c, and it links with LDADD
# (Makefile.am). Shell and Python tests go into the layer's _scripts. Sanitizer builds run unit_tests and
# fuzz_tests (AddressSanitizer, UndefinedBehaviorSanitizer) and thread_tests (ThreadSanitizer).

# base
base_tests = \
	tests/base/acl_test \
	tests/base/beneath_test \
	tests/base/buffer_test \
	tests/base/cuda_device_test \
	tests/base/dir_test \
	tests/base/error_test \
	tests/base/file_test \
	tests/base/hash_test \
	tests/base/isa_test \
	tests/base/json_test \
	tests/base/log_test \
	tests/base/memory_test \
	tests/base/pool_test \
	tests/base/size_test \
	tests/base/stamp_test \
	tests/base/vector_test
base_scripts =

# tensor
tensor_tests = \
	tests/tensor/config_test \
	tests/tensor/dtype_test \
	tests/tensor/hub_test \
	tests/tensor/modeldir_test \
	tests/tensor/safetensors_test
tensor_scripts =

# codec
codec_tests = \
	tests/codec/bins_test \
	tests/codec/convert_test \
	tests/codec/cuda_warp_test \
	tests/codec/delta_test \
	tests/codec/golden_test \
	tests/codec/train_test \
	tests/codec/quant_chunk_test \
	tests/codec/quant_format_test \
	tests/codec/quant_method_test \
	tests/codec/quant_nf4_test \
	tests/codec/rans_test \
	tests/codec/registry_test \
	tests/codec/sparse_test \
	tests/codec/split_test \
	tests/codec/zstd_test \
	tests/gpu/cuda_codec_test
EXTRA_DIST += tests/codec/codec_check.h tests/codec/quant_check.h tests/codec/quant_nf4.h tests/codec/quant_nf4.py tests/codec/golden.txt tests/codec/golden-quant.txt
codec_scripts = tests/codec/second_reader_test.py

# store
store_tests = \
	tests/store/bytes_test \
	tests/store/cursor_test \
	tests/store/engine_test \
	tests/store/sharing_test \
	tests/store/siblings_test \
	tests/store/damage_test \
	tests/store/fit_test \
	tests/store/golden_test \
	tests/store/index_test \
	tests/store/effort_test \
	tests/store/limits_test \
	tests/store/lossy_test \
	tests/store/memory_test \
	tests/store/model_test \
	tests/store/ops_test \
	tests/store/pack_test \
	tests/store/place_test \
	tests/store/rename_test \
	tests/store/sink_test
EXTRA_DIST += tests/store/fake_packs.h tests/store/model.h tests/golden
store_scripts = \
	tests/store/symbols_test.sh

# optimizer
optimizer_tests = \
	tests/optimizer/allocation_test \
	tests/optimizer/arch_test \
	tests/optimizer/calibration_file_test \
	tests/optimizer/calibration_test \
	tests/optimizer/choice_test \
	tests/optimizer/evaluate_test \
	tests/optimizer/kernel_bf16_test \
	tests/optimizer/kernel_int8_test \
	tests/optimizer/kernel_quantized_test \
	tests/optimizer/kernel_rows_test \
	tests/optimizer/kernel_test \
	tests/optimizer/layers_test \
	tests/optimizer/linear_test \
	tests/optimizer/recipe_test \
	tests/optimizer/report_test \
	tests/optimizer/revision_test \
	tests/optimizer/roofline_test \
	tests/optimizer/runtime_test \
	tests/optimizer/team_test \
	tests/optimizer/tokenizer_cancel_test \
	tests/optimizer/tokenizer_test
EXTRA_DIST += tests/optimizer/kernel_check.h
tests_optimizer_allocation_test_LDADD = $(TP_OPTIMIZER_LIBS)
tests_optimizer_arch_test_LDADD = $(TP_OPTIMIZER_LIBS)
tests_optimizer_calibration_file_test_LDADD = $(TP_OPTIMIZER_LIBS)
tests_optimizer_calibration_test_LDADD = $(TP_OPTIMIZER_LIBS)
tests_optimizer_choice_test_LDADD = $(TP_OPTIMIZER_LIBS)
tests_optimizer_evaluate_test_LDADD = $(TP_OPTIMIZER_LIBS)
tests_optimizer_kernel_bf16_test_LDADD = $(TP_OPTIMIZER_LIBS)
tests_optimizer_kernel_int8_test_LDADD = $(TP_OPTIMIZER_LIBS)
tests_optimizer_kernel_quantized_test_LDADD = $(TP_OPTIMIZER_LIBS)
tests_optimizer_kernel_rows_test_LDADD = $(TP_OPTIMIZER_LIBS)
tests_optimizer_kernel_test_LDADD = $(TP_OPTIMIZER_LIBS)
tests_optimizer_layers_test_LDADD = $(TP_OPTIMIZER_LIBS)
tests_optimizer_linear_test_LDADD = $(TP_OPTIMIZER_LIBS)
tests_optimizer_recipe_test_LDADD = $(TP_OPTIMIZER_LIBS)
tests_optimizer_report_test_LDADD = $(TP_OPTIMIZER_LIBS)
tests_optimizer_revision_test_LDADD = $(TP_OPTIMIZER_LIBS)
tests_optimizer_roofline_test_LDADD = $(TP_OPTIMIZER_LIBS)
tests_optimizer_runtime_test_LDADD = $(TP_OPTIMIZER_LIBS)
tests_optimizer_team_test_LDADD = $(TP_OPTIMIZER_LIBS)
# Runs a model and writes its logits: see the usage in its first lines.
check_PROGRAMS += tests/optimizer/forward tests/optimizer/quantize_run
tests_optimizer_forward_LDADD = $(TP_OPTIMIZER_LIBS)
tests_optimizer_quantize_run_LDADD = $(TP_OPTIMIZER_LIBS)
# Gradients, for a comparison with torch's.
check_PROGRAMS += tests/optimizer/gradient_run
tests_optimizer_gradient_run_LDADD = $(TP_OPTIMIZER_LIBS)
# Choices among random candidates.
check_PROGRAMS += tests/optimizer/selection_run
tests_optimizer_selection_run_LDADD = $(TP_OPTIMIZER_LIBS)
# A search, with the report or its error.
check_PROGRAMS += tests/optimizer/search_run
tests_optimizer_search_run_LDADD = $(TP_OPTIMIZER_LIBS)
optimizer_scripts = \
	tests/optimizer/calibration_kept_test.py \
	tests/optimizer/choice_brute_test.py \
	tests/optimizer/evaluate_models_test.py \
	tests/optimizer/families_test.py \
	tests/optimizer/gradient_test.py \
	tests/optimizer/quantize_families_test.py \
	tests/optimizer/search_choice_test.py \
	tests/optimizer/search_test.py \
	tests/optimizer/sized_test.py \
	tests/optimizer/reports_test.py \
	tests/optimizer/target_test.py \
	tests/optimizer/tokenizer_library_test.py
EXTRA_DIST += tests/optimizer/brute_force.py tests/optimizer/texts.py
tests_optimizer_tokenizer_cancel_test_LDADD = $(TP_OPTIMIZER_LIBS)
tests_optimizer_tokenizer_test_LDADD = $(TP_OPTIMIZER_LIBS)
# A tokenizer at work, for tests in other languages.
check_PROGRAMS += tests/optimizer/tokenizer_run
tests_optimizer_tokenizer_run_LDADD = $(TP_OPTIMIZER_LIBS)

# fs
fs_tests =
fs_programs = tests/fs/calls tests/fs/control_call tests/fs/oracle tests/fs/rw_oracle tests/fs/saturate tests/fs/swap
tests_fs_oracle_SOURCES = tests/fs/oracle.c tests/fs/uring.h
tests_fs_calls_LDADD =
tests_fs_control_call_LDADD =
tests_fs_oracle_LDADD =
tests_fs_rw_oracle_LDADD =
tests_fs_saturate_LDADD =
tests_fs_swap_LDADD =
fs_scripts = \
	tests/fs/control_stress_test.sh \
	tests/fs/acl_test.sh \
	tests/fs/budget_test.sh \
	tests/fs/control_odd_test.sh \
	tests/fs/control_test.sh \
	tests/fs/failure_test.sh \
	tests/fs/files_test.sh \
	tests/fs/grants_test.sh \
	tests/fs/interrupt_test.sh \
	tests/fs/life_test.sh \
	tests/fs/loop_test.sh \
	tests/fs/many_test.sh \
	tests/fs/memory_test.sh \
	tests/fs/moved_test.sh \
	tests/fs/names_test.sh \
	tests/fs/oracle_test.sh \
	tests/fs/promote_test.sh \
	tests/fs/read_test.sh \
	tests/fs/removal_test.sh \
	tests/fs/replaced_test.sh \
	tests/fs/space_test.sh \
	tests/fs/saturation_test.sh \
	tests/fs/semantics_test.sh \
	tests/fs/swap_test.sh \
	tests/fs/user_test.sh \
	tests/fs/write_test.sh \
	tests/fs/writers_test.sh \
	tests/fs/xattr_test.sh
EXTRA_DIST += tests/fs/files.py

# What tests of every layer use: the maker of small models (tests/mkmodel --help), of a lossy pack, of a pack with chosen
# numbers changed and signed again, of many files, of packs that take long to decode.
shared_programs = tests/mkmodel tests/mklossy tests/packedit tests/manyfiles tests/slowpacks
tests_mkmodel_LDADD =

# control
control_tests = \
	tests/control/closing_test \
	tests/control/inventory_test \
	tests/control/jobs_test \
	tests/control/manager_test \
	tests/control/others_test \
	tests/control/policy_test \
	tests/control/unfinished_test \
	tests/control/request_test \
	tests/control/record_test
tests_control_closing_test_LDADD = $(TP_CONTROL_LIBS)
tests_control_inventory_test_LDADD = $(TP_CONTROL_LIBS)
tests_control_jobs_test_LDADD = $(TP_CONTROL_LIBS)
tests_control_manager_test_LDADD = $(TP_CONTROL_LIBS)
tests_control_others_test_LDADD = $(TP_CONTROL_LIBS)
tests_control_policy_test_LDADD = $(TP_CONTROL_LIBS)
tests_control_unfinished_test_LDADD = $(TP_CONTROL_LIBS)
tests_control_request_test_LDADD = $(TP_CONTROL_LIBS)
tests_control_record_test_LDADD = $(TP_CONTROL_LIBS)
EXTRA_DIST += tests/control/jobs.h
check_PROGRAMS += tests/control/documents
tests_control_documents_LDADD = $(TP_CONTROL_LIBS)
control_scripts = \
	tests/control/dashboard_test.py \
	tests/control/documents_test.py \
	tests/control/jobs_cli_test.sh \
	tests/control/mounted_jobs_test.sh \
	tests/control/optimize_stopped_test.py \
	tests/control/optimize_test.sh \
	tests/control/recipes_test.sh \
	tests/control/schema_test.py
EXTRA_DIST += tests/control/directory.py tests/serve/server.py

# serve
serve_scripts = \
	tests/serve/framing_test.py \
	tests/serve/limit_test.sh \
	tests/serve/openapi_test.py \
	tests/serve/serve_test.sh \
	tests/serve/waiting_test.py

# cli
cli_tests =
cli_scripts = \
	tests/cli/attributes_test.sh \
	tests/cli/bad_input_test.sh \
	tests/cli/bases_test.sh \
	tests/cli/mounted_path_test.sh \
	tests/cli/binary_test.sh \
	tests/cli/collection_test.sh \
	tests/cli/delta_test.sh \
	tests/cli/inputs_test.sh \
	tests/cli/hardening_test.sh \
	tests/cli/interrupt_test.sh \
	tests/cli/lossy_test.sh \
	tests/cli/levels_test.sh \
	tests/cli/library_test.sh \
	tests/cli/manual_test.sh \
	tests/cli/match_test.sh \
	tests/cli/mount_test.sh \
	tests/cli/in_place_test.sh \
	tests/cli/pack_test.sh \
	tests/cli/printable_test.sh \
	tests/cli/status_test.sh \
	tests/cli/streams_test.sh \
	tests/cli/unit_test.sh \
	tests/cli/usage_test.sh

# loaders: unmodified frameworks over a mount
loader_scripts = \
	tests/loaders/gguf_test.py \
	tests/loaders/hub_test.py \
	tests/loaders/save_test.py \
	tests/loaders/safetensors_test.py \
	tests/loaders/transformers_test.py
EXTRA_DIST += tests/tap.py tests/loaders/harness.py

# faults: each call on files fails, or is the last before a kill; under a library put before the C library
fault_scripts = \
	tests/faults/faults_test.py \
	tests/faults/copies_test.sh \
	tests/faults/full_disk_test.sh \
	tests/faults/mounted_test.py \
	tests/faults/together_test.py \
	tests/faults/writers_test.py
check_DATA = tests/faults/preload.so
CLEANFILES += tests/faults/preload.so
EXTRA_DIST += tests/faults/models.py tests/faults/preload.c
tests/faults/preload.so: tests/faults/preload.c
	$(AM_V_CC)$(MKDIR_P) tests/faults && \
	$(CC) $(DEFS) $(DEFAULT_INCLUDES) $(AM_CPPFLAGS) -D_FORTIFY_SOURCE=0 -std=gnu11 $(WARN_CFLAGS) $(CFLAGS) -shared -fPIC -o $@ $(top_srcdir)/tests/faults/preload.c

# fuzz: with libFuzzer under --enable-fuzzing, else with a main() that replays the corpora
fuzz_tests = \
	tests/fuzz/fuzz_architecture \
	tests/fuzz/fuzz_codec \
	tests/fuzz/fuzz_config \
	tests/fuzz/fuzz_document \
	tests/fuzz/fuzz_hints \
	tests/fuzz/fuzz_index \
	tests/fuzz/fuzz_pack \
	tests/fuzz/fuzz_packs \
	tests/fuzz/fuzz_quant \
	tests/fuzz/fuzz_request \
	tests/fuzz/fuzz_safetensors \
	tests/fuzz/fuzz_tokenizer
if HAVE_MICROHTTPD
fuzz_tests += tests/fuzz/fuzz_serve
endif
if FUZZING
TP_FUZZ_MAIN =
TP_FUZZ_LINK = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
else
TP_FUZZ_MAIN = tests/fuzz/replay_main.c
TP_FUZZ_LINK = $(AM_LDFLAGS)
endif
tests_fuzz_fuzz_architecture_SOURCES = tests/fuzz/fuzz_architecture.c tests/fuzz/fuzz.h $(TP_FUZZ_MAIN)
tests_fuzz_fuzz_architecture_LDFLAGS = $(TP_FUZZ_LINK)
tests_fuzz_fuzz_architecture_LDADD = $(TP_OPTIMIZER_LIBS)
tests_fuzz_fuzz_codec_SOURCES = tests/fuzz/fuzz_codec.c tests/fuzz/codec_base.h tests/fuzz/fuzz.h $(TP_FUZZ_MAIN)
tests_fuzz_fuzz_codec_LDFLAGS = $(TP_FUZZ_LINK)
tests_fuzz_fuzz_config_SOURCES = tests/fuzz/fuzz_config.c tests/fuzz/fuzz.h $(TP_FUZZ_MAIN)
tests_fuzz_fuzz_config_LDFLAGS = $(TP_FUZZ_LINK)
tests_fuzz_fuzz_document_SOURCES = tests/fuzz/fuzz_document.c tests/fuzz/fuzz.h $(TP_FUZZ_MAIN)
tests_fuzz_fuzz_document_LDFLAGS = $(TP_FUZZ_LINK)
tests_fuzz_fuzz_document_LDADD = $(TP_CONTROL_LIBS)
tests_fuzz_fuzz_hints_SOURCES = tests/fuzz/fuzz_hints.c tests/fuzz/fuzz.h $(TP_FUZZ_MAIN)
tests_fuzz_fuzz_hints_LDFLAGS = $(TP_FUZZ_LINK)
tests_fuzz_fuzz_index_SOURCES = tests/fuzz/fuzz_index.c tests/fuzz/fuzz.h $(TP_FUZZ_MAIN)
tests_fuzz_fuzz_index_LDFLAGS = $(TP_FUZZ_LINK)
tests_fuzz_fuzz_pack_SOURCES = tests/fuzz/fuzz_pack.c tests/fuzz/codec_base.h tests/fuzz/fuzz.h tests/fuzz/pack_base.h $(TP_FUZZ_MAIN)
tests_fuzz_fuzz_pack_LDFLAGS = $(TP_FUZZ_LINK)
tests_fuzz_fuzz_packs_SOURCES = tests/fuzz/fuzz_packs.c tests/fuzz/codec_base.h tests/fuzz/fuzz.h tests/fuzz/pack_base.h tests/fuzz/pack_draft.h $(TP_FUZZ_MAIN)
tests_fuzz_fuzz_packs_LDFLAGS = $(TP_FUZZ_LINK)
tests_fuzz_fuzz_quant_SOURCES = tests/fuzz/fuzz_quant.c tests/fuzz/fuzz.h $(TP_FUZZ_MAIN)
tests_fuzz_fuzz_quant_LDFLAGS = $(TP_FUZZ_LINK)
tests_fuzz_fuzz_request_SOURCES = tests/fuzz/fuzz_request.c tests/fuzz/fuzz.h $(TP_FUZZ_MAIN)
tests_fuzz_fuzz_request_LDFLAGS = $(TP_FUZZ_LINK)
tests_fuzz_fuzz_request_LDADD = $(TP_CONTROL_LIBS)
tests_fuzz_fuzz_safetensors_SOURCES = tests/fuzz/fuzz_safetensors.c tests/fuzz/fuzz.h $(TP_FUZZ_MAIN)
tests_fuzz_fuzz_safetensors_LDFLAGS = $(TP_FUZZ_LINK)
tests_fuzz_fuzz_tokenizer_SOURCES = tests/fuzz/fuzz_tokenizer.c tests/fuzz/fuzz.h $(TP_FUZZ_MAIN)
tests_fuzz_fuzz_tokenizer_LDFLAGS = $(TP_FUZZ_LINK)
tests_fuzz_fuzz_tokenizer_LDADD = $(TP_OPTIMIZER_LIBS)
# libmicrohttpd's functions are the target's own.
tests_fuzz_fuzz_serve_SOURCES = tests/fuzz/fuzz_serve.c tests/fuzz/fuzz.h $(TP_FUZZ_MAIN)
tests_fuzz_fuzz_serve_LDFLAGS = $(TP_FUZZ_LINK)
tests_fuzz_fuzz_serve_LDADD = $(TP_SERVE_LIBS)
EXTRA_DIST += tests/fuzz/replay_main.c tests/fuzz/corpus

# lint: rules about the sources, run by make lint and by ./bootstrap check
lint_scripts = \
	tests/lint/dist.sh \
	tests/lint/format.sh \
	tests/lint/man.sh \
	tests/lint/papers.sh \
	tests/lint/semantics.sh \
	tests/lint/shell.sh \
	tests/lint/sources.py
EXTRA_DIST += $(lint_scripts) tests/lint/long-functions.txt
.PHONY: lint
lint:
	rm -f tests/lint/*.log tests/lint/*.trs
	$(MAKE) tests/lint/lint.log TESTS='$(lint_scripts)' TEST_SUITE_LOG=tests/lint/lint.log

# As tests/lint/format.sh expects, with its version of clang-format.
.PHONY: format
format:
	find $(top_srcdir) \( -name '.git' -o -name 'build*' \) -prune -o -name '*.[ch]' -print | \
		xargs clang-format --style=file -i

.PHONY: fuzz
fuzz: $(fuzz_tests)

# Those that are about threads, the longest first.
thread_tests = \
	tests/store/engine_test \
	tests/control/closing_test \
	tests/control/manager_test \
	tests/control/others_test \
	tests/control/inventory_test \
	tests/optimizer/team_test \
	tests/store/pack_test \
	tests/store/sink_test \
	tests/base/log_test \
	tests/base/pool_test

unit_tests = $(base_tests) $(tensor_tests) $(codec_tests) $(store_tests) $(optimizer_tests) $(control_tests) $(fs_tests) $(cli_tests)
# The longest one begins first, so that it is not alone at the end.
test_scripts = $(fault_scripts) $(base_scripts) $(tensor_scripts) $(codec_scripts) $(store_scripts) $(optimizer_scripts) $(control_scripts) \
	$(fs_scripts) $(serve_scripts) \
	$(cli_scripts) $(loader_scripts)
check_PROGRAMS += $(fs_programs) $(shared_programs) $(unit_tests) $(fuzz_tests)
TESTS += $(unit_tests) $(test_scripts)
if !FUZZING
TESTS += $(fuzz_tests)
endif
EXTRA_DIST += $(test_scripts)
