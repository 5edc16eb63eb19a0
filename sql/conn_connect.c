#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "sql/conn_state.h"
#include "sql/hosts.h"
#include "sql/wording.h"

#include <event2/event.h>
#include <limits.h>
#include <stdlib.h>

static void on_connecting(evutil_socket_t fd, short what, void *arg);

static void on_notice(void *arg, const PGresult *notice)
{
    struct conn *c = arg;
    const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *text = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);
    if (severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0))
        c->doomed = true;
    /* What a function of the database's own says may hold a parameter's value. */
    if (wording_is_free(notice))
        text = "in words of its own";
    log_debug("database: %s: %s", severity ? severity : "notice", text ? text : "without words");
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
    if (c->pg == NULL) {
        conn_break(c, CONN_LOST, "out of memory");
        conn_tell_later(c);
    } else if (PQstatus(c->pg) == CONNECTION_BAD) {
        conn_lost_in_call(c);
    } else {
        await_connect(c, EV_WRITE);
    }
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

void conn_start(struct conn *c)
{
    int fd;
    char *names = hosts_names(c->settings->url);
    conn_set_timer(c, c->settings->connect_timeout_us);
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
