# SPDX-License-Identifier: MIT
noinst_LTLIBRARIES += optimizer/libtp-optimizer.la
optimizer_libtp_optimizer_la_SOURCES =

# text to tokens, and back
optimizer_libtp_optimizer_la_SOURCES += \
	optimizer/tokenizer/added.c optimizer/tokenizer/added.h \
	optimizer/tokenizer/bpe.c optimizer/tokenizer/bpe.h \
	optimizer/tokenizer/bpe_impl.h \
	optimizer/tokenizer/bpe_tables.c \
	optimizer/tokenizer/components.c \
	optimizer/tokenizer/components_out.c \
	optimizer/tokenizer/decode.c \
	optimizer/tokenizer/encode.c \
	optimizer/tokenizer/model.c optimizer/tokenizer/model.h \
	optimizer/tokenizer/normalize.c \
	optimizer/tokenizer/regex.c optimizer/tokenizer/regex.h \
	optimizer/tokenizer/regex_class.c \
	optimizer/tokenizer/regex_impl.h \
	optimizer/tokenizer/regex_sets.c optimizer/tokenizer/regex_sets.h \
	optimizer/tokenizer/regex_translate.c \
	optimizer/tokenizer/settings.c \
	optimizer/tokenizer/split.c \
	optimizer/tokenizer/tokenizer.c optimizer/tokenizer/tokenizer.h \
	optimizer/tokenizer/tokenizer_impl.h \
	optimizer/tokenizer/unicode.c optimizer/tokenizer/unicode.h \
	optimizer/tokenizer/values.c \
	optimizer/tokenizer/vocab.c optimizer/tokenizer/vocab.h

# products, attention, norms
optimizer_libtp_optimizer_la_SOURCES += \
	optimizer/kernel/attention.c \
	optimizer/kernel/attention_avx2.c \
	optimizer/kernel/attention_avx512.c \
	optimizer/kernel/backward.c \
	optimizer/kernel/bf16.c \
	optimizer/kernel/bf16.h \
	optimizer/kernel/bf16_amx.c \
	optimizer/kernel/bf16_avx512.c \
	optimizer/kernel/impl.h \
	optimizer/kernel/int8.c optimizer/kernel/int8.h \
	optimizer/kernel/int8_avx2.c \
	optimizer/kernel/int8_avx512.c \
	optimizer/kernel/kernel.h \
	optimizer/kernel/logits.c \
	optimizer/kernel/math.h \
	optimizer/kernel/matrix.c \
	optimizer/kernel/matrix_avx2.c \
	optimizer/kernel/matrix_avx512.c \
	optimizer/kernel/part_kernels_avx2.c \
	optimizer/kernel/parts_avx2.c optimizer/kernel/parts_avx2.h \
	optimizer/kernel/quantized.c \
	optimizer/kernel/quantized.h \
	optimizer/kernel/quantized_avx2.c \
	optimizer/kernel/quantized_avx512.c \
	optimizer/kernel/rows.c \
	optimizer/kernel/vector_avx2.h \
	optimizer/kernel/wide_avx2.h

# running a model
optimizer_libtp_optimizer_la_SOURCES += \
	optimizer/runtime/arch.c optimizer/runtime/arch.h \
	optimizer/runtime/cache.c \
	optimizer/runtime/families.c optimizer/runtime/families.h \
	optimizer/runtime/layer.c optimizer/runtime/layer.h \
	optimizer/runtime/linear.c optimizer/runtime/linear.h \
	optimizer/runtime/pass.c \
	optimizer/runtime/rope.c optimizer/runtime/rope.h \
	optimizer/runtime/runtime.c optimizer/runtime/runtime.h \
	optimizer/runtime/runtime_impl.h \
	optimizer/runtime/team.c optimizer/runtime/team.h \
	optimizer/runtime/weights.c optimizer/runtime/weights_files.c \
	optimizer/runtime/weights_read.c

# measuring one
optimizer_libtp_optimizer_la_SOURCES += \
	optimizer/evaluate/compare.c optimizer/evaluate/compare.h \
	optimizer/evaluate/corpus.c optimizer/evaluate/corpus.h \
	optimizer/evaluate/generate.c optimizer/evaluate/generate.h \
	optimizer/evaluate/machine.c optimizer/evaluate/machine.h \
	optimizer/evaluate/perplexity.c optimizer/evaluate/perplexity.h \
	optimizer/evaluate/report.c optimizer/evaluate/report.h \
	optimizer/evaluate/sample.c optimizer/evaluate/sample.h \
	optimizer/evaluate/statistics.c optimizer/evaluate/statistics.h \
	optimizer/evaluate/subject.c optimizer/evaluate/subject.h \
	optimizer/evaluate/subject_hash.c \
	optimizer/evaluate/passage.c optimizer/evaluate/passage.h \
	optimizer/evaluate/timing.c optimizer/evaluate/timing.h \
	optimizer/evaluate/windows.c optimizer/evaluate/windows.h

# gradients of its matrices
optimizer_libtp_optimizer_la_SOURCES += \
	optimizer/gradient/attention.c \
	optimizer/gradient/fisher.c optimizer/gradient/fisher.h \
	optimizer/gradient/gradient.c optimizer/gradient/gradient.h \
	optimizer/gradient/gradient_impl.h \
	optimizer/gradient/inside.c \
	optimizer/gradient/kept.c \
	optimizer/gradient/layer.c \
	optimizer/gradient/loss.c \
	optimizer/gradient/steps.c

# quantizing one
optimizer_libtp_optimizer_la_SOURCES += \
	optimizer/quantize/allocation.c optimizer/quantize/allocation.h \
	optimizer/quantize/calibration.c optimizer/quantize/calibration.h \
	optimizer/quantize/calibration_file.c optimizer/quantize/calibration_file.h \
	optimizer/quantize/forms.c optimizer/quantize/forms.h \
	optimizer/quantize/layers.c optimizer/quantize/layers.h \
	optimizer/quantize/packs.c optimizer/quantize/packs.h \
	optimizer/quantize/quantize.c optimizer/quantize/quantize.h \
	optimizer/quantize/recipe.c optimizer/quantize/recipe.h \
	optimizer/quantize/sensitivity.c optimizer/quantize/sensitivity.h \
	optimizer/quantize/sized.c optimizer/quantize/sized.h \
	optimizer/quantize/tensors.c optimizer/quantize/tensors.h

# choosing the form of a model
optimizer_libtp_optimizer_la_SOURCES += \
	optimizer/search/choice.c optimizer/search/choice.h \
	optimizer/search/figures.c optimizer/search/figures.h \
	optimizer/search/figures_impl.h \
	optimizer/search/figures_json.c \
	optimizer/search/hardware.c optimizer/search/hardware.h \
	optimizer/search/key.c optimizer/search/key.h \
	optimizer/search/limits.c optimizer/search/limits.h \
	optimizer/search/pareto.c optimizer/search/pareto.h \
	optimizer/search/prepare.c \
	optimizer/search/publish.c \
	optimizer/search/rates.c optimizer/search/rates.h \
	optimizer/search/report.c optimizer/search/report.h \
	optimizer/search/roofline.c optimizer/search/roofline.h \
	optimizer/search/rounds.c \
	optimizer/search/search.c optimizer/search/search.h \
	optimizer/search/search_impl.h \
	optimizer/search/sizes.c optimizer/search/sizes.h \
	optimizer/search/state.c optimizer/search/state.h \
	optimizer/search/steps.c \
	optimizer/search/times.c

# The default texts.
textdir = $(datadir)/tenpak/text
dist_text_DATA = \
	share/tenpak/text/README \
	share/tenpak/text/calibration.txt \
	share/tenpak/text/evaluation.txt
optimizer_libtp_optimizer_la_CFLAGS = $(AM_CFLAGS) $(KERNEL_CFLAGS)
optimizer_libtp_optimizer_la_CPPFLAGS = $(AM_CPPFLAGS) -DTP_TEXT_DIR='"$(textdir)"'
