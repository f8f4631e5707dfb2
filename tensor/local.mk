# SPDX-License-Identifier: MIT
noinst_LTLIBRARIES += tensor/libtp-tensor.la
tensor_libtp_tensor_la_SOURCES = \
	tensor/config.c tensor/config.h \
	tensor/dtype.c tensor/dtype.h \
	tensor/hub.c tensor/hub.h \
	tensor/is_model.c tensor/is_model.h \
	tensor/modeldir.c tensor/modeldir.h \
	tensor/safetensors.c tensor/safetensors.h
