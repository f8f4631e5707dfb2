# SPDX-License-Identifier: MIT
dist_doc_DATA = README.md doc/CONTROL.md doc/FORMAT.md doc/SEMANTICS.md doc/architecture.md doc/benchmarking.md doc/codecs.md doc/optimizer.md doc/quantization.md doc/testing.md
EXTRA_DIST += doc/examples/cat.c doc/examples/tenpak@.service
