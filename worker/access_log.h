/* The access log: one line a request, of JSON or in the combined format that web servers write, gathered and handed ten
 * times a second, or when there is much, to a thread that writes them (log_writer.h). */
#ifndef WORKER_ACCESS_LOG_H
#define WORKER_ACCESS_LOG_H

#include "common/err.h"
#include "common/slice.h"

struct access_log;
struct service;

struct access_line {
    const char *request_id, *remote, *method;
    struct slice target;
    int minor;                        /* of HTTP/1.minor */
    struct slice referer, user_agent; /* of the combined format alone; empty: none */
    struct slice trace_id;            /* empty: none */
    const char *route;                /* NULL: none was found */
    const char *cache;                /* NULL: the route has no cache */
    const char *sqlstate;             /* of the error that PostgreSQL answered; "": it did not */
    int status;
    bool cut;          /* off before its end */
    size_t sent_bytes; /* of the body */
    int64_t took_us;
    int64_t wait_us, database_us; /* -1: the database was not asked */
};

/* Of the service's configuration, on its loop. NULL: the file cannot be opened. */
struct access_log *access_log_create(struct service *service, struct err *err) MUST_USE;
void access_log_destroy(struct access_log **log); /* writes what is left, for a second at most */
bool access_log_is_on(const struct access_log *log);
void access_log_write(struct access_log *log, const struct access_line *line);
/* After rotation; goes on with the old file when the new one cannot be opened, and says so. */
void access_log_reopen(struct access_log *log);

#endif
