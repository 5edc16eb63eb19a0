#include "common/log.h"
#include "common/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct {
    int fd;
    enum log_level level;
    char name[32];
} g = {2, LOG_INFO, "perfd"};

static const char *const level_names[] = {"debug", "info", "warn", "error", "crit"};

void log_set_fd(int fd)
{
    g.fd = fd;
}

void log_set_level(enum log_level level)
{
    g.level = level;
}

void log_set_name(const char *name)
{
    snprintf(g.name, sizeof g.name, "%s", name);
}

static void replace_control_bytes(char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < ' ')
            *s = ' ';
}

void log_write(enum log_level level, const char *fmt, ...)
{
    if (level < g.level)
        return;
    char line[2048];
    int64_t now_us = clock_wall_us();
    clock_stamp(now_us, line);
    size_t n = CLOCK_STAMP_BYTES - 1;
    n += (size_t)snprintf(line + n, sizeof line - n, ".%03dZ %s %s[%d]: ", (int)(now_us % US_PER_S / 1000),
                          level_names[level], g.name, (int)getpid());
    va_list args;
    va_start(args, fmt);
    int m = vsnprintf(line + n, sizeof line - n - 1, fmt, args);
    va_end(args);
    replace_control_bytes(line + n);
    if (m > 0)
        n = MIN(n + (size_t)m, sizeof line - 2);
    line[n++] = '\n';
    if (write(g.fd, line, n) < 0) {
        /* Nowhere is left to say that the log cannot be written. */
    }
}

bool log_limit_pass(struct log_limit *limit, int64_t interval_us, int64_t now_us)
{
    if (now_us < limit->next_us) {
        limit->dropped++;
        return false;
    }
    limit->next_us = now_us + interval_us;
    if (limit->dropped > 0)
        log_info("%u like the next line were left out", limit->dropped);
    limit->dropped = 0;
    return true;
}
