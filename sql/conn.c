#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "sql/cancel.h"
#include "sql/conn_state.h"

#include <event2/event.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void conn_set_state(struct conn *c, enum conn_state state, const char *why)
{
#define CONN_STATE_NAME(name, text) text,
    static const char *const names[] = {CONN_STATES(CONN_STATE_NAME)};
#undef CONN_STATE_NAME
#define TO(name) (1u << CONN_##name)
    static const unsigned next[CONN_STATE_COUNT] = {
        [CONN_CLOSED] = TO(RESOLVING) | TO(CONNECTING),
        [CONN_RESOLVING] = TO(CONNECTING) | TO(BROKEN) | TO(CLOSED),
        [CONN_CONNECTING] = TO(SETTING_UP) | TO(BROKEN) | TO(CLOSED),
        [CONN_SETTING_UP] = TO(IDLE) | TO(BROKEN) | TO(CLOSED),
        [CONN_IDLE] = TO(BUSY) | TO(BROKEN) | TO(CLOSED),
        [CONN_BUSY] = TO(IDLE) | TO(BROKEN) | TO(CLOSED),
        [CONN_BROKEN] = TO(CLOSED),
    };
#undef TO
    CHECK(next[c->state] & 1u << state);
    log_debug("database connection %p: %s -> %s: %s", (void *)c, names[c->state], names[state], why);
    c->state = state;
}

enum conn_state conn_state(const struct conn *c)
{
    return c->state;
}

bool conn_read_only(const struct conn *c)
{
    return c->read_only;
}

int conn_backend_pid(const struct conn *c)
{
    return PQbackendPID(c->pg);
}

bool conn_plans(const struct conn *c, enum plan_mode plan)
{
    return !c->settings->prepare || (c->plan == plan && !c->plan_unsure);
}

int64_t conn_way_us(const struct conn *c)
{
    return c->way_us;
}

int conn_host_count(const struct conn *c)
{
    return c->host_count;
}

enum conn_standby conn_standby(const struct conn *c)
{
    const char *told = c->pg ? PQparameterStatus(c->pg, "in_hot_standby") : NULL;
    return told == NULL ? CONN_STANDBY_UNTOLD : strcmp(told, "on") == 0 ? CONN_STANDBY_YES : CONN_STANDBY_NO;
}

const char *conn_error(const struct conn *c)
{
    return c->error;
}

/* ---- trips ---- */

void trip_line_push(struct trip_line *line, struct conn_trip *trip)
{
    trip->next = NULL;
    *(line->last ? &line->last->next : &line->first) = trip;
    line->last = trip;
}

struct conn_trip *trip_line_pop(struct trip_line *line)
{
    struct conn_trip *trip = line->first;
    if (trip == NULL)
        return NULL;
    line->first = trip->next;
    if (line->first == NULL)
        line->last = NULL;
    return trip;
}

void conn_trip_deinit(struct conn_trip *trip)
{
    struct conn_reply *reply = &trip->reply;
    for (int i = 0; i < reply->result_count; i++)
        PQclear(reply->results[i]);
    if (reply->results != trip->one_result)
        free(reply->results);
    PQclear(reply->error);
    free(reply->message);
    *reply = (struct conn_reply){0};
}

struct conn_trip *conn_next_back(struct conn *c)
{
    return trip_line_pop(&c->back);
}

/* All that are on their way, in the order in which they left. */
static struct trip_line take_all(struct conn *c)
{
    struct trip_line all = c->out;
    if (all.first == NULL)
        all = c->taken;
    else if (c->taken.first != NULL) {
        all.last->next = c->taken.first;
        all.last = c->taken.last;
    }
    c->out = c->taken = (struct trip_line){0};
    return all;
}

/* ---- leaving ---- */

static void let_go(struct conn *c)
{
    event_del(&c->io);
    event_del(&c->output);
    event_del(&c->timer);
    resolve_destroy(&c->resolve);
    PQfinish(c->pg);
    c->pg = NULL;
}

/* libpq's messages have several lines, a log line and a JSON answer want one. */
static void keep_error(struct conn *c, const char *text)
{
    size_t n = 0;
    for (; *text && n < sizeof c->error - 1; text++) {
        char byte = (unsigned char)*text < ' ' ? ' ' : *text;
        if (byte != ' ' || (n > 0 && c->error[n - 1] != ' '))
            c->error[n++] = byte;
    }
    while (n > 0 && c->error[n - 1] == ' ')
        n--;
    c->error[n] = '\0';
}

/* The first trip is the one that the server was at, so it is to blame for the verdict; or, when the answer did not come
 * in time, those whose time it was. */
void conn_break(struct conn *c, enum conn_verdict verdict, const char *why)
{
    struct trip_line all = take_all(c);
    bool first = true;
    int64_t now_us = clock_mono_us();
    keep_error(c, *why ? why : "the connection was lost");
    for (struct conn_trip *trip; (trip = trip_line_pop(&all)) != NULL; first = false) {
        bool late = trip->deadline_us > 0 && trip->deadline_us <= now_us;
        bool blamed = verdict == CONN_NO_ANSWER ? late || (first && c->paused_us > 0) : first;
        trip->reply.verdict = blamed || verdict == CONN_TAKEN_BACK ? verdict : CONN_LOST;
        trip->reply.dismissed = c->doomed;
        free(trip->reply.message);
        trip->reply.message = xstrdup(c->error);
        trip_line_push(&c->back, trip);
    }
    let_go(c);
    conn_set_state(c, CONN_BROKEN, c->error);
}

void conn_abandon(struct conn *c, const char *why)
{
    conn_cancel(c);
    conn_break(c, CONN_TAKEN_BACK, why);
}

void conn_lost(struct conn *c)
{
    if (c->state == CONN_BUSY)
        conn_read_last_words(c);
    conn_break(c, CONN_LOST, PQerrorMessage(c->pg));
}

void conn_tell_later(struct conn *c)
{
    event_active(&c->timer, EV_TIMEOUT, 1);
}

void conn_lost_in_call(struct conn *c)
{
    conn_lost(c);
    conn_tell_later(c);
}

static void set_timer(struct conn *c, int64_t delay_us)
{
    struct timeval tv = {delay_us / US_PER_S, delay_us % US_PER_S};
    event_add(&c->timer, &tv);
}

/* Hardly a deadline is met, and a timer for each would cost more than to look at all of them now and then. */
void conn_await_deadline(struct conn *c, int64_t deadline_us, int64_t now_us)
{
    if (deadline_us == 0 || (c->timer_at_us > 0 && c->timer_at_us <= deadline_us))
        return;
    c->timer_at_us = deadline_us;
    set_timer(c, MAX(deadline_us - now_us, US_PER_MS));
}

/* True: it is over, and so is the connection. Else the timer looks again. */
static bool is_late(struct conn *c, int64_t deadline_us, int64_t now_us)
{
    if (deadline_us > 0 && deadline_us <= now_us) {
        conn_cancel(c);
        conn_break(c, CONN_NO_ANSWER, "the database gave no answer in time");
        return true;
    }
    conn_await_deadline(c, deadline_us, now_us);
    return false;
}

static void look_at_deadlines(struct conn *c)
{
    int64_t now_us = clock_mono_us();
    if (c->out.first == NULL && is_late(c, c->dropped_until_us, now_us))
        return;
    if (c->paused_us > 0 && is_late(c, c->paused_us + c->out.first->patience_us, now_us))
        return;
    for (const struct conn_trip *trip = c->out.first; trip != NULL; trip = trip->next)
        if (is_late(c, trip->deadline_us, now_us))
            return;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct conn *c = arg;
    c->timer_at_us = 0;
    if (c->state == CONN_RESOLVING || c->state == CONN_CONNECTING || c->state == CONN_SETTING_UP)
        conn_break(c, CONN_LOST, "the server did not answer within connect_timeout");
    else if (c->state == CONN_BUSY)
        look_at_deadlines(c);
    if (c->state == CONN_BROKEN || c->back.first != NULL)
        c->changed(c->arg);
}

/* ---- connecting ---- */

static void on_connecting(evutil_socket_t fd, short what, void *arg);

static void on_notice(void *arg, const PGresult *notice)
{
    struct conn *c = arg;
    const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *text = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);
    if (severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0))
        c->doomed = true;
    log_debug("database: %s: %s", severity ? severity : "notice", text ? text : PQresultErrorMessage(notice));
}

/* An empty transaction tells how far away the server is. */
static void set_up(struct conn *c)
{
    conn_set_state(c, CONN_SETTING_UP, "connected");
    PQsetNoticeReceiver(c->pg, on_notice, c);
    c->began_us = clock_mono_us();
    if (PQsetnonblocking(c->pg, 1) != 0 || !PQenterPipelineMode(c->pg) || !PQpipelineSync(c->pg)) {
        conn_lost(c);
        c->changed(c->arg);
        return;
    }
    int fd = PQsocket(c->pg);
    event_assign(&c->io, c->base, fd, EV_READ | EV_PERSIST, conn_on_input, c);
    event_assign(&c->output, c->base, fd, EV_WRITE, conn_on_output, c);
    event_add(&c->io, NULL);
}

void conn_on_set_up(struct conn *c)
{
    if (PQisBusy(c->pg))
        return;
    PGresult *result = PQgetResult(c->pg);
    bool synced = PQresultStatus(result) == PGRES_PIPELINE_SYNC;
    PQclear(result);
    if (!synced) {
        conn_lost(c);
    } else {
        event_del(&c->timer);
        c->way_us = clock_mono_us() - c->began_us;
        conn_set_state(c, CONN_IDLE, "set up");
    }
    c->changed(c->arg);
}

/* libpq may open another socket under the same number between two polls: the event is made anew each time. */
static void await_connect(struct conn *c, short what)
{
    event_assign(&c->io, c->base, PQsocket(c->pg), what, on_connecting, c);
    event_add(&c->io, NULL);
}

static void on_connecting(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct conn *c = arg;
    switch (PQconnectPoll(c->pg)) {
    case PGRES_POLLING_READING:
        await_connect(c, EV_READ);
        return;
    case PGRES_POLLING_WRITING:
        await_connect(c, EV_WRITE);
        return;
    case PGRES_POLLING_OK:
        set_up(c);
        return;
    case PGRES_POLLING_FAILED:
    case PGRES_POLLING_ACTIVE:
        conn_lost(c);
        break;
    }
    c->changed(c->arg);
}

int conn_timeout_ms(int64_t timeout_us)
{
    return (int)MIN((timeout_us + US_PER_MS - 1) / US_PER_MS, INT_MAX);
}

/* A keyword that follows dbname replaces the URL's, so the URL's own options are put in front of ours. What value.c
 * relies on holds whatever the server, the database or the role has set. A pooler refuses options: conn_send.c. */
static void add_options(struct buf *out, const struct conn_settings *settings)
{
    PQconninfoOption *options = PQconninfoParse(settings->url, NULL);
    for (PQconninfoOption *o = options; o && o->keyword; o++)
        if (o->val && strcmp(o->keyword, "options") == 0)
            buf_printf(out, "%s ", o->val);
    PQconninfoFree(options);
    buf_printf(out,
               "-c TimeZone=UTC -c DateStyle=ISO -c bytea_output=hex -c extra_float_digits=1 "
               "-c default_transaction_read_only=on -c statement_timeout=%d",
               conn_timeout_ms(settings->statement_timeout_us));
}

static const char *session_attrs(enum hosts_role role)
{
    return role == HOSTS_PRIMARY ? "primary" : role == HOSTS_STANDBY ? "standby" : NULL;
}

/* How long the network may swallow what is sent: libpq sets it on the socket of a cancel too, whose thread would wait
 * for minutes. */
static void add_user_timeout(struct buf *out, const struct conn_settings *settings)
{
    PQconninfoOption *options = PQconninfoParse(settings->url, NULL);
    const char *given = NULL;
    for (PQconninfoOption *o = options; o && o->keyword; o++)
        if (strcmp(o->keyword, "tcp_user_timeout") == 0)
            given = o->val;
    if (given != NULL)
        buf_adds(out, given);
    else
        buf_printf(out, "%d", conn_timeout_ms(MAX(settings->connect_timeout_us, settings->statement_timeout_us)));
    buf_addc(out, '\0');
    PQconninfoFree(options);
}

/* To one host; NULL: as the url says. What has no value is the url's. */
static void connect_to(struct conn *c, const struct host *host)
{
    struct buf options = {0}, user_timeout = {0};
    add_options(&options, c->settings);
    buf_addc(&options, '\0');
    add_user_timeout(&user_timeout, c->settings);
    const char *const keywords[] = {"dbname",
                                    "fallback_application_name",
                                    "client_encoding",
                                    "gssencmode",
                                    "tcp_user_timeout",
                                    "options",
                                    "target_session_attrs",
                                    "host",
                                    "hostaddr",
                                    "port",
                                    NULL};
    const char *const values[] = {c->settings->url,
                                  c->settings->name ? c->settings->name : "perfd",
                                  "UTF8",
                                  "disable",
                                  user_timeout.at,
                                  c->settings->prepare ? options.at : NULL,
                                  session_attrs(c->settings->role),
                                  host ? host->name : NULL,
                                  host ? host->address : NULL,
                                  host ? host->port : NULL,
                                  NULL};
    conn_set_state(c, CONN_CONNECTING, host ? host->name : "connecting");
    c->pg = PQconnectStartParams(keywords, values, 1);
    buf_deinit(&options);
    buf_deinit(&user_timeout);
    CHECK(c->pg);
    if (PQstatus(c->pg) == CONNECTION_BAD)
        conn_lost_in_call(c);
    else
        await_connect(c, EV_WRITE);
}

/* addresses: what the names were resolved to; NULL: there are none. */
static void start_connect(struct conn *c, const char *addresses)
{
    struct hosts hosts = hosts_list(c->settings->url, addresses, c->settings->host);
    c->host_count = MAX(hosts.count, 1);
    if (hosts.count > 0) {
        connect_to(c, &hosts.at[c->attempt % (unsigned)hosts.count]);
    } else if (addresses == NULL) {
        connect_to(c, NULL);
    } else {
        conn_break(c, CONN_LOST, "the host's name has no address");
        conn_tell_later(c);
    }
    hosts_deinit(&hosts);
}

static void on_resolved(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct conn *c = arg;
    const char *error;
    char *addresses = resolve_take(c->resolve, &error);
    event_del(&c->io);
    resolve_destroy(&c->resolve);
    if (addresses != NULL) {
        start_connect(c, addresses);
        free(addresses);
        return;
    }
    conn_break(c, CONN_LOST, error);
    c->changed(c->arg);
}

static void start(struct conn *c)
{
    int fd;
    char *names = hosts_names(c->settings->url);
    set_timer(c, c->settings->connect_timeout_us);
    if (names == NULL) {
        start_connect(c, NULL);
        return;
    }
    conn_set_state(c, CONN_RESOLVING, names);
    c->resolve = resolve_start(names, &fd);
    free(names);
    if (c->resolve == NULL) {
        conn_break(c, CONN_LOST, "no thread can be started to resolve the host's name");
        conn_tell_later(c);
        return;
    }
    event_assign(&c->io, c->base, fd, EV_READ, on_resolved, c);
    event_add(&c->io, NULL);
}

struct conn *conn_create(struct event_base *base, const struct conn_settings *settings, unsigned attempt,
                         conn_changed *changed, void *arg)
{
    struct conn *c = xcalloc(1, sizeof *c);
    c->base = base;
    c->settings = settings;
    c->attempt = attempt;
    c->host_count = 1;
    c->changed = changed;
    c->arg = arg;
    c->read_only = true;
    event_assign(&c->io, base, -1, EV_READ, conn_on_input, c);
    event_assign(&c->output, base, -1, EV_WRITE, conn_on_output, c);
    event_assign(&c->timer, base, -1, 0, on_timer, c);
    start(c);
    return c;
}

struct conn_trip *conn_give_up(struct conn *c)
{
    struct trip_line *line = c->back.first ? &c->back : c->out.first ? &c->out : &c->taken;
    return trip_line_pop(line);
}

void conn_cancel(const struct conn *c)
{
    if (c->pg != NULL)
        cancel_send(c->pg);
}

void conn_destroy(struct conn **conn)
{
    struct conn *c = *conn;
    *conn = NULL;
    let_go(c);
    conn_set_state(c, CONN_CLOSED, "given up");
    prepared_deinit(&c->prepared);
    free(c->steps);
    free(c);
}
