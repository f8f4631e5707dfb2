/* SPDX-License-Identifier: MIT */
/*
 * Logging: libraries log what an operator should know; the program decides where it goes. Nothing
 * is printed until a sink is set. Thread-safe. Messages are one line, without a newline.
 */
#ifndef TP_BASE_LOG_H
#define TP_BASE_LOG_H

enum tp_log_level { TP_LOG_ERROR, TP_LOG_WARNING, TP_LOG_INFO, TP_LOG_DEBUG };

typedef void (*tp_log_sink)(void *arg, enum tp_log_level level, const char *line);

/*
 * Set the sink, or remove it with NULL. Lines above MAX_LEVEL are dropped before they are
 * formatted.
 */
void tp_log_set_sink(tp_log_sink sink, void *arg, enum tp_log_level max_level);

void tp_log(enum tp_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
