#include "worker/access_log.h"
#include "common/clock.h"
#include "common/json_write.h"
#include "common/log.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { WRITE_AT_BYTES = 64 << 10 };
#define WRITE_EVERY_US (100 * US_PER_MS)

struct access_log {
    const char *path;
    int fd; /* -1: off */
    struct buf lines;
    struct event timer;
    int64_t second; /* of `stamp` */
    char stamp[CLOCK_STAMP_BYTES];
};

static int open_log(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
}

/* Whole lines in one write with O_APPEND, so that workers' lines do not mix. */
static void write_out(struct access_log *log)
{
    static struct log_limit limit;
    size_t done = 0;
    while (done < log->lines.len) {
        ssize_t n = write(log->fd, log->lines.at + done, log->lines.len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (log_limit_pass(&limit, 10 * US_PER_S, clock_mono_us()))
                log_error("access log %s: %s; lines are lost", log->path, strerror(errno));
            break;
        }
        done += (size_t)n;
    }
    log->lines.len = 0;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    write_out(arg);
}

struct access_log *access_log_create(struct event_base *base, const char *path, struct err *err)
{
    struct access_log *log = xcalloc(1, sizeof *log);
    log->path = path;
    log->fd = strcmp(path, "off") == 0 ? -1 : strcmp(path, "stderr") == 0 ? STDERR_FILENO : open_log(path);
    if (log->fd < 0 && strcmp(path, "off") != 0) {
        err_set(err, "access log %s: %s", path, strerror(errno));
        free(log);
        return NULL;
    }
    event_assign(&log->timer, base, -1, 0, on_timer, log);
    return log;
}

void access_log_destroy(struct access_log **doomed)
{
    struct access_log *log = *doomed;
    *doomed = NULL;
    event_del(&log->timer);
    if (log->fd >= 0)
        write_out(log);
    if (log->fd > STDERR_FILENO)
        close(log->fd);
    buf_deinit(&log->lines);
    free(log);
}

void access_log_reopen(struct access_log *log)
{
    if (log->fd <= STDERR_FILENO)
        return;
    int fd = open_log(log->path);
    if (fd < 0) {
        log_error("access log %s: %s; going on with the old file", log->path, strerror(errno));
        return;
    }
    write_out(log);
    close(log->fd);
    log->fd = fd;
}

static void write_time(struct access_log *log)
{
    int64_t now_us = clock_wall_us();
    int64_t second = now_us / US_PER_S;
    if (second != log->second) {
        clock_stamp(now_us, log->stamp);
        log->second = second;
    }
    buf_printf(&log->lines, "{\"time\":\"%s.%06dZ\"", log->stamp, (int)(now_us % US_PER_S));
}

static void write_text(struct buf *out, const char *name, const char *value)
{
    if (value == NULL)
        return;
    json_write_key(out, name);
    json_write_string(out, slice_str(value));
}

static void write_int(struct buf *out, const char *name, int64_t value)
{
    if (value < 0)
        return;
    json_write_key(out, name);
    json_write_int(out, value);
}

/* A target comes from outside: what is not UTF-8, and what a terminal would obey, is percent-encoded. */
static void write_target(struct buf *out, struct slice target)
{
    json_write_key(out, "target");
    buf_addc(out, '"');
    for (size_t i = 0; i < target.len; i++) {
        unsigned char c = (unsigned char)target.at[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\')
            buf_printf(out, "%%%02X", c);
        else
            buf_addc(out, (char)c);
    }
    buf_addc(out, '"');
}

bool access_log_is_on(const struct access_log *log)
{
    return log->fd >= 0;
}

void access_log_write(struct access_log *log, const struct access_line *line)
{
    if (!access_log_is_on(log))
        return;
    struct buf *out = &log->lines;
    if (out->len == 0) {
        struct timeval soon = {0, WRITE_EVERY_US};
        event_add(&log->timer, &soon);
    }
    write_time(log);
    write_text(out, "request_id", line->request_id);
    if (line->trace_id.len > 0) {
        json_write_key(out, "trace_id");
        json_write_string(out, line->trace_id);
    }
    write_text(out, "remote", line->remote);
    write_text(out, "method", line->method);
    write_target(out, line->target);
    write_int(out, "status", line->status);
    write_int(out, "bytes", (int64_t)line->sent_bytes);
    if (line->cut)
        buf_adds(out, ",\"cut\":true");
    write_int(out, "duration_us", line->took_us);
    write_text(out, "route", line->route);
    write_text(out, "cache", line->cache);
    write_int(out, "wait_us", line->wait_us);
    write_int(out, "database_us", line->database_us);
    buf_adds(out, "}\n");
    if (out->len >= WRITE_AT_BYTES)
        write_out(log);
}
