/* A worker's connections to PostgreSQL and the lines of those who wait for one. Everything is asynchronous on the given
 * event loop; nothing here blocks. Callbacks never run inside the call that registers them, and come exactly once.
 *
 * Short reads share connections: what arrives in one turn of the loop goes out together, behind what is at work there
 * already, in one transaction. All else has a connection to itself while it runs. Which reads are short is measured. An
 * error in a shared transaction, or one that waits for a lock, is not seen by its neighbours: they run again. */
#ifndef SQL_POOL_H
#define SQL_POOL_H

#include "common/conf.h"
#include "sql/lease.h"
#include "sql/query.h"

#include <libpq-fe.h>

struct event_base;
struct pool;

enum pool_fail {
    POOL_OK,
    POOL_REJECTED, /* too many wait, or it has waited too long behind them: 503 */
    POOL_DOWN,     /* database unreachable, or the connection broke under the query: 503 */
    POOL_TIMEOUT,  /* waited longer than acquire_timeout, or the time was over without an answer: 504 */
    POOL_SQL,      /* PostgreSQL refused: sqlstate and message */
    POOL_STOPPED,  /* its taker wanted no more */
};

/* Statements' ids: what the folder sql asks for itself, then the routes'. */
enum { POOL_WAL_STATEMENT, POOL_BUDGET_STATEMENT, POOL_FIRST_ROUTE_STATEMENT };

struct pool_statement {
    const char *text;
    uint32_t id; /* the same id is the same text for the pool's life; prepared on a connection when first used there */
    int param_count;
    bool shares; /* a read that leaves no trace in its transaction: others may run in the same one */
};

/* What a taker of rows wants now. */
enum pool_flow {
    FLOW_MORE,
    FLOW_WAIT,  /* no more until pool_resume() */
    FLOW_ALONE, /* pool_begin() has said no: the statement runs again on a connection to itself */
    FLOW_STOP,  /* no more at all: the statement is cancelled */
};

/* Takes one statement's rows while they come: of a result that may be too large to be held. */
struct pool_taker {
    int statement;
    /* Some of its rows, or none with the columns at their end; the result is the taker's from here on. NULL: what was
     * taken is void, as the statement runs again. */
    enum pool_flow (*rows)(void *arg, PGresult *result);
    void *arg;
};

/* One unit of work: its statements run in one transaction and one round trip. */
struct pool_work {
    const struct pool_statement *statements; /* must outlive the pool */
    int statement_count;
    const char *const *const *values; /* values[statement][i]: text format or NULL; must live until done */
    bool read_only;                   /* runs with default_transaction_read_only; else read write */
    enum plan_mode plan;
    int64_t timeout_us;  /* statement time-out; answered POOL_TIMEOUT soon after it even if the server hangs */
    int64_t deadline_us; /* CLOCK_MONOTONIC: neither waiting nor running nor running again goes on longer; 0: none */
    const struct pool_taker *taker; /* must live until done; NULL: all results come with the outcome */
    bool describe;                  /* do not run: prepare and describe; results[i] has columns and parameter types */
    const void *owner;              /* for pool_observe */
    struct lease *lease;            /* held until PostgreSQL is done with it, seen or unseen; NULL: none */
};

struct pool_outcome {
    enum pool_fail fail;
    const PGresult *const *results; /* one a statement when POOL_OK, NULL for the taker's; cleared after the callback */
    int failed_statement;           /* POOL_SQL: index, or 0 */
    char sqlstate[6];               /* POOL_SQL */
    bool cancelled;                 /* POOL_SQL 57014, though its time was not over: somebody else's cancel */
    const char *message;            /* never NULL; PostgreSQL's primary text */
    bool free_words;                /* they may be anything: wording.h */
    const char *detail;             /* may be NULL */
    const char *constraint;         /* may be NULL */
    int position;                   /* character in the statement's text, from 1; 0 unknown */
    int bind_param;                 /* N when the value of $N was refused at Bind, else 0 */
    int64_t rows;                   /* POOL_OK: read or changed, by all statements */
    int64_t wait_us;                /* for a connection */
    int64_t run_us;                 /* from sending to the last row */
};

typedef void pool_done(void *arg, const struct pool_outcome *outcome);

struct pool_metrics {
    int max, active, idle, connecting, waiting;
    int64_t max_wait_us;
    uint64_t queries, errors, cancelled, opened, closed;
    uint64_t timeouts, rejected; /* of work with an owner; not what the primary does because a replica is down */
    uint64_t pipelined;          /* sent on a connection that was at work with others */
    uint64_t repeated;           /* run again because another one's error or delay stood in their way */
};

/* Told of everything that ran, before its done. gone: its consumer was, so it was cancelled. work->values is NULL where
 * they may not live any more. */
typedef void pool_observe(void *arg, const struct pool_work *work, const struct pool_outcome *outcome, bool gone);

/* conf must outlive the pool. observe may be NULL. */
struct pool *pool_create(struct event_base *base, const struct conf *conf, pool_observe *observe,
                         void *observe_arg) MUST_USE;
/* To the host-th host of replica_url alone. */
struct pool *pool_create_replica(struct event_base *base, const struct conf *conf, int host, pool_observe *observe,
                                 void *observe_arg) MUST_USE;
/* Warnings that every worker's pool would give alike are left to another one's. */
void pool_hush(struct pool *pool);
void pool_destroy(struct pool **pool); /* what is under way gets POOL_DOWN first */

/* Returns a ticket for pool_forget(). A serialization failure or deadlock (40001, 40P01) is retried once, a read
 * that others cancelled is too, a statement that the server has lost or whose plan changed (26000, 0A000) is prepared
 * again once. */
struct pool_job *pool_run(struct pool *pool, const struct pool_work *work, pool_done *done, void *arg);
/* It has no connection yet. */
bool pool_waits(const struct pool *pool, const struct pool_job *job);
/* Of one that waits: it keeps its place, and runs this instead. The same database is meant, and as much of it. */
void pool_amend(struct pool *pool, struct pool_job *job, const struct pool_work *work);
/* The consumer is gone: done will not be called. A read that runs is cancelled, and its connection given up; a write
 * goes on to its end. */
void pool_forget(struct pool *pool, struct pool_job *job);

/* For a taker, within its call: what it has taken goes to its consumer, so the statement cannot run again, deadline_us
 * is met, and the connection is its own until the end. False: others share the statement's transaction, see FLOW_ALONE.
 */
bool pool_begin(struct pool_job *job) MUST_USE;
/* For a taker that had it wait: more rows, from the loop. */
void pool_resume(struct pool_job *job);

enum pool_health { POOL_STARTING, POOL_UP, POOL_UNREACHABLE };
enum pool_health pool_health(const struct pool *pool);
const char *pool_last_error(const struct pool *pool); /* "" if none */
void pool_metrics(const struct pool *pool, struct pool_metrics *metrics_out);
int pool_load(const struct pool *pool); /* requests that run or wait */
/* Gives up idle connections at once and makes no spare ones (a worker that drains). */
void pool_drain(struct pool *pool);

#endif
