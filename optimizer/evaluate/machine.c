/* SPDX-License-Identifier: MIT */
/* Where something was measured. */
#include <config.h>

#include "optimizer/evaluate/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/cpu.h"
#include "base/isa.h"
#include "base/memory.h"

/* The rest of the first line of FILE that begins with NAME and a colon; false: there is none. */
static bool find_line(const char *file, const char *name, char *out, size_t size)
{
    FILE *f = fopen(file, "re");
    char line[256];
    bool found = false;

    while (f && !found && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':'), *end = colon;

        while (end && end > line && (end[-1] == ' ' || end[-1] == '\t'))
            end--;
        if (!colon || (size_t)(end - line) != strlen(name) ||
            strncmp(line, name, strlen(name)) != 0)
            continue;
        colon += 1 + strspn(colon + 1, " \t");
        colon[strcspn(colon, "\n")] = '\0';
        snprintf(out, size, "%s", colon);
        found = true;
    }
    if (f)
        fclose(f);
    return found;
}

uint64_t tp_machine_peak_memory(void)
{
    char text[64];

    return find_line("/proc/self/status", "VmHWM", text, sizeof text)
               ? strtoull(text, NULL, 10) << 10
               : 0;
}

void tp_machine_put(struct tp_json_writer *json, const char *key, unsigned threads)
{
    struct utsname system;
    char cpu[128];
    double load[3];

    tp_json_begin_object(json, key);
    tp_json_put_string(json, "cpu",
                       find_line("/proc/cpuinfo", "model name", cpu, sizeof cpu) ? cpu : NULL);
    tp_json_put_string(json, "instructions", tp_isa_name(tp_isa_get()));
    tp_json_put_u64(json, "cpus", tp_cpu_count());
    tp_json_put_u64(json, "threads", threads);
    tp_json_put_u64(json, "memory_bytes", tp_memory_limit());
    if (uname(&system) == 0)
        tp_json_put_stringf(json, "kernel", "%s %s %s", system.sysname, system.release,
                            system.machine);
    else
        tp_json_put_null(json, "kernel");
    tp_json_begin_array(json, "load_average");
    for (int i = 0, n = getloadavg(load, 3); i < n; i++)
        tp_json_put_double(json, NULL, load[i]);
    tp_json_end_array(json);
    tp_json_end_object(json);
}
