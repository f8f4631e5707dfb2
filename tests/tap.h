/* SPDX-License-Identifier: MIT */
/*
 * A small TAP writer for test programs: include it once, use ok() and the is_*() checks, and end
 * main with return tap_done(). A failed check prints its place and what it got, and the test
 * continues.
 */
#ifndef TP_TESTS_TAP_H
#define TP_TESTS_TAP_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int tap_n, tap_failed;

/* A line for the reader of the log. */
__attribute__((format(printf, 1, 2), unused)) static void diag(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("# ", stdout);
    vprintf(fmt, ap);
    putchar('\n');
    fflush(stdout);
    va_end(ap);
}

__attribute__((format(printf, 4, 5), unused)) static bool tap_ok(bool good, const char *file,
                                                                 int line, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    printf("%sok %d - ", good ? "" : "not ", ++tap_n);
    vprintf(fmt, ap);
    putchar('\n');
    va_end(ap);
    if (!good) {
        tap_failed++;
        printf("# failed at %s:%d\n", file, line);
    }
    fflush(stdout);
    return good;
}

/* ok(condition, "name %d", ...): each of these gives whether it held. */
#define ok(cond, ...) tap_ok((cond), __FILE__, __LINE__, __VA_ARGS__)

__attribute__((unused)) static bool tap_is_int(intmax_t got, intmax_t want, const char *file,
                                               int line, const char *name)
{
    bool good = tap_ok(got == want, file, line, "%s", name);
    if (!good)
        diag("got %" PRIdMAX ", want %" PRIdMAX, got, want);
    return good;
}
#define is_int(got, want, name)                                                                    \
    tap_is_int((intmax_t)(got), (intmax_t)(want), __FILE__, __LINE__, name)

__attribute__((unused)) static bool tap_is_u64(uint64_t got, uint64_t want, const char *file,
                                               int line, const char *name)
{
    bool good = tap_ok(got == want, file, line, "%s", name);
    if (!good)
        diag("got %" PRIu64 " (0x%" PRIx64 "), want %" PRIu64 " (0x%" PRIx64 ")", got, got, want,
             want);
    return good;
}
#define is_u64(got, want, name) tap_is_u64((got), (want), __FILE__, __LINE__, name)

__attribute__((unused)) static bool tap_is_str(const char *got, const char *want, const char *file,
                                               int line, const char *name)
{
    bool good = got && want ? strcmp(got, want) == 0 : got == want;
    tap_ok(good, file, line, "%s", name);
    if (!good) {
        diag("got  '%s'", got ? got : "(null)");
        diag("want '%s'", want ? want : "(null)");
    }
    return good;
}
#define is_str(got, want, name) tap_is_str((got), (want), __FILE__, __LINE__, name)

__attribute__((unused)) static bool tap_is_mem(const void *got, const void *want, size_t len,
                                               const char *file, int line, const char *name)
{
    const unsigned char *a = got, *b = want;
    size_t i = 0;
    while (i < len && a[i] == b[i])
        i++;
    bool good = tap_ok(i == len, file, line, "%s", name);
    if (!good)
        diag("first difference at byte %zu of %zu: got 0x%02x, want 0x%02x", i, len, a[i], b[i]);
    return good;
}
#define is_mem(got, want, len, name) tap_is_mem((got), (want), (len), __FILE__, __LINE__, name)

/* Whether STR has PART in it: what checks of error stories use. */
__attribute__((unused)) static bool tap_has(const char *str, const char *part, const char *file,
                                            int line, const char *name)
{
    bool good = tap_ok(str && strstr(str, part), file, line, "%s", name);
    if (!good)
        diag("'%s' is not in '%s'", part, str ? str : "(null)");
    return good;
}
#define has(str, part, name) tap_has((str), (part), __FILE__, __LINE__, name)

/* One check that cannot be made here, and why. */
__attribute__((format(printf, 1, 2), unused)) static void skip(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    printf("ok %d # SKIP ", ++tap_n);
    vprintf(fmt, ap);
    putchar('\n');
    fflush(stdout);
    va_end(ap);
}

/* Nothing more can be tested: print why and stop the program. */
__attribute__((format(printf, 1, 2), noreturn, unused)) static void bail_out(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("Bail out! ", stdout);
    vprintf(fmt, ap);
    putchar('\n');
    va_end(ap);
    exit(99);
}

/*
 * Seed of this run, printed. It is the same in every run, so that a change decides whether a test
 * passes, not chance. TP_SEED=N gives another, TP_SEED=random one from the clock.
 */
__attribute__((unused)) static uint64_t tap_seed(void)
{
    const char *given = getenv("TP_SEED");
    uint64_t seed = 1;

    if (given && !strcmp(given, "random")) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        seed = (uint64_t)now.tv_sec * 1000003u + (uint64_t)now.tv_nsec + (uint64_t)getpid();
    } else if (given) {
        seed = strtoull(given, NULL, 0);
    }
    diag("TP_SEED=%" PRIu64, seed);
    return seed;
}

/* splitmix64: enough randomness for tests, the same everywhere. */
__attribute__((unused)) static uint64_t tap_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* A fresh directory, absolute; the caller removes it (tp_file_remove_tree). */
__attribute__((unused)) static char *tap_tmpdir(void)
{
    const char *base = getenv("TMPDIR");
    char *dir = NULL;
    if (asprintf(&dir, "%s/tenpak-test.XXXXXX", base && *base ? base : "/tmp") < 0 || !mkdtemp(dir))
        bail_out("no temporary directory");
    return dir;
}

/*
 * Whether COND comes to hold, looked at again and again: what another thread or process does takes
 * as long as the machine is busy. It gives up after two minutes at least, which is for what never
 * happens.
 */
#define eventually(cond)                                                                           \
    ({                                                                                             \
        bool holds_ = false;                                                                       \
        for (unsigned left_ = 12000; !(holds_ = (cond)) && left_ > 0; left_--)                     \
            usleep(10000);                                                                         \
        holds_;                                                                                    \
    })

__attribute__((unused, warn_unused_result)) static int tap_done(void)
{
    printf("1..%d\n", tap_n);
    if (tap_failed)
        diag("%d of %d failed", tap_failed, tap_n);
    return tap_failed ? 1 : 0;
}

#endif
