#include "sql/replicas.h"
#include "common/clock.h"
#include "common/log.h"
#include "sql/hosts.h"
#include "sql/lag.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PERIOD_MIN_US (50 * US_PER_MS)
#define PERIOD_MAX_US US_PER_S
enum { PERIODS_IN_LAG = 8 };
/* A replica that is asked and silent for so long is down. */
#define SILENCE_US US_PER_S

/* Of the primary and of a replica alike. */
static const struct pool_statement where_are_you = {
    .text = "SELECT s, CASE WHEN s THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, "
            "CASE WHEN s THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END, "
            "pg_postmaster_start_time() FROM pg_is_in_recovery() s",
    .id = POOL_WAL_STATEMENT,
    .shares = true};

struct replica {
    struct replicas *all;
    struct pool *pool;
    int64_t asked_us; /* 0: not asked now */
    struct lag_verdict verdict;
    bool good;    /* as was last said in the log */
    bool refused; /* the question: said once */
};

struct replicas {
    const struct conf *conf;
    struct pool *primary;
    struct tags *tags;
    struct lag lag;
    struct event tick;
    int64_t asked_us; /* the primary; 0: not now */
    uint64_t seq;     /* read before */
    int count;
    struct replica at[];
};

static struct pool_work question(const struct replicas *r)
{
    return (struct pool_work){.statements = &where_are_you,
                              .statement_count = 1,
                              .read_only = true,
                              .timeout_us = r->conf->database.statement_timeout_us};
}

static struct lag_place answer(const struct pool_outcome *outcome)
{
    const PGresult *result = outcome->results[0];
    struct lag_place place = {.standby = PQgetvalue(result, 0, 0)[0] == 't',
                              .arrived = lag_position(PQgetvalue(result, 0, 1)),
                              .applied = lag_position(PQgetvalue(result, 0, 2))};
    snprintf(place.started, sizeof place.started, "%s", PQgetvalue(result, 0, 3));
    return place;
}

/* ---- a replica ---- */

static int64_t fresh_until_us(const struct replica *replica)
{
    return replica->verdict.complete_us > 0 ? replica->verdict.complete_us + replica->all->lag.max_us : 0;
}

static void judge(struct replica *replica, struct lag_verdict verdict, const char *why)
{
    replica->verdict = verdict;
    bool good = fresh_until_us(replica) > clock_mono_us();
    if (good != replica->good)
        log_info("replica %d of %d is %s%s", (int)(replica - replica->all->at) + 1, replica->all->count,
                 good ? "read from" : "left alone: ", good ? "" : why);
    replica->good = good;
}

static void on_replica(void *arg, const struct pool_outcome *outcome)
{
    struct replica *replica = arg;
    int64_t asked_us = replica->asked_us;
    replica->asked_us = 0;
    bool unasked = outcome->fail == POOL_REJECTED || (outcome->fail == POOL_TIMEOUT && outcome->run_us == 0);
    if (unasked) /* for want of room: what was known of it ages by itself */
        return;
    if (outcome->fail == POOL_OK) {
        struct lag_place place = answer(outcome);
        judge(replica, lag_judge(&replica->all->lag, &place, asked_us), "it is too far behind");
    } else {
        judge(replica, (struct lag_verdict){0}, outcome->message);
    }
    if (outcome->fail == POOL_SQL && !replica->refused)
        log_warn("a replica cannot be used: %s", outcome->message);
    replica->refused = outcome->fail == POOL_SQL;
}

static void ask_replicas(struct replicas *r)
{
    const struct pool_work work = question(r);
    int64_t now_us = clock_mono_us();
    for (int i = 0; i < r->count; i++) {
        struct replica *replica = &r->at[i];
        if (replica->asked_us > 0) {
            if (now_us - replica->asked_us > SILENCE_US)
                judge(replica, (struct lag_verdict){0}, "it does not answer");
            continue;
        }
        replica->asked_us = now_us;
        pool_run(replica->pool, &work, on_replica, replica);
    }
}

/* ---- the primary ---- */

static bool is_away(const struct pool_outcome *outcome)
{
    return outcome->fail == POOL_DOWN || (outcome->fail == POOL_TIMEOUT && outcome->run_us > 0);
}

static void on_primary(void *arg, const struct pool_outcome *outcome)
{
    struct replicas *r = arg;
    int64_t asked_us = r->asked_us;
    bool unasked = outcome->fail == POOL_REJECTED || (outcome->fail == POOL_TIMEOUT && outcome->run_us == 0);
    r->asked_us = 0;
    if (unasked) /* for want of room: what was known of it ages by itself */
        return;
    if (outcome->fail == POOL_OK) {
        struct lag_place place = answer(outcome);
        lag_note_primary(&r->lag, &place, r->seq, asked_us);
    } else if (is_away(outcome)) {
        lag_note_primary_away(&r->lag);
    }
    ask_replicas(r);
}

static void ask_primary(struct replicas *r)
{
    const struct pool_work work = question(r);
    int64_t now_us = clock_mono_us();
    if (r->asked_us > 0) {
        if (now_us - r->asked_us > SILENCE_US)
            ask_replicas(r);
        return;
    }
    r->asked_us = now_us;
    r->seq = tags_now(r->tags);
    pool_run(r->primary, &work, on_primary, r);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct replicas *r = arg;
    int64_t period_us = MIN(MAX(r->lag.max_us / PERIODS_IN_LAG, PERIOD_MIN_US), PERIOD_MAX_US);
    struct timeval tv = {period_us / US_PER_S, period_us % US_PER_S};
    ask_primary(r);
    event_add(&r->tick, &tv);
}

/* ---- the interface ---- */

struct replicas *replicas_create(struct event_base *base, const struct conf *conf, struct pool *primary,
                                 struct tags *tags, pool_observe *observe, void *observe_arg)
{
    int count = hosts_count(conf->database.replica_url);
    struct replicas *r = xcalloc(1, sizeof *r + (size_t)count * sizeof *r->at);
    r->conf = conf;
    r->primary = primary;
    r->tags = tags;
    r->count = count;
    lag_init(&r->lag, conf->database.max_lag_us);
    for (int i = 0; i < count; i++) {
        r->at[i].all = r;
        r->at[i].pool = pool_create_replica(base, conf, i, observe, observe_arg);
    }
    event_assign(&r->tick, base, -1, 0, on_tick, r);
    event_active(&r->tick, EV_TIMEOUT, 1);
    return r;
}

struct pool *replicas_choose(struct replicas *r, const uint32_t *tag_slots, int tag_count)
{
    struct pool *best = NULL;
    int64_t now_us = clock_mono_us();
    int least = 0;
    for (int i = 0; i < r->count; i++) {
        struct replica *replica = &r->at[i];
        if (fresh_until_us(replica) <= now_us || pool_health(replica->pool) != POOL_UP ||
            (tag_count > 0 && !tags_valid(r->tags, replica->verdict.seq, tag_slots, tag_count)))
            continue;
        int load = pool_load(replica->pool);
        if (best != NULL && load >= least)
            continue;
        best = replica->pool;
        least = load;
    }
    return best;
}

/* The server's state or what it has not got yet, and not the request's values or its own time-out. */
static bool is_servers_fault(const char *state)
{
    static const char *const classes[] = {"08", "25", "40", "42", "53", "55", "57", "58", "XX"};
    for (size_t i = 0; i < ARRAY_LEN(classes); i++)
        if (strncmp(state, classes[i], 2) == 0)
            return strcmp(state, "57014") != 0;
    return false;
}

bool replicas_failed(struct replicas *r, const struct pool *pool, const struct pool_outcome *outcome)
{
    if (outcome->fail == POOL_SQL)
        return is_servers_fault(outcome->sqlstate);
    for (int i = 0; i < r->count && outcome->fail == POOL_DOWN; i++)
        if (r->at[i].pool == pool)
            judge(&r->at[i], (struct lag_verdict){0}, outcome->message);
    return outcome->fail == POOL_DOWN;
}

static void add_metrics(struct pool_metrics *sum, const struct pool_metrics *m)
{
    sum->active += m->active;
    sum->idle += m->idle;
    sum->connecting += m->connecting;
    sum->waiting += m->waiting;
    sum->max_wait_us = MAX(sum->max_wait_us, m->max_wait_us);
    sum->queries += m->queries;
    sum->errors += m->errors;
    sum->timeouts += m->timeouts;
    sum->rejected += m->rejected;
    sum->cancelled += m->cancelled;
    sum->opened += m->opened;
    sum->closed += m->closed;
    sum->pipelined += m->pipelined;
    sum->repeated += m->repeated;
}

void replicas_metrics(const struct replicas *r, struct replicas_metrics *out)
{
    int64_t now_us = clock_mono_us();
    *out = (struct replicas_metrics){.count = r->count, .max = r->count * r->conf->database.replica_max};
    for (int i = 0; i < r->count; i++) {
        const struct replica *replica = &r->at[i];
        struct pool_metrics m;
        pool_metrics(replica->pool, &m);
        add_metrics(&out->pools, &m);
        out->usable += fresh_until_us(replica) > now_us;
        if (replica->verdict.complete_us > 0)
            out->lag_us = MAX(out->lag_us, now_us - replica->verdict.complete_us);
    }
}

void replicas_drain(struct replicas *r)
{
    event_del(&r->tick);
    for (int i = 0; i < r->count; i++)
        pool_drain(r->at[i].pool);
}
