/* SPDX-License-Identifier: MIT */
/* Files of the source tree that are compiled into the program. embed.sh writes them as C. */
#ifndef TP_CONTROL_EMBEDDED_H
#define TP_CONTROL_EMBEDDED_H

#include <stddef.h>

struct tp_embedded {
    const char *name; /* the last part of the file's path */
    const char *text; /* with a NUL at its end */
    size_t len;
};

/* In byte order of their paths. */
extern const struct tp_embedded tp_embedded_files[];
extern const size_t tp_embedded_count;

#endif
