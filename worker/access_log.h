/* The access log: one line of JSON a request, gathered and written ten times a second or when there is much. */
#ifndef WORKER_ACCESS_LOG_H
#define WORKER_ACCESS_LOG_H

#include "common/err.h"
#include "common/slice.h"

struct event_base;
struct access_log;

struct access_line {
    const char *request_id, *remote, *method;
    struct slice target;
    struct slice trace_id; /* empty: none */
    const char *route;     /* NULL: none was found */
    const char *cache;     /* NULL: the route has no cache */
    int status;
    bool cut;          /* off before its end */
    size_t sent_bytes; /* of the body */
    int64_t took_us;
    int64_t wait_us, database_us; /* -1: the database was not asked */
};

/* path is a file, "stderr" or "off". NULL: it cannot be opened. */
struct access_log *access_log_create(struct event_base *base, const char *path, struct err *err) MUST_USE;
void access_log_destroy(struct access_log **log); /* writes what is left */
bool access_log_is_on(const struct access_log *log);
void access_log_write(struct access_log *log, const struct access_line *line);
void access_log_reopen(
    struct access_log *log); /* after rotation; keeps the old file when the new one cannot be opened */

#endif
