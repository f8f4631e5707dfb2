# SPDX-License-Identifier: MIT
# bench/run, the other benchmarks, and what they measure with (doc/benchmarking.md).
noinst_PROGRAMS += \
	bench/codec_bench bench/compare_models bench/engine_bench bench/kernel_bench bench/matrix_bench bench/mount_reader \
	bench/packed_sections bench/quant_bench bench/runtime_bench bench/tokenizer_bench
bench_codec_bench_LDADD = $(TP_CODEC_LIBS)
bench_quant_bench_LDADD = $(TP_CODEC_LIBS)
bench_compare_models_LDADD = $(TP_OPTIMIZER_LIBS)
bench_matrix_bench_LDADD = $(TP_OPTIMIZER_LIBS)
bench_mount_reader_LDADD =
bench_packed_sections_LDADD = $(TP_STORE_LIBS)
bench_runtime_bench_LDADD = $(TP_OPTIMIZER_LIBS)
bench_tokenizer_bench_LDADD = $(TP_OPTIMIZER_LIBS)

EXTRA_DIST += \
	bench/bench.py bench/decoding.py bench/larger_than_memory bench/load_model.py bench/loading.py bench/machine.py bench/measure.h bench/models.py \
	bench/mount bench/mounted.py \
	bench/packing.py bench/quant bench/quant-gptqmodel.txt bench/quant-llmcompressor.txt bench/quantizers.py \
	bench/reading.py bench/report.py bench/requirements.txt bench/rivals.py bench/run bench/runtime bench/shaped.py bench/sizes.py \
	bench/smollm2.py bench/store.py bench/synth.py \
	bench/tokenizer doc/benchmarking.md
