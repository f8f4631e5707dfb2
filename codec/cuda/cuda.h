/* SPDX-License-Identifier: MIT */
/*
 * Decoding on a CUDA device. Decodes batches of chunks of 16-bit floats (codecs delta and split) in
 * the memory of the device to the same bytes as the portable decoders. One warp decodes one chunk,
 * so a batch should have thousands of chunks.
 */
#ifndef TP_CODEC_CUDA_CUDA_H
#define TP_CODEC_CUDA_CUDA_H

#include "codec/codec.h"

struct tp_cuda_tables; /* the tables of one tensor, on the device that was current */

/*
 * Addresses in device memory. DST and BASE are aligned to 2 bytes; nothing else is, and there is no
 * slack.
 */
struct tp_cuda_chunk {
    const void *src;
    const void *base; /* delta only: LEN bytes */
    void *dst;        /* LEN bytes */
    uint32_t src_len;
    uint32_t len;
};

/*
 * Check tables as tp_codec->tables_create does, and upload them to the current device. -EOPNOTSUPP:
 * built without CUDA, or not one of these codecs and dtypes. -ENODEV: no usable device.
 */
int tp_cuda_tables_create(enum tp_codec_id codec, enum tp_dtype dtype, const uint8_t *blob,
                          size_t len, struct tp_cuda_tables **out, struct tp_error *err);
void tp_cuda_tables_destroy(struct tp_cuda_tables *tables);

/*
 * Decode N chunks of one tensor and wait until they are decoded. STREAM is a cudaStream_t; NULL:
 * the default one. -EBADMSG: some chunks break the format's rules; BAD, unless NULL, says which.
 */
int tp_cuda_decode(const struct tp_cuda_tables *tables, const struct tp_cuda_chunk *chunks,
                   size_t n, void *stream, bool *bad, struct tp_error *err);

#endif
