/* The error log: one line an event, `2026-01-31T12:00:00.123Z level process[pid]: text`. Never a parameter's value. */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include "common/base.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_CRIT };

/* Where lines go (default: descriptor 2), from which level on (default LOG_INFO), and the process's name in them. */
void log_set_fd(int fd);
void log_set_level(enum log_level level);
void log_set_name(const char *name);

void log_write(enum log_level level, const char *fmt, ...) PRINTF(2, 3);

#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)

/* At most one line each interval_us for this place; tells how many were left out. */
struct log_limit {
    int64_t next_us;
    unsigned dropped;
};
bool log_limit_pass(struct log_limit *limit, int64_t interval_us, int64_t now_us);

#endif
