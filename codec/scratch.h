/* SPDX-License-Identifier: MIT */
/* The work memory that codecs need to code a chunk: one thread at a time, any codec. */
#ifndef TP_CODEC_SCRATCH_H
#define TP_CODEC_SCRATCH_H

struct tp_scratch;

struct tp_scratch *tp_scratch_create(void);          /* NULL: out of memory; about 2 MiB */
void tp_scratch_destroy(struct tp_scratch *scratch); /* NULL is allowed */

/*
 * The effort of encoders with a level_max that are given SCRATCH, from now on: 1 to level_max, or 0
 * for TP_LEVEL_DEFAULT. Other encoders ignore it.
 */
#define TP_LEVEL_DEFAULT 3
void tp_scratch_set_level(struct tp_scratch *scratch, int level);

#endif
