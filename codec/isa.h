/* SPDX-License-Identifier: MIT */
/* How kernels are compiled for an instruction set that the rest of the program does not assume. */
#ifndef TP_CODEC_ISA_H
#define TP_CODEC_ISA_H

#if defined(__x86_64__)
#define TP_HAVE_X86 1
/*
 * What tp_isa_best asks the CPU for before it says TP_ISA_AVX2 or TP_ISA_AVX512: keep them alike.
 */
#define TP_TARGET_AVX2 __attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt")))
#define TP_TARGET_AVX512                                                                           \
    __attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512vl,avx512dq,"         \
                          "avx512vbmi,avx512vbmi2")))
#else
#define TP_HAVE_X86 0
#endif

#define TP_INLINE static inline __attribute__((always_inline))

#endif
