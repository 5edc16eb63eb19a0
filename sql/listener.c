#include "sql/listener.h"
#include "common/buf.h"
#include "common/clock.h"
#include "sql/backoff.h"
#include "sql/conn.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

/* While nobody relies on it: how often it is looked whether the session is still there. */
#define LOOK_US (10 * US_PER_S)
/* What another attempt does not mend, an admin does. */
#define HOPELESS_US (30 * US_PER_S)

enum { LISTEN_PERFD, LISTEN_OWN, LOOK, BEAT, STATEMENTS };
/* What is on its way. */
enum trip_kind { TRIP_NONE, TRIP_JOIN, TRIP_LOOK, TRIP_BEAT };

struct listener {
    struct event_base *base;
    struct listener_events events;
    void *arg;
    struct buf url;
    struct conn_settings settings;
    unsigned attempt; /* the next one is with another of the url's hosts */
    int64_t beat_us, backoff_us;
    char channel[32], listen_own[48], beat[80]; /* its own channel, and what to say for it */
    struct pool_statement statements[STATEMENTS];
    struct pool_work join, look, echo;
    struct conn *conn;  /* NULL: waits for the next attempt */
    struct event timer; /* that attempt, or the next trip */
    enum trip_kind kind;
    struct conn_trip trip;
    int64_t sent_us;
    bool joined;
    bool echoed; /* the heartbeat's own notification came */
    bool relied_on;
};

static void add_timer(struct listener *l, int64_t delay_us)
{
    struct timeval tv = {delay_us / US_PER_S, delay_us % US_PER_S};
    event_add(&l->timer, &tv);
}

/* ---- ends ---- */

static void forget_trip(struct listener *l)
{
    conn_trip_deinit(&l->trip);
    l->trip = (struct conn_trip){0};
    l->kind = TRIP_NONE;
}

static void lose(struct listener *l, const char *why, int64_t after_us)
{
    char text[600];
    snprintf(text, sizeof text, "%s", why); /* the connection's own words go with it */
    conn_destroy(&l->conn);
    forget_trip(l);
    l->joined = false;
    add_timer(l, backoff_jitter_us(after_us));
    l->events.lost(l->arg, text);
}

static void fail(struct listener *l, const char *why)
{
    l->attempt++;
    l->backoff_us = backoff_next_us(l->backoff_us);
    lose(l, why, l->backoff_us);
}

static const char *refusal(const struct listener *l)
{
    const char *text = l->trip.reply.error ? PQresultErrorField(l->trip.reply.error, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    return text ? text : "PostgreSQL refused without a word";
}

/* ---- trips ---- */

static void send_trip(struct listener *l, enum trip_kind kind, const struct pool_work *work)
{
    l->sent_us = clock_mono_us();
    l->kind = kind;
    l->echoed = false;
    l->trip = (struct conn_trip){.work = work, .deadline_us = l->sent_us + l->settings.connect_timeout_us};
    conn_run(l->conn, &l->trip);
    conn_send(l->conn, l->sent_us);
}

static void await_next(struct listener *l)
{
    add_timer(l, l->relied_on ? l->beat_us : LOOK_US);
}

static bool is_true(const PGresult *result, int column)
{
    return PQntuples(result) == 1 && *PQgetvalue(result, 0, column) == 't';
}

/* A pooler tells its consumers a number of its own in place of the server process's. */
static bool is_behind_pooler(const struct listener *l, const PGresult *look)
{
    return PQntuples(look) == 1 && atoi(PQgetvalue(look, 0, 0)) != conn_backend_pid(l->conn);
}

static void take_look(struct listener *l, const PGresult *look)
{
    bool first = !l->joined, watched = is_true(look, 1);
    int64_t since_us = l->sent_us;
    forget_trip(l);
    l->joined = true;
    l->backoff_us = 0;
    await_next(l);
    if (first)
        l->events.joined(l->arg, since_us, watched);
}

static void on_answer(struct listener *l)
{
    const PGresult *look = l->kind == TRIP_BEAT ? NULL : l->trip.reply.results[l->kind == TRIP_JOIN ? LOOK : 0];
    if (l->kind == TRIP_BEAT && !l->echoed) {
        fail(l, "a notification that the session sent to itself did not come");
    } else if (l->kind == TRIP_BEAT) {
        int64_t until_us = l->sent_us;
        forget_trip(l);
        await_next(l);
        l->events.heard(l->arg, until_us);
    } else if (is_behind_pooler(l, look)) {
        lose(l, "the url leads through a pooler, where notifications are lost: listen_url names the server itself",
             HOPELESS_US);
    } else {
        take_look(l, look);
    }
}

static void on_changed(void *arg)
{
    struct listener *l = arg;
    bool back = conn_next_back(l->conn) != NULL;
    if (conn_state(l->conn) == CONN_BROKEN)
        fail(l, conn_error(l->conn));
    else if (!back && l->kind == TRIP_NONE)
        send_trip(l, TRIP_JOIN, &l->join);
    else if (back && l->trip.reply.verdict == CONN_OK)
        on_answer(l);
    else if (back)
        fail(l, refusal(l));
}

static void on_notified(void *arg, const char *channel, const char *payload)
{
    struct listener *l = arg;
    if (strcmp(channel, l->channel) == 0)
        l->echoed = true;
    else
        l->events.notified(l->arg, payload);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct listener *l = arg;
    if (l->conn == NULL)
        l->conn = conn_create(l->base, &l->settings, l->attempt, on_changed, l);
    else if (l->relied_on)
        send_trip(l, TRIP_BEAT, &l->echo);
    else
        send_trip(l, TRIP_LOOK, &l->look);
}

void listener_rely(struct listener *l)
{
    if (l->relied_on)
        return;
    l->relied_on = true;
    if (l->joined && l->kind == TRIP_NONE)
        add_timer(l, 0);
}

/* ---- making ---- */

/* Only the primary can LISTEN; the last of an option that is given twice counts. */
static void write_url(struct buf *out, const char *url)
{
    buf_adds(out, url);
    buf_adds(out, strstr(url, "://") == NULL ? " " : strchr(url, '?') != NULL ? "&" : "?");
    buf_adds(out, "target_session_attrs=primary");
    buf_addc(out, '\0');
}

static void prepare_statements(struct listener *l)
{
    uint64_t number;
    CHECK(getrandom(&number, sizeof number, 0) == sizeof number);
    snprintf(l->channel, sizeof l->channel, "perfd_%016llx", (unsigned long long)number);
    snprintf(l->listen_own, sizeof l->listen_own, "LISTEN %s", l->channel);
    snprintf(l->beat, sizeof l->beat, "SELECT pg_catalog.pg_notify('%s', '')", l->channel);
    const char *const texts[STATEMENTS] = {
        [LISTEN_PERFD] = "LISTEN perfd",
        [LISTEN_OWN] = l->listen_own,
        [LOOK] = "SELECT pg_catalog.pg_backend_pid(),"
                 " EXISTS (SELECT FROM pg_catalog.pg_proc WHERE proname = 'perfd_watch')",
        [BEAT] = l->beat,
    };
    for (int i = 0; i < STATEMENTS; i++)
        l->statements[i] = (struct pool_statement){.text = texts[i], .id = (uint32_t)i};
}

static struct pool_work work_of(const struct listener *l, int first, int count)
{
    return (struct pool_work){.statements = &l->statements[first],
                              .statement_count = count,
                              .read_only = true,
                              .timeout_us = l->settings.statement_timeout_us};
}

struct listener *listener_create(struct event_base *base, const struct listener_settings *settings,
                                 const struct listener_events *events, void *arg)
{
    struct listener *l = xcalloc(1, sizeof *l);
    l->base = base;
    l->events = *events;
    l->arg = arg;
    l->beat_us = settings->beat_us;
    write_url(&l->url, settings->url);
    l->settings = (struct conn_settings){.url = l->url.at,
                                         .host = -1,
                                         .name = "perfd listener",
                                         .connect_timeout_us = settings->answer_timeout_us,
                                         .statement_timeout_us = settings->statement_timeout_us,
                                         .notified = on_notified};
    prepare_statements(l);
    l->join = work_of(l, LISTEN_PERFD, LOOK + 1);
    l->look = work_of(l, LOOK, 1);
    l->echo = work_of(l, BEAT, 1);
    event_assign(&l->timer, base, -1, 0, on_timer, l);
    add_timer(l, 0);
    return l;
}

void listener_destroy(struct listener **l)
{
    event_del(&(*l)->timer);
    if ((*l)->conn != NULL)
        conn_destroy(&(*l)->conn);
    forget_trip(*l);
    buf_deinit(&(*l)->url);
    free(*l);
    *l = NULL;
}
