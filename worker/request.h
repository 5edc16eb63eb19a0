/* One request from its bytes to its answer. It is matched to a route, its parameters are read, then fetch.c answers
 * what may be cached and write.c what changes something. reply.h has the exits: exactly one of them ends a request. */
#ifndef WORKER_REQUEST_H
#define WORKER_REQUEST_H

#include "shm/cache.h"
#include "sql/encode.h"
#include "worker/http.h"
#include "worker/params.h"
#include "worker/service.h"

struct permit;
struct upstream_request;

struct rate_told {
    struct slice fields; /* of the answer's head */
    int64_t retry_after_s;
};

/* A longer body is read by a thread: one of so many bytes takes 100 us to scan, and what it says as long again to be
 * typed (tests/bench/thresholds). */
enum { REQUEST_READ_AT_ONCE_BYTES = 32 << 10 };

enum source { SOURCE_NONE, SOURCE_HIT, SOURCE_STALE, SOURCE_COALESCED, SOURCE_REDIS, SOURCE_MISS };

struct request {
    struct service *service;
    struct http_request *http; /* NULL: answered */
    struct arena *arena;
    int holds; /* the consumer's, until it is answered, and those of who works on for others */
    int64_t started_us, deadline_us;
    int depth;       /* in how many other requests it is */
    struct slice id; /* with its NUL */
    bool of_admin;   /* it came to the admin's listener */
    struct target target;
    const struct router_place *place;
    struct slice *path_values;
    enum method method;  /* HEAD is GET here */
    struct route *route; /* NULL: none was found */
    struct param_value *values;
    struct upstream_request *outgoing; /* of a route with an upstream */
    /* Of a route with an upstream that is passed header fields: their values, as `forward` names them; copies that
     * outlive the consumer. at NULL: the upstream does not get it. */
    struct slice *forwarded;
    bool personal;             /* they tell the upstream who asks */
    struct page_turn *page;    /* of a route with pages */
    struct slice head;         /* header fields of the answer that no other one has; empty: none */
    enum encode_format format; /* of rows, as the consumer wants them */
    enum source source;
    struct http_origin origin; /* but for what source and route tell */
    int64_t wait_us, run_us;   /* of the database or upstream, for the log; -1: it was not asked */
    char sqlstate[6];          /* of the error that PostgreSQL answered, for the log; "": it did not */
    struct permit *permit;     /* NULL: it has or needs none */
    struct problem problem;
    const struct rate_told *rate; /* what the answer tells of its rate_limit; NULL: nothing */
};

/* Keeps the request, answered or not, until as many releases. */
void request_hold(struct request *request);
void request_release(struct request *request);

/* Answers what can be answered from shared memory at once, as request_begin() would. */
bool request_hit(void *service, struct http_request *http);
/* The handlers of consumers' and of admins' listeners. */
void request_begin(void *service, struct http_request *http);
void request_begin_admin(void *service, struct http_request *http);

#endif
