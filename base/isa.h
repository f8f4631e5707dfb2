/* SPDX-License-Identifier: MIT */
/*
 * Instruction sets: which one the CPU has, which one is in use, and how to compile a kernel for
 * one.
 *
 * A module with kernels has a table of them, with a row for each instruction set, and uses the row
 * tp_isa_get(). All rows give the same bits; TP_ISA_SCALAR, in portable C, is the reference. The
 * rows above TP_ISA_AVX512 are as this one, but for products of vectors of bf16, which have a
 * tolerance (optimizer/kernel/kernel.h).
 */
#ifndef TP_BASE_ISA_H
#define TP_BASE_ISA_H

enum tp_isa {
    TP_ISA_SCALAR,
    TP_ISA_AVX2,
    TP_ISA_AVX512,
    TP_ISA_AVX512_BF16, /* and products of pairs of bf16 */
    TP_ISA_AMX,         /* and of tiles of them */
    TP_ISA_COUNT
};

/*
 * The best instruction set of this CPU that kernels are compiled for. Once, it asks the kernel to
 * let this process use AMX; a process that may not has none.
 */
enum tp_isa tp_isa_best(void);
/*
 * The instruction set in use: the best one, unless the environment variable TENPAK_CPU names a
 * lower one by its tp_isa_name when this is first called. Any thread may call it.
 */
enum tp_isa tp_isa_get(void);
/* Use another one, at most tp_isa_best(). Kernels that run in other threads finish as they began.
 */
void tp_isa_set(enum tp_isa isa);
const char *tp_isa_name(enum tp_isa isa);

#if defined(__x86_64__)
#define TP_HAVE_X86 1
/* tp_isa_best checks for exactly these features. */
#define TP_TARGET_AVX2 __attribute__((target("avx2,fma,f16c,bmi,bmi2,lzcnt,popcnt")))
#define TP_TARGET_AVX512                                                                           \
    __attribute__((target("avx2,fma,f16c,bmi,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512vl,"         \
                          "avx512dq,avx512vbmi,avx512vbmi2,avx512vnni")))
#define TP_TARGET_AVX512_BF16                                                                      \
    __attribute__((target("avx2,fma,f16c,bmi,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512vl,"         \
                          "avx512dq,avx512vbmi,avx512vbmi2,avx512vnni,avx512bf16")))
/* configure --disable-avx512 leaves out TP_ISA_AVX512 and what is above it. */
#ifdef TP_WITHOUT_AVX512
#define TP_HAVE_AVX512 0
#else
#define TP_HAVE_AVX512 1
#endif
/* DEFINE(SUFFIX, TARGET) for each instruction set that a function is compiled for. */
#if TP_HAVE_AVX512
#define TP_FOR_EACH_ISA(DEFINE)                                                                    \
    DEFINE(scalar, )                                                                               \
    DEFINE(avx2, TP_TARGET_AVX2)                                                                   \
    DEFINE(avx512, TP_TARGET_AVX512)
#else
#define TP_FOR_EACH_ISA(DEFINE) DEFINE(scalar, ) DEFINE(avx2, TP_TARGET_AVX2)
#endif
/* An array by enum tp_isa. */
#if TP_HAVE_AVX512
#define TP_ISA_ROWS(SCALAR, AVX2, AVX512)                                                          \
    {                                                                                              \
        [TP_ISA_SCALAR] = SCALAR, [TP_ISA_AVX2] = AVX2, [TP_ISA_AVX512] = AVX512,                  \
        [TP_ISA_AVX512_BF16] = AVX512, [TP_ISA_AMX] = AVX512                                       \
    }
#else
#define TP_ISA_ROWS(SCALAR, AVX2, AVX512)                                                          \
    {                                                                                              \
        [TP_ISA_SCALAR] = SCALAR, [TP_ISA_AVX2] = AVX2                                             \
    }
#endif
/* Of what NAME_scalar, NAME_avx2 and NAME_avx512 are. */
#define TP_BY_ISA(NAME) TP_ISA_ROWS(NAME##_scalar, NAME##_avx2, NAME##_avx512)
#else
#define TP_HAVE_X86 0
#define TP_HAVE_AVX512 0
#define TP_FOR_EACH_ISA(DEFINE) DEFINE(scalar, )
#define TP_ISA_ROWS(SCALAR, AVX2, AVX512)                                                          \
    {                                                                                              \
        [TP_ISA_SCALAR] = SCALAR                                                                   \
    }
#define TP_BY_ISA(NAME) TP_ISA_ROWS(NAME##_scalar, , )
#endif

/* Call NAME_scalar, NAME_avx2 or NAME_avx512, by the instruction set in use. */
#define TP_CALL_BY_ISA(NAME, ...)                                                                  \
    ({                                                                                             \
        static const __typeof__(&NAME##_scalar) by_isa[] = TP_BY_ISA(NAME);                        \
                                                                                                   \
        by_isa[tp_isa_get()](__VA_ARGS__);                                                         \
    })

/* A function that is compiled anew for the instruction set of each kernel that calls it. */
#define TP_INLINE static inline __attribute__((always_inline))
/* Before a loop of few iterations, which number is known: so that arrays become registers. */
#if defined(__clang__)
#define TP_UNROLL _Pragma("unroll")
#else
#define TP_UNROLL _Pragma("GCC unroll 16")
#endif

#endif
