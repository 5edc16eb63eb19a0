/* A worker's way to one HTTP API: its connections, the line of those who wait for one, what is sent again, and when the
 * API is left alone. Everything is asynchronous on the worker's loop. Callbacks never run inside the call that
 * registers them, and come exactly once.
 *
 * A request that finds no free connection opens one, up to max_connections; beyond that it waits. After failures in a
 * row everything is refused at once for a while that grows, then one request tries (the breaker). What is idempotent is
 * sent again when nothing of an answer has come, within a budget. */
#ifndef WORKER_UPSTREAM_H
#define WORKER_UPSTREAM_H

#include "worker/http.h"
#include "worker/service.h"

struct upstream;
struct upstream_job;

/* All of it must live until done or upstream_forget(). */
struct upstream_request {
    enum method method;
    struct slice target; /* an absolute path with its query, percent-encoded; the url's base is put in front */
    struct slice body;
    const struct http_header *headers; /* beside Host, User-Agent and what frames the body; no CR, LF or NUL in them */
    int header_count;
    int64_t deadline_us; /* CLOCK_MONOTONIC */
    int64_t timeout_us;  /* what an answer may take by rights; where less than half of it is left, because the request
                            waited or its consumer's time is nearly over, a late one says nothing of the API */
};

enum upstream_fail {
    UPSTREAM_OK,        /* it answered, whatever its status */
    UPSTREAM_REJECTED,  /* too many wait, or it is left alone after failures: 503 */
    UPSTREAM_DOWN,      /* no connection, or it broke before an answer: 502 */
    UPSTREAM_BROKEN,    /* what came is no whole HTTP answer: 502 */
    UPSTREAM_TIMEOUT,   /* 504 */
    UPSTREAM_TOO_LARGE, /* above max_response: 502 */
};

struct upstream_outcome {
    enum upstream_fail fail;
    const char *message; /* for the log; never NULL */
    /* UPSTREAM_OK, until done returns. The body is decoded where it was compressed. */
    int status;
    const struct http_header *headers; /* the last answer's, not of one with 1xx; without trailers */
    int header_count;
    struct slice body;
    bool sent;       /* it may have reached the upstream */
    int64_t wait_us; /* for a connection */
    int64_t run_us;  /* from the first attempt to the last byte; -1: there was none */
};

typedef void upstream_done(void *arg, const struct upstream_outcome *outcome);

/* Lives as long as the worker. NULL: err says which certificates of authorities cannot be read. */
struct upstream *upstream_create(struct service *service, const struct conf_upstream *conf, struct err *err) MUST_USE;

/* Returns a ticket for upstream_forget(), good until done. */
struct upstream_job *upstream_run(struct upstream *upstream, const struct upstream_request *request,
                                  upstream_done *done, void *arg);
/* done will not be called; what is under way is cut off, and its connection closed. */
void upstream_forget(struct upstream_job *job);

/* Idle connections are closed, now and from now on (a worker that drains). */
void upstream_drain(struct upstream *upstream);

struct upstream_metrics {
    int active, idle, waiting;
    bool open; /* the breaker: everything is refused */
};
void upstream_metrics(const struct upstream *upstream, struct upstream_metrics *metrics_out);

/* The header field of that name, in whatever case; at NULL: none. */
struct slice upstream_field(const struct upstream_outcome *outcome, const char *name);

#endif
