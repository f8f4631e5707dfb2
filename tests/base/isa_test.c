/* SPDX-License-Identifier: MIT */
/*
 * The environment and a call lower the instruction set, and raise it at most to the best of the
 * CPU.
 */
#include <config.h>

#include "base/isa.h"
#include "tests/tap.h"

#include <sys/wait.h>

/* What a process that begins with this TENPAK_CPU chooses. */
static int chosen_with(const char *value)
{
    pid_t child = fork();
    int status;

    if (child < 0)
        bail_out("fork");
    if (child == 0) {
        if (value)
            setenv("TENPAK_CPU", value, 1);
        else
            unsetenv("TENPAK_CPU");
        _exit((int)tp_isa_get());
    }
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
        bail_out("waitpid");
    return WEXITSTATUS(status);
}

int main(void)
{
    enum tp_isa best = tp_isa_best();

    diag("best here: %s", tp_isa_name(best));
    is_int(chosen_with(NULL), best, "the best by default");
    is_int(chosen_with("scalar"), TP_ISA_SCALAR, "TENPAK_CPU=scalar");
    is_int(chosen_with("avx2"), best < TP_ISA_AVX2 ? best : TP_ISA_AVX2, "TENPAK_CPU=avx2");
    is_int(chosen_with("avx512"), best < TP_ISA_AVX512 ? best : TP_ISA_AVX512, "TENPAK_CPU=avx512");
    is_int(chosen_with("amx"), best, "TENPAK_CPU=amx never above the best");
    is_int(chosen_with("nonsense"), best, "another word changes nothing");
    is_int(chosen_with(""), best, "nor does none");

    tp_isa_set(TP_ISA_SCALAR);
    is_int(tp_isa_get(), TP_ISA_SCALAR, "lowered by a call");
    tp_isa_set(TP_ISA_AMX);
    is_int(tp_isa_get(), best, "raised again, to the best");

    is_str(tp_isa_name(TP_ISA_SCALAR), "scalar", "name");
    is_str(tp_isa_name(TP_ISA_AVX2), "avx2", "name");
    is_str(tp_isa_name(TP_ISA_AVX512), "avx512", "name");
    is_str(tp_isa_name(TP_ISA_AVX512_BF16), "avx512_bf16", "name");
    is_str(tp_isa_name(TP_ISA_AMX), "amx", "name");
    is_str(tp_isa_name((enum tp_isa)7), "unknown", "name of none");
    return tap_done();
}
