#include "worker/upstream.h"
#include "common/clock.h"
#include "common/log.h"
#include "sql/backoff.h"
#include "worker/upstream_breaker.h"
#include "worker/upstream_budget.h"
#include "worker/upstream_curl.h"
#include "worker/upstream_idle.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

enum job_state { JOB_WAITS, JOB_RUNS, JOB_TOLD /* from the loop, soon */ };

struct upstream_job {
    struct upstream *upstream;
    struct upstream_request request;
    upstream_done *done;
    void *arg;
    enum job_state state;
    bool probe; /* the breaker's */
    bool sent;
    int attempts;
    int64_t asked_us, began_us;
    struct slot *slot;       /* JOB_RUNS */
    enum upstream_fail fail; /* JOB_TOLD */
    const char *message;
    struct event late; /* JOB_WAITS: its deadline; JOB_TOLD: at once */
    struct upstream_job *prev, *next;
};

/* A connection. */
struct slot {
    struct upstream *upstream;
    struct curl_conn *conn;
    struct upstream_job *job; /* NULL: it is idle */
    bool connected;
    struct idle_conn idle;
};

struct upstream {
    struct service *service;
    const struct conf_upstream *conf;
    struct curl_shared *shared;
    struct upstream_idle idle;
    struct breaker breaker;
    struct retry_budget budget;
    struct upstream_job *jobs[JOB_TOLD + 1], *last[JOB_TOLD + 1]; /* in the order in which they came */
    int counts[JOB_TOLD + 1];
    int slots;
    struct event expiry; /* of idle connections */
    struct log_limit failures_log;
};

static void on_ended(void *arg, const struct curl_result *result);
static void on_lost(void *arg);
static const struct curl_events events = {on_ended, on_lost};

static void count(struct upstream *u, enum metric stat)
{
    service_count(u->service, stat);
}

/* ---- jobs ---- */

static void leave(struct upstream_job *job)
{
    struct upstream *u = job->upstream;
    *(job->prev ? &job->prev->next : &u->jobs[job->state]) = job->next;
    *(job->next ? &job->next->prev : &u->last[job->state]) = job->prev;
    job->prev = job->next = NULL;
    u->counts[job->state]--;
}

static void enter(struct upstream_job *job, enum job_state state)
{
    struct upstream *u = job->upstream;
    job->state = state;
    job->prev = u->last[state];
    *(job->prev ? &job->prev->next : &u->jobs[state]) = job;
    u->last[state] = job;
    u->counts[state]++;
}

static void set_timer(struct event *event, int64_t after_us)
{
    after_us = MAX(after_us, INT64_C(0));
    const struct timeval after = {after_us / US_PER_S, after_us % US_PER_S};
    event_add(event, &after);
}

/* It is in no list any more. */
static void finish(struct upstream_job *job, struct upstream_outcome *outcome)
{
    struct upstream *u = job->upstream;
    int64_t now_us = clock_mono_us();
    upstream_done *done = job->done;
    void *arg = job->arg;
    outcome->sent = job->sent;
    outcome->wait_us = (job->began_us > 0 ? job->began_us : now_us) - job->asked_us;
    outcome->run_us = job->began_us > 0 ? now_us - job->began_us : -1;
    stats_observe(u->service->stats, u->service->slot, HIST_upstream_wait, outcome->wait_us);
    if (job->began_us > 0)
        stats_observe(u->service->stats, u->service->slot, HIST_upstream, outcome->run_us);
    event_del(&job->late);
    free(job);
    done(arg, outcome);
}

static void fail(struct upstream_job *job, enum upstream_fail why, const char *message)
{
    finish(job, &(struct upstream_outcome){.fail = why, .message = message});
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct upstream_job *job = arg;
    leave(job);
    if (job->state == JOB_TOLD) {
        fail(job, job->fail, job->message);
        return;
    }
    count(job->upstream, STAT_upstream_timeouts);
    breaker_given_up(&job->upstream->breaker, job->probe);
    fail(job, UPSTREAM_TIMEOUT, "waited too long for a connection");
}

/* Within the call that asks. */
static void tell_later(struct upstream_job *job, enum upstream_fail why, const char *message)
{
    enter(job, JOB_TOLD);
    job->fail = why;
    job->message = message;
    set_timer(&job->late, 0);
}

/* ---- connections ---- */

static struct slot *slot_of(struct idle_conn *idle)
{
    return idle ? (struct slot *)(void *)((char *)idle - offsetof(struct slot, idle)) : NULL;
}

static struct slot *open_slot(struct upstream *u, int64_t now_us)
{
    struct slot *slot = xcalloc(1, sizeof *slot);
    slot->upstream = u;
    slot->idle.ends_us = now_us + backoff_jitter_us(u->conf->max_lifetime_us);
    slot->conn = curl_conn_create(u->shared, &events, slot);
    u->slots++;
    return slot;
}

static void close_slot(struct slot *slot)
{
    struct upstream *u = slot->upstream;
    if (slot->connected)
        count(u, STAT_upstream_closed);
    curl_conn_destroy(&slot->conn);
    u->slots--;
    free(slot);
}

static void watch_expiry(struct upstream *u, int64_t now_us)
{
    int64_t next_us = upstream_idle_next_us(&u->idle);
    if (next_us == INT64_MAX)
        event_del(&u->expiry);
    else
        set_timer(&u->expiry, next_us - now_us);
}

static void on_expiry(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct upstream *u = arg;
    int64_t now_us = clock_mono_us();
    struct idle_conn *old;
    while ((old = upstream_idle_expired(&u->idle, now_us)) != NULL)
        close_slot(slot_of(old));
    watch_expiry(u, now_us);
}

static void on_lost(void *arg)
{
    struct slot *slot = arg;
    upstream_idle_remove(&slot->upstream->idle, &slot->idle);
    close_slot(slot);
}

/* The timer is not moved with each use: what it finds too young it waits for again. */
static void put_aside(struct slot *slot, int64_t now_us)
{
    struct upstream *u = slot->upstream;
    struct idle_conn *doomed = upstream_idle_put(&u->idle, &slot->idle, now_us);
    if (doomed != NULL)
        close_slot(slot_of(doomed));
    if (!event_pending(&u->expiry, EV_TIMEOUT, NULL))
        watch_expiry(u, now_us);
}

/* NULL: there is none, and none may be made. */
static struct slot *find_slot(struct upstream *u, int64_t now_us)
{
    struct slot *slot = slot_of(upstream_idle_take(&u->idle, now_us));
    if (slot != NULL)
        return slot;
    on_expiry(-1, 0, u);
    return u->slots < u->conf->max_connections ? open_slot(u, now_us) : NULL;
}

/* ---- sending ---- */

static void run_on(struct upstream_job *job, struct slot *slot, int64_t now_us)
{
    if (job->began_us == 0)
        job->began_us = now_us;
    job->attempts++;
    job->slot = slot;
    slot->job = job;
    enter(job, JOB_RUNS);
    curl_conn_send(slot->conn, &job->request, job->request.deadline_us - now_us);
}

static void serve_waiting(struct upstream *u)
{
    struct slot *slot;
    int64_t now_us = clock_mono_us();
    while (u->jobs[JOB_WAITS] != NULL && (slot = find_slot(u, now_us)) != NULL) {
        struct upstream_job *job = u->jobs[JOB_WAITS];
        leave(job);
        event_del(&job->late);
        run_on(job, slot, now_us);
    }
}

static void start(struct upstream_job *job, int64_t now_us)
{
    struct upstream *u = job->upstream;
    struct slot *slot = u->jobs[JOB_WAITS] == NULL ? find_slot(u, now_us) : NULL;
    if (slot != NULL) {
        run_on(job, slot, now_us);
    } else if (u->counts[JOB_WAITS] >= u->conf->queue) {
        breaker_given_up(&u->breaker, job->probe);
        count(u, STAT_upstream_rejected);
        tell_later(job, UPSTREAM_REJECTED, "too many requests wait");
    } else {
        enter(job, JOB_WAITS);
        set_timer(&job->late, job->request.deadline_us - now_us);
    }
}

struct upstream_job *upstream_run(struct upstream *u, const struct upstream_request *request, upstream_done *done,
                                  void *arg)
{
    int64_t now_us = clock_mono_us();
    struct upstream_job *job = xcalloc(1, sizeof *job);
    *job = (struct upstream_job){.upstream = u, .request = *request, .done = done, .arg = arg, .asked_us = now_us};
    event_assign(&job->late, u->service->base, -1, 0, on_late, job);
    count(u, STAT_upstream_requests);
    retry_budget_earn(&u->budget);
    switch (breaker_ask(&u->breaker, now_us)) {
    case BREAKER_PROBES:
        job->probe = true;
        start(job, now_us);
        break;
    case BREAKER_ADMITS:
        start(job, now_us);
        break;
    case BREAKER_REFUSES:
        count(u, STAT_upstream_rejected);
        tell_later(job, UPSTREAM_REJECTED, "it is left alone after failures");
        break;
    }
    return job;
}

void upstream_forget(struct upstream_job *job)
{
    struct upstream *u = job->upstream;
    leave(job);
    breaker_given_up(&u->breaker, job->probe);
    event_del(&job->late);
    if (job->state == JOB_RUNS)
        close_slot(job->slot);
    free(job);
    serve_waiting(u);
}

/* ---- ends ---- */

/* 502 to 504 tell of the upstream as a whole, 500 of one request. */
static bool is_failure(const struct upstream_outcome *outcome)
{
    switch (outcome->fail) {
    case UPSTREAM_OK:
        return outcome->status >= 502 && outcome->status <= 504;
    case UPSTREAM_DOWN:
    case UPSTREAM_BROKEN:
    case UPSTREAM_TIMEOUT:
        return true;
    case UPSTREAM_TOO_LARGE:
    case UPSTREAM_REJECTED:
        break;
    }
    return false;
}

static void refuse_waiting(struct upstream *u)
{
    struct upstream_job *job;
    while ((job = u->jobs[JOB_WAITS]) != NULL) {
        leave(job);
        event_del(&job->late);
        count(u, STAT_upstream_rejected);
        tell_later(job, UPSTREAM_REJECTED, "it is left alone after failures");
    }
}

static void log_failure(struct upstream *u, const struct upstream_outcome *outcome, int64_t now_us)
{
    if (!log_limit_pass(&u->failures_log, US_PER_S, now_us))
        return;
    if (outcome->fail == UPSTREAM_OK)
        log_warn("upstream %s: answers %d", u->conf->name, outcome->status);
    else
        log_warn("upstream %s: %s", u->conf->name, outcome->message);
}

/* What was sent late. A probe of that kind shows nothing. */
static bool had_little_time(const struct upstream_job *job, const struct upstream_outcome *outcome)
{
    return outcome->fail == UPSTREAM_TIMEOUT && job->request.deadline_us - job->began_us < job->request.timeout_us / 2;
}

static void judge(struct upstream *u, const struct upstream_job *job, const struct upstream_outcome *outcome)
{
    int64_t now_us = clock_mono_us();
    if (outcome->fail != UPSTREAM_OK)
        count(u, outcome->fail == UPSTREAM_TIMEOUT ? STAT_upstream_timeouts : STAT_upstream_failures);
    if (!is_failure(outcome)) {
        if (breaker_succeeded(&u->breaker))
            log_info("upstream %s answers", u->conf->name);
        return;
    }
    log_failure(u, outcome, now_us);
    if (had_little_time(job, outcome)) {
        breaker_given_up(&u->breaker, job->probe);
        return;
    }
    if (!breaker_failed(&u->breaker, job->probe, now_us))
        return;
    log_error("upstream %s is left alone after %d failures in a row", u->conf->name, BREAKER_FAILURES);
    refuse_waiting(u);
}

/* RFC 9110 9.2.2; PATCH and POST are not idempotent. */
static bool may_repeat(struct upstream_job *job, const struct curl_result *result, int64_t now_us)
{
    struct upstream *u = job->upstream;
    enum method method = job->request.method;
    if (result->outcome.fail != UPSTREAM_DOWN || result->answered || job->probe || method == METHOD_POST ||
        method == METHOD_PATCH)
        return false;
    return job->attempts <= u->conf->retries && now_us < job->request.deadline_us && !breaker_is_open(&u->breaker) &&
           retry_budget_spend(&u->budget);
}

static void count_connection(struct slot *slot, const struct curl_result *result)
{
    struct upstream *u = slot->upstream;
    if (result->resent)
        count(u, STAT_upstream_retries);
    if (!result->opened) {
        if (result->outcome.sent)
            count(u, STAT_upstream_reused);
        return;
    }
    if (slot->connected)
        count(u, STAT_upstream_closed);
    count(u, STAT_upstream_opened);
    slot->connected = true;
}

/* "Keep-Alive: timeout=5": it is closed here before it is there, or what cannot be sent again would meet the end. */
static int64_t most_idle_us(const struct upstream_outcome *outcome)
{
    struct slice keep = upstream_field(outcome, "Keep-Alive");
    const char *at = keep.at ? strcasestr(keep.at, "timeout=") : NULL;
    int64_t told_us = at ? (int64_t)MIN(strtoul(at + strlen("timeout="), NULL, 10), 86400UL) * US_PER_S : 0;
    return MAX(told_us - US_PER_S, told_us / 2);
}

static void release(struct slot *slot, bool stays)
{
    slot->job = NULL;
    if (stays)
        put_aside(slot, clock_mono_us());
    else
        close_slot(slot);
}

/* The answer lies in the connection's memory until done has it. */
static void on_ended(void *arg, const struct curl_result *result)
{
    struct slot *slot = arg;
    struct upstream *u = slot->upstream;
    struct upstream_job *job = slot->job;
    struct upstream_outcome outcome = result->outcome;
    bool stays = result->stays;
    leave(job);
    job->sent |= outcome.sent;
    job->attempts += result->resent;
    slot->idle.most_us = most_idle_us(&outcome);
    count_connection(slot, result);
    if (may_repeat(job, result, clock_mono_us())) {
        count(u, STAT_upstream_retries);
        release(slot, stays);
        start(job, clock_mono_us());
    } else {
        judge(u, job, &outcome);
        finish(job, &outcome);
        release(slot, stays);
    }
    serve_waiting(u);
}

/* ---- all of it ---- */

struct upstream *upstream_create(struct service *service, const struct conf_upstream *conf, struct err *err)
{
    struct upstream *u = xcalloc(1, sizeof *u);
    u->service = service;
    u->conf = conf;
    u->shared = curl_shared_create(service->base, conf, err);
    if (u->shared == NULL) {
        free(u);
        return NULL;
    }
    upstream_idle_init(&u->idle, conf->max_idle, conf->idle_timeout_us);
    retry_budget_init(&u->budget);
    event_assign(&u->expiry, service->base, -1, 0, on_expiry, u);
    return u;
}

void upstream_drain(struct upstream *u)
{
    u->idle.max = 0;
    u->idle.timeout_us = 0;
    on_expiry(-1, 0, u);
}

void upstream_metrics(const struct upstream *u, struct upstream_metrics *metrics_out)
{
    *metrics_out = (struct upstream_metrics){.active = u->slots - u->idle.count,
                                             .idle = u->idle.count,
                                             .waiting = u->counts[JOB_WAITS],
                                             .open = breaker_is_open(&u->breaker)};
}

struct slice upstream_field(const struct upstream_outcome *outcome, const char *name)
{
    for (int i = 0; i < outcome->header_count; i++)
        if (slice_same(outcome->headers[i].name, slice_str(name)))
            return outcome->headers[i].value;
    return slice_of(NULL, 0);
}
