#include "worker/access_log.h"
#include "common/clock.h"
#include "common/conf.h"
#include "common/log.h"
#include "worker/access_format.h"
#include "worker/log_writer.h"
#include "worker/service.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

/* With the timer losses are looked at, too: while there are none, and no lines, it sleeps. */
enum { HAND_OVER_AT_BYTES = 64 << 10 };
#define HAND_OVER_EVERY_US (100 * US_PER_MS)
#define TELL_EVERY_US (10 * US_PER_S)

struct access_log {
    struct service *service;
    struct log_writer *writer; /* NULL: off */
    struct buf lines;
    int count;
    struct event timer;
    uint64_t lost; /* not told yet */
    int why;
    int64_t told_us;
};

static void hand_over(struct access_log *log)
{
    log_writer_put(log->writer, &log->lines, log->count);
    log->count = 0;
}

static void tell(struct access_log *log)
{
    log_error("access log %s: %s; %llu lines are lost", log->service->conf->access_log,
              log->why != 0 ? strerror(log->why) : "it is written too slowly", (unsigned long long)log->lost);
    log->lost = 0;
}

static void count_losses(struct access_log *log, const struct log_writer_losses *losses)
{
    if (losses->lines > 0) {
        stats_add(log->service->stats, log->service->slot, STAT_access_log_lost, (int64_t)losses->lines);
        log->lost += losses->lines;
        log->why = losses->why;
    }
    if (losses->reopen != 0)
        log_error("access log %s: %s; going on with the old file", log->service->conf->access_log,
                  strerror(losses->reopen));
}

static void look(struct access_log *log, int64_t now_us)
{
    struct log_writer_losses losses;
    log_writer_losses(log->writer, &losses);
    count_losses(log, &losses);
    if (log->lost > 0 && (log->told_us == 0 || now_us - log->told_us >= TELL_EVERY_US)) {
        log->told_us = now_us;
        tell(log);
    }
}

static void again(struct access_log *log)
{
    struct timeval soon = {0, HAND_OVER_EVERY_US};
    event_add(&log->timer, &soon);
}

/* Once more after the last lines, when it is known what became of them. */
static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct access_log *log = arg;
    bool had_lines = log->lines.len > 0;
    hand_over(log);
    look(log, clock_mono_us());
    if (had_lines || log->lost > 0)
        again(log);
}

struct access_log *access_log_create(struct service *service, struct err *err)
{
    struct access_log *log = xcalloc(1, sizeof *log);
    const char *path = service->conf->access_log;
    log->service = service;
    if (strcmp(path, "off") != 0 && (log->writer = log_writer_create(path, err)) == NULL) {
        free(log);
        return NULL;
    }
    event_assign(&log->timer, service->base, -1, 0, on_timer, log);
    return log;
}

void access_log_destroy(struct access_log **doomed)
{
    struct access_log *log = *doomed;
    struct log_writer_losses losses;
    *doomed = NULL;
    event_del(&log->timer);
    if (log->writer != NULL) {
        hand_over(log);
        log_writer_destroy(&log->writer, &losses);
        count_losses(log, &losses);
        if (log->lost > 0)
            tell(log);
    }
    buf_deinit(&log->lines);
    free(log);
}

void access_log_reopen(struct access_log *log)
{
    if (!access_log_is_on(log))
        return;
    hand_over(log);
    log_writer_reopen(log->writer);
    again(log);
}

bool access_log_is_on(const struct access_log *log)
{
    return log->writer != NULL;
}

void access_log_write(struct access_log *log, const struct access_line *line)
{
    if (!access_log_is_on(log))
        return;
    if (log->lines.len == 0)
        again(log);
    log->count++;
    switch (log->service->conf->access_log_format) {
    case ACCESS_LOG_JSON:
        access_format_json(&log->lines, line, clock_wall_us());
        break;
    case ACCESS_LOG_COMBINED:
        access_format_combined(&log->lines, line, clock_wall_us());
        break;
    }
    if (log->lines.len >= HAND_OVER_AT_BYTES)
        hand_over(log);
}
