/* SPDX-License-Identifier: MIT */
/* Where something was measured: the machine, its load, and the memory that it took. */
#ifndef TP_OPTIMIZER_EVALUATE_MACHINE_H
#define TP_OPTIMIZER_EVALUATE_MACHINE_H

#include <stdint.h>

#include "base/json_write.h"

/* The most memory that this process has had at a time, in bytes (VmHWM); 0: not known. */
uint64_t tp_machine_peak_memory(void);

/*
 * An object: the CPU's name, the instruction set in use, the CPUs that this process may use and
 * THREADS of it, the memory that it may use, the kernel, and the load averages.
 */
void tp_machine_put(struct tp_json_writer *json, const char *key, unsigned threads);

#endif
