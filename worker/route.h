/* A route at work: its statements, the types that PostgreSQL gave its parameters, and the shape of its rows. A route is
 * described by the database before its first request can run; what could not be described yet is tried again when a
 * request needs it, at most once a second. */
#ifndef WORKER_ROUTE_H
#define WORKER_ROUTE_H

#include "common/log.h"
#include "sql/encode.h"
#include "sql/pool.h"
#include "worker/service.h"

enum route_state { ROUTE_UNKNOWN, ROUTE_DESCRIBING, ROUTE_READY, ROUTE_BAD };

struct route_waiter {
    void (*described)(void *arg);
    void *arg;
    struct route_waiter *next;
};

struct route {
    struct service *service;
    const struct conf_route *conf;
    int row;            /* in the statistics */
    uint32_t own_tag;   /* that all its answers have: purge.h */
    int permit_row;     /* PERMIT_NO_ROW: it has no limit of its own */
    int permit_waiters; /* requests of this worker that wait for its permits */
    struct arena *arena;
    struct query *query;
    struct pool_statement *statements;
    struct page *page;               /* NULL: its rows come at once */
    struct combine *combine;         /* NULL: each lookup has a query of its own */
    const struct conf_param **rules; /* rules[i] belongs to query->names[i]; NULL: none */
    bool *in_path;                   /* query->names[i] stands in the path */
    enum route_state state;
    uint32_t *types; /* of query->names[i], by OID */
    int answer;      /* the statement whose rows are the answer; -1: none has any */
    struct encode_plan *plan;
    uint32_t always, credentials; /* of the header fields that an upstream is passed (variant.h) */
    int64_t retry_us;             /* ROUTE_UNKNOWN after PostgreSQL refused the query: not before */
    struct err problem;           /* why it is not ready */
    struct route_waiter *waiters;
    struct log_limit faults_log; /* each of its requests could cause a line */
};

/* Parses the queries of all routes; a text that does not parse is a bad route (perfd -t would have told). */
struct route *routes_create(struct service *service) MUST_USE;
void routes_destroy(struct route **routes, int count);
/* One after the other; done comes from the loop when each has been tried or the database cannot be reached. */
void routes_describe_all(struct service *service, void (*done)(struct service *service));

/* True: ready, or it will not be (look at state). False: described() will be called from the loop. */
bool route_await(struct route *route, int64_t now_us, void (*described)(void *arg), void *arg) MUST_USE;
/* The plan for this result, made anew when a changed table changed its columns. NULL: err says why it has no shape. */
struct encode_plan *route_plan(struct route *route, const PGresult *result, struct err *err) MUST_USE;
/* Logs PostgreSQL's refusal of the route's statement with the query's file, line and column. ran: with parameters,
 * whose values are left out. */
void route_log_refusal(struct route *route, const struct pool_outcome *outcome, bool ran);

/* Whether a line of the error log that each of its requests could cause may be written now. */
bool route_may_log(struct route *route);

#endif
