/* SPDX-License-Identifier: MIT */
/* Recognising a model directory by its files. */
#ifndef TP_TENSOR_IS_MODEL_H
#define TP_TENSOR_IS_MODEL_H

#include <stdbool.h>

/* Whether DIR looks like a model: config.json, adapter_config.json, model_index.json (a pipeline of
 * diffusers), modules.json (of sentence-transformers), a *.safetensors or *.gguf in it, the blobs
 * and snapshots of a model in the hub's cache, or a file of any name that begins as safetensors
 * files do. */
bool tp_modeldir_is_model(const char *dir);

#endif
