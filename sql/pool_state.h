/* What the pool's files share, and nobody else: pool.c (the interface and the ends of jobs), pool_member.c (connections
 * come and go), pool_failover.c (to which server), pool_wait.c (who waits, and for how long), pool_place.c (which job
 * runs where), pool_answer.c (what became of it). */
#ifndef SQL_POOL_STATE_H
#define SQL_POOL_STATE_H

#include "sql/codel.h"
#include "sql/conn.h"
#include "sql/pool_job.h"
#include "sql/timing.h"

#include <event2/event_struct.h>

struct member {
    struct pool *pool;
    struct conn *conn;    /* NULL: free place */
    int running;          /* jobs that it has; 0: idle, or being made */
    bool shared;          /* others may join them */
    bool bulk;            /* what it has is a large result */
    int gone;             /* of them reads whose consumers are gone */
    int64_t stuck_us;     /* since when it was silent when the watch last saw that nobody waits for it */
    bool clogged;         /* takes no more until it is idle: something there goes on for too long */
    int64_t cancelled_us; /* when that was last told to end, for the sake of the others */
    int64_t backlog_us;   /* what its jobs are expected to take */
    int64_t opened_us, idle_since_us, retire_us;
    bool announced; /* it was idle once: the connect succeeded */
    unsigned host;  /* that its connect went to; settled once their number is known */
};

struct pool {
    struct event_base *base;
    const struct conf *conf;
    struct conn_settings settings;
    pool_observe *observe;
    void *observe_arg;
    struct member *members; /* as many as places */
    int places, max, min;   /* max: of them, the connections that there may be */
    /* The server's: one connection until it is known; UNSURE: it gave no answer, the next connection asks again. */
    enum { BUDGET_UNKNOWN, BUDGET_ASKED, BUDGET_UNSURE, BUDGET_KNOWN } budget;
    bool hushed;
    struct job_line lines[JOB_KINDS]; /* first come, first served */
    struct crowds crowds;             /* of all lines */
    struct codel delays[JOB_KINDS];
    struct job_line ended; /* failed inside pool_run(): told from the loop */
    struct event tick;     /* limits of age and idleness, spare connections, reconnects */
    struct event deliver;
    struct event round; /* at the end of the loop's turn: what came in it goes out together */
    struct event watch; /* for those that stand in the way of others */
    bool watching;
    struct event acquire;   /* a waiter's time is up */
    int64_t acquire_at_us;  /* when that looks; 0: not set */
    struct timing *timings; /* of statements, by id */
    uint32_t timing_count;
    int64_t way_us; /* to the server and back: as the last connect found it, or the least that anything took since */
    int64_t shorts_seen_us;
    enum pool_health health;
    bool draining;
    int failures;      /* connects in a row that failed, each begun after the last had failed */
    int64_t failed_us; /* when one last did */
    int64_t backoff_us, connect_after_us;
    int host_count;     /* that the url has, as far as is known */
    unsigned good_host; /* the last one that a connect succeeded with */
    bool seeking;       /* it may be another one by now */
    int64_t found_us;   /* when a connect last succeeded */
    int64_t left_us;    /* when a server was last left because it was a standby */
    char last_error[512];
    bool is_replica; /* what it fails to do because it is down goes to the primary */
    struct pool_metrics metrics;
};

void pool_add_timer(struct event *event, int64_t delay_us);
/* Asks the server how many connections it allows. */
void pool_ask_budget(struct pool *pool, int64_t now_us);

/* ---- pool_wait.c ---- */

/* Behind all others of its kind, or in front of them; where its time to give up is looked after. */
void wait_last(struct pool *pool, struct job *job, int64_t now_us);
void wait_first(struct pool *pool, struct job *job, int64_t now_us);
int wait_count(const struct pool *pool);
/* True: one of the route with most waiting has given way to this job. */
bool wait_make_room(struct pool *pool, const struct job *job);
/* Those whose turn it is to a member. */
void wait_dispatch(struct pool *pool, int64_t now_us);
/* Answers the job and frees it; what the outcome points to lives on meanwhile. */
void wait_tell(struct job *job, const struct pool_outcome *outcome);
void wait_fail(struct pool *pool, struct job *job, enum pool_fail why, const char *message);
/* The same from inside pool_run(): the loop tells it. */
void wait_fail_later(struct pool *pool, struct job *job, enum pool_fail why);
void wait_fail_line(struct pool *pool, struct job_line *line); /* with what the connections failed for */
void wait_fail_all(struct pool *pool);
void wait_on_deliver(evutil_socket_t fd, short what, void *pool);
void wait_on_acquire(evutil_socket_t fd, short what, void *pool);

/* ---- pool_answer.c ---- */

void answer_on_changed(void *member);
/* Nobody waits for what the member runs: the server is told to end it. The connection goes too, as that may come late.
 */
void answer_cancel(struct pool *pool, struct member *m);
/* Looks soon for those that stand in the way of others. */
void answer_watch(struct pool *pool);
void answer_on_watch(evutil_socket_t fd, short what, void *pool);

/* ---- pool_member.c ---- */

void member_open_wanted(struct pool *pool, int64_t now_us);
void member_close(struct member *m);
bool member_is_old(const struct member *m, int64_t now_us); /* it takes nothing new, and goes when it is idle */
bool member_is_idle(const struct member *m);
bool member_any_working(const struct pool *pool);
bool member_are_too_many(const struct pool *pool); /* since the server's budget is known */
void member_retire_idle(struct pool *pool, int64_t now_us);
/* Its connection is ready for the first time, or broke before it ever was, or later. */
void member_opened(struct member *m, int64_t now_us);
void member_failed(struct member *m, int64_t now_us);

/* ---- pool_failover.c: where the primary is. A connect goes to one host. While it is not known which one is good,
 * there is one to each at a time, so that none waits behind a host that does not answer. ---- */

void failover_init(struct pool *pool);
bool failover_seeks(const struct pool *pool);
unsigned failover_host(const struct pool *pool); /* for the next connect */
void failover_opened(struct member *m, int64_t now_us);
/* Its connect failed, but another one found the good host meanwhile. */
bool failover_is_elsewhere(const struct member *m);
void failover_broke(struct member *m);
/* Asked for each answer: when it tells that the server is a standby where a primary is needed, the connections to it
 * are given up. True: it is a write that was refused as the session is read-only, so it did not happen; its connection
 * is given up whatever the server is. */
bool failover_noticed(struct member *m, const struct job *job, int64_t now_us);
/* No answer came to what was sent then: idle connections that have been silent since are given up. */
void failover_silence(struct member *m, int64_t since_us);

/* ---- pool_place.c ---- */

/* Before it goes to a line or a member: its kind is told once, so that whoever judges a line and whoever places its
 * first agree. */
void place_classify(struct pool *pool, struct job *job);
/* How many connections large results may have at once. */
int place_bulk_share(const struct pool *pool);
int place_count_bulk(const struct pool *pool);
/* Its result turned out to be large: its member takes nothing else, and those that are there go elsewhere. */
void place_begin_bulk(struct job *job);
/* NULL: none has room now. */
struct member *place_find(struct pool *pool, struct job *job, int64_t now_us);
/* Gives it to the member, which sends it with the round. */
void place_put(struct member *m, struct job *job, int64_t now_us);
/* Off its member; what it took is noted. */
void place_leave(struct job *job, int64_t now_us);
struct timing *place_timing(struct pool *pool, const struct job *job);
/* What place_put() gave them. */
void place_send_all(struct pool *pool, int64_t now_us);

#endif
