#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "sql/cancel.h"
#include "sql/conn_state.h"
#include "sql/linger.h"

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

bool conn_was_abandoned(const struct conn *c)
{
    return c->abandoned;
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

void conn_keep_leases(struct conn *c)
{
    for (const struct conn_trip *trip = c->out.first; trip != NULL; trip = trip->next)
        leases_add(&c->leases, trip->work);
}

/* ---- leaving ---- */

static void let_go(struct conn *c)
{
    event_del(&c->io);
    event_del(&c->output);
    event_del(&c->more);
    event_del(&c->timer);
    resolve_destroy(&c->resolve);
    if (c->leases.count > 0 && !c->doomed)
        linger_begin(c->base, c->pg, &c->leases);
    else
        PQfinish(c->pg);
    leases_end(&c->leases);
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
    conn_keep_leases(c);
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
    c->paused_us = 0;
    let_go(c);
    conn_set_state(c, CONN_BROKEN, c->error);
}

void conn_abandon(struct conn *c, const char *why)
{
    conn_cancel(c);
    c->abandoned = true;
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

void conn_set_timer(struct conn *c, int64_t delay_us)
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
    conn_set_timer(c, MAX(deadline_us - now_us, US_PER_MS));
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

/* ---- life ---- */

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
    event_assign(&c->more, base, -1, 0, conn_on_more, c);
    event_assign(&c->timer, base, -1, 0, on_timer, c);
    conn_start(c);
    return c;
}

struct conn_trip *conn_give_up(struct conn *c)
{
    struct trip_line *line = c->back.first ? &c->back : c->out.first ? &c->out : &c->taken;
    if (line == &c->out)
        leases_add(&c->leases, c->out.first->work);
    return trip_line_pop(line);
}

void conn_cancel(const struct conn *c)
{
    if (c->pg != NULL)
        cancel_send(c->pg);
}

bool conn_has_leased(const struct conn *c)
{
    for (const struct conn_trip *trip = c->out.first; trip != NULL; trip = trip->next)
        if (trip->work->lease != NULL)
            return true;
    return false;
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
