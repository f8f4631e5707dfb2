/* SPDX-License-Identifier: MIT */
/* The instruction set in use: detected once, lowered by the environment or by a call. */
#include <config.h>

#include "base/isa.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#if TP_HAVE_X86
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

static atomic_int best = -1, chosen = -1; /* enum tp_isa; -1: not yet */

static const char *const names[] = {
    [TP_ISA_SCALAR] = "scalar",           [TP_ISA_AVX2] = "avx2", [TP_ISA_AVX512] = "avx512",
    [TP_ISA_AVX512_BF16] = "avx512_bf16", [TP_ISA_AMX] = "amx",
};

#if TP_HAVE_X86
/* Not every compiler's __builtin_cpu_supports knows lzcnt; without it the instruction is another.
 */
static bool has_lzcnt(void)
{
    unsigned a, b, c, d;

    return __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & 1u << 5);
}

/* Nor f16c. */
static bool has_f16c(void)
{
    unsigned a, b, c, d;

    return __get_cpuid(1, &a, &b, &c, &d) && (c & 1u << 29);
}

#endif

#if TP_HAVE_AVX512
static bool has_avx512_bf16(void)
{
    unsigned a, b, c, d;

    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 5);
}

/*
 * Tiles and their products of bf16. The state of tiles is large, so that the kernel keeps it only
 * for processes that have asked.
 */
static bool has_amx(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, TILE_CONFIG = 17, TILE_DATA = 18 };
    const unsigned tile = 1u << 24, bf16 = 1u << 22, both = 1u << TILE_CONFIG | 1u << TILE_DATA;
    unsigned a, b, c, d;

    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & tile) == 0 || (d & bf16) == 0)
        return false;
    __asm__("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return (a & both) == both && syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0;
}
#endif

static enum tp_isa detect_best(void)
{
#if TP_HAVE_X86
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
        !__builtin_cpu_supports("bmi") || !__builtin_cpu_supports("bmi2") ||
        !__builtin_cpu_supports("popcnt") || !has_lzcnt() || !has_f16c())
        return TP_ISA_SCALAR;
#endif
#if TP_HAVE_AVX512
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512vbmi") || !__builtin_cpu_supports("avx512vbmi2") ||
        !__builtin_cpu_supports("avx512vnni"))
        return TP_ISA_AVX2;
    if (!has_avx512_bf16())
        return TP_ISA_AVX512;
    return has_amx() ? TP_ISA_AMX : TP_ISA_AVX512_BF16;
#else
    return TP_HAVE_X86 ? TP_ISA_AVX2 : TP_ISA_SCALAR;
#endif
}

enum tp_isa tp_isa_best(void)
{
    int isa = atomic_load_explicit(&best, memory_order_relaxed);

    if (isa < 0) {
        isa = (int)detect_best(); /* in several threads at worst, alike */
        atomic_store_explicit(&best, isa, memory_order_relaxed);
    }
    return (enum tp_isa)isa;
}

static enum tp_isa choose_isa(void)
{
    const char *wanted = getenv("TENPAK_CPU");
    enum tp_isa highest = tp_isa_best();

    for (int isa = TP_ISA_SCALAR; wanted && isa < (int)highest; isa++)
        if (!strcmp(wanted, names[isa]))
            return (enum tp_isa)isa;
    return highest;
}

enum tp_isa tp_isa_get(void)
{
    int isa = atomic_load_explicit(&chosen, memory_order_relaxed);

    if (isa < 0) {
        int none = -1;

        isa = (int)choose_isa();
        /* A call of tp_isa_set may have come between. */
        if (!atomic_compare_exchange_strong(&chosen, &none, isa))
            isa = none;
    }
    return (enum tp_isa)isa;
}

void tp_isa_set(enum tp_isa isa)
{
    enum tp_isa highest = tp_isa_best();

    atomic_store_explicit(&chosen, isa < highest ? isa : highest, memory_order_relaxed);
}

const char *tp_isa_name(enum tp_isa isa)
{
    return (unsigned)isa < sizeof names / sizeof names[0] ? names[isa] : "unknown";
}
