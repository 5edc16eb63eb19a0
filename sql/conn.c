#include "sql/conn.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "sql/prepared.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

/* What goes to the server in one trip, in order; answers come in the same order. */
enum step_kind {
    STEP_MODE,       /* SET default_transaction_read_only; with a STEP_SYNC of its own, as only the next transaction
                        heeds it */
    STEP_DEALLOCATE, /* the statements of an older generation */
    STEP_PREPARE,
    STEP_TIMEOUT, /* the transaction's statement_timeout */
    STEP_RUN,     /* or describe */
    STEP_SYNC,
};

struct step {
    enum step_kind kind;
    int statement;
};

struct conn {
    const struct conn_settings *settings;
    struct event_base *base;
    conn_changed *changed;
    void *arg;
    enum conn_state state;
    PGconn *pg;
    struct event io;     /* while connecting what libpq waits for, then its input */
    struct event output; /* while libpq could not write all */
    struct event timer; /* the connect time-out, then the deadline; also tells `changed` from outside a conn_*() call */
    char error[512];
    bool doomed; /* the server said so while no work was under way */

    bool read_only;
    bool deallocate; /* the server still keeps statements of an older generation */
    struct prepared prepared;

    const struct pool_work *work;
    struct conn_reply reply;
    struct step *steps;
    int step_count, step_cap;
    int step; /* whose answer is due */
};

static void conn_set_state(struct conn *c, enum conn_state state, const char *why)
{
#define CONN_STATE_NAME(name, text) text,
    static const char *const names[] = {CONN_STATES(CONN_STATE_NAME)};
#undef CONN_STATE_NAME
#define TO(name) (1u << CONN_##name)
    static const unsigned next[CONN_STATE_COUNT] = {
        [CONN_CLOSED] = TO(CONNECTING),
        [CONN_CONNECTING] = TO(SETTING_UP) | TO(BROKEN) | TO(CLOSED),
        [CONN_SETTING_UP] = TO(IDLE) | TO(BROKEN),
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

const char *conn_error(const struct conn *c)
{
    return c->error;
}

void conn_reply_deinit(struct conn_reply *reply)
{
    for (int i = 0; i < reply->result_count; i++)
        PQclear(reply->results[i]);
    free(reply->results);
    PQclear(reply->error);
    free(reply->message);
    *reply = (struct conn_reply){0};
}

struct conn_reply conn_take_reply(struct conn *c)
{
    struct conn_reply reply = c->reply;
    c->reply = (struct conn_reply){0};
    return reply;
}

/* ---- leaving ---- */

static void let_go(struct conn *c)
{
    event_del(&c->io);
    event_del(&c->output);
    event_del(&c->timer);
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

/* 57P01 and its like: an admin, a shutdown, a crash of another session. */
static bool was_dismissed(const struct conn *c)
{
    const char *state = c->reply.error ? PQresultErrorField(c->reply.error, PG_DIAG_SQLSTATE) : NULL;
    return c->doomed || (state != NULL && strncmp(state, "57P", 3) == 0);
}

static void conn_break(struct conn *c, enum conn_verdict verdict, const char *why)
{
    keep_error(c, *why ? why : "the connection was lost");
    if (c->state == CONN_BUSY) {
        c->reply.verdict = verdict;
        c->reply.dismissed = was_dismissed(c);
        free(c->reply.message);
        c->reply.message = xstrdup(c->error);
        c->work = NULL;
    }
    let_go(c);
    conn_set_state(c, CONN_BROKEN, c->error);
}

static void conn_lost(struct conn *c)
{
    conn_break(c, CONN_LOST, PQerrorMessage(c->pg));
}

/* From inside a conn_*() call: the timer's callback tells the owner. */
static void lost_in_call(struct conn *c)
{
    conn_lost(c);
    event_active(&c->timer, EV_TIMEOUT, 1);
}

static void set_timer(struct conn *c, int64_t delay_us)
{
    struct timeval tv = {delay_us / US_PER_S, delay_us % US_PER_S};
    event_add(&c->timer, &tv);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct conn *c = arg;
    if (c->state == CONN_CONNECTING)
        conn_break(c, CONN_LOST, "the server did not answer within connect_timeout");
    else if (c->state == CONN_BUSY)
        conn_break(c, CONN_NO_ANSWER, "the database gave no answer in time");
    c->changed(c->arg);
}

/* ---- connecting ---- */

static void on_input(evutil_socket_t fd, short what, void *arg);
static void on_output(evutil_socket_t fd, short what, void *arg);
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

static void set_up(struct conn *c)
{
    conn_set_state(c, CONN_SETTING_UP, "connected");
    event_del(&c->timer);
    PQsetNoticeReceiver(c->pg, on_notice, c);
    if (PQsetnonblocking(c->pg, 1) != 0 || !PQenterPipelineMode(c->pg)) {
        conn_lost(c);
        return;
    }
    int fd = PQsocket(c->pg);
    event_assign(&c->io, c->base, fd, EV_READ | EV_PERSIST, on_input, c);
    event_assign(&c->output, c->base, fd, EV_WRITE, on_output, c);
    event_add(&c->io, NULL);
    conn_set_state(c, CONN_IDLE, "set up");
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
        break;
    case PGRES_POLLING_FAILED:
    case PGRES_POLLING_ACTIVE:
        conn_lost(c);
        break;
    }
    c->changed(c->arg);
}

/* statement_timeout and set_config() take milliseconds; rounded up, as 0 would mean none. */
static int timeout_ms(int64_t timeout_us)
{
    return (int)MIN((timeout_us + US_PER_MS - 1) / US_PER_MS, INT_MAX);
}

/* A keyword that follows dbname replaces the URL's, so the URL's own options are put in front of ours. */
static void add_options(struct buf *out, const struct conn_settings *settings)
{
    PQconninfoOption *options = PQconninfoParse(settings->url, NULL);
    for (PQconninfoOption *o = options; o && o->keyword; o++)
        if (o->val && strcmp(o->keyword, "options") == 0)
            buf_printf(out, "%s ", o->val);
    PQconninfoFree(options);
    buf_printf(out, "-c TimeZone=UTC -c DateStyle=ISO -c default_transaction_read_only=on -c statement_timeout=%d",
               timeout_ms(settings->statement_timeout_us));
}

static void start_connect(struct conn *c)
{
    struct buf options = {0};
    add_options(&options, c->settings);
    buf_addc(&options, '\0');
    const char *keywords[] = {"dbname", "fallback_application_name", "client_encoding", "gssencmode", "options", NULL};
    const char *values[] = {c->settings->url, "perfd", "UTF8", "disable", options.at, NULL};
    conn_set_state(c, CONN_CONNECTING, "created");
    c->pg = PQconnectStartParams(keywords, values, 1);
    buf_deinit(&options);
    CHECK(c->pg);
    if (PQstatus(c->pg) == CONNECTION_BAD) {
        lost_in_call(c);
        return;
    }
    set_timer(c, c->settings->connect_timeout_us);
    await_connect(c, EV_WRITE);
}

struct conn *conn_create(struct event_base *base, const struct conn_settings *settings, conn_changed *changed,
                         void *arg)
{
    struct conn *c = xcalloc(1, sizeof *c);
    c->base = base;
    c->settings = settings;
    c->changed = changed;
    c->arg = arg;
    c->read_only = true;
    event_assign(&c->io, base, -1, EV_READ, on_input, c);
    event_assign(&c->output, base, -1, EV_WRITE, on_output, c);
    event_assign(&c->timer, base, -1, 0, on_timer, c);
    start_connect(c);
    return c;
}

void conn_destroy(struct conn **conn)
{
    struct conn *c = *conn;
    *conn = NULL;
    let_go(c);
    conn_set_state(c, CONN_CLOSED, "given up");
    conn_reply_deinit(&c->reply);
    prepared_deinit(&c->prepared);
    free(c->steps);
    free(c);
}

/* ---- a round trip: sending ---- */

static void add_step(struct conn *c, enum step_kind kind, int statement)
{
    if (c->step_count == c->step_cap) {
        c->step_cap = c->step_cap ? 2 * c->step_cap : 16;
        c->steps = xrealloc(c->steps, (size_t)c->step_cap * sizeof *c->steps);
    }
    c->steps[c->step_count++] = (struct step){kind, statement};
}

/* Statements before one Sync are one transaction of their own, without BEGIN and COMMIT. */
static void plan_steps(struct conn *c, const struct pool_work *work)
{
    c->step = c->step_count = 0;
    if (c->deallocate)
        add_step(c, STEP_DEALLOCATE, 0);
    if (!work->describe && work->read_only != c->read_only)
        add_step(c, STEP_MODE, 0);
    if (c->step_count > 0)
        add_step(c, STEP_SYNC, 0);
    for (int i = 0; i < work->statement_count; i++)
        if (!prepared_has(&c->prepared, work->statements[i].id))
            add_step(c, STEP_PREPARE, i);
    if (!work->describe && timeout_ms(work->timeout_us) != timeout_ms(c->settings->statement_timeout_us))
        add_step(c, STEP_TIMEOUT, 0);
    for (int i = 0; i < work->statement_count; i++)
        add_step(c, STEP_RUN, i);
    add_step(c, STEP_SYNC, 0);
}

static bool send_command(struct conn *c, const char *text)
{
    return PQsendQueryParams(c->pg, text, 0, NULL, NULL, NULL, NULL, 0);
}

static bool send_timeout(struct conn *c, const struct pool_work *work)
{
    char text[96];
    snprintf(text, sizeof text, "SELECT pg_catalog.set_config('statement_timeout', '%d', true)",
             timeout_ms(work->timeout_us));
    return send_command(c, text);
}

static bool send_step(struct conn *c, const struct pool_work *work, const struct step *step)
{
    const struct pool_statement *statement = &work->statements[step->statement];
    char name[PREPARED_NAME_MAX];
    prepared_name(&c->prepared, statement->id, name);
    switch (step->kind) {
    case STEP_MODE:
        return send_command(c, work->read_only ? "SET default_transaction_read_only = on"
                                               : "SET default_transaction_read_only = off");
    case STEP_DEALLOCATE:
        return send_command(c, "DEALLOCATE ALL");
    case STEP_PREPARE:
        return PQsendPrepare(c->pg, name, statement->text, 0, NULL);
    case STEP_TIMEOUT:
        return send_timeout(c, work);
    case STEP_RUN:
        if (work->describe)
            return PQsendDescribePrepared(c->pg, name);
        return PQsendQueryPrepared(c->pg, name, statement->param_count,
                                   work->values ? work->values[step->statement] : NULL, NULL, NULL, 0);
    case STEP_SYNC:
        return PQpipelineSync(c->pg);
    }
    return false;
}

/* False: the connection is lost. */
static bool flush_output(struct conn *c)
{
    int left = PQflush(c->pg);
    if (left == 1)
        event_add(&c->output, NULL);
    else if (left == 0)
        event_del(&c->output);
    return left >= 0;
}

void conn_run(struct conn *c, const struct pool_work *work, int64_t deadline_us, int64_t now_us)
{
    conn_set_state(c, CONN_BUSY, "work");
    conn_reply_deinit(&c->reply);
    c->reply.results = xcalloc((size_t)work->statement_count, sizeof *c->reply.results);
    c->work = work;
    plan_steps(c, work);
    for (int i = 0; i < c->step_count; i++)
        if (!send_step(c, work, &c->steps[i])) {
            lost_in_call(c);
            return;
        }
    if (!flush_output(c))
        lost_in_call(c);
    else if (deadline_us > 0)
        set_timer(c, MAX(deadline_us - now_us, US_PER_MS));
}

/* ---- a round trip: receiving ---- */

static bool is_failure(ExecStatusType status)
{
    return status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE || status == PGRES_NONFATAL_ERROR;
}

static void take_error(struct conn *c, PGresult *result, int statement)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (c->reply.error != NULL) {
        PQclear(result);
        return;
    }
    c->reply.verdict = CONN_REFUSED;
    c->reply.error = result;
    c->reply.failed_statement = statement;
    if (state != NULL && (strcmp(state, "26000") == 0 || strcmp(state, "0A000") == 0)) {
        c->reply.stale = true;
        c->deallocate = true;
        prepared_forget_all(&c->prepared);
    }
}

/* False: the connection broke. */
static bool take_result(struct conn *c, PGresult *result)
{
    const struct step step = c->steps[c->step];
    ExecStatusType status = PQresultStatus(result);
    bool copies = status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;

    if (is_failure(status) && PQstatus(c->pg) != CONNECTION_BAD) {
        take_error(c, result, step.statement);
        return true;
    }
    if (is_failure(status) || copies) {
        char *why = xstrdup(copies ? "COPY cannot be served as a route" : PQresultErrorMessage(result));
        c->reply.failed_statement = step.statement;
        PQclear(result);
        conn_break(c, copies ? CONN_UNSUITABLE : CONN_LOST, why);
        free(why);
        return false;
    }
    if (status == PGRES_PIPELINE_SYNC)
        c->step++;
    else if (status != PGRES_PIPELINE_ABORTED && step.kind == STEP_PREPARE)
        prepared_set(&c->prepared, c->work->statements[step.statement].id);
    else if (status != PGRES_PIPELINE_ABORTED && step.kind == STEP_MODE)
        c->read_only = c->work->read_only;
    else if (status != PGRES_PIPELINE_ABORTED && step.kind == STEP_DEALLOCATE)
        c->deallocate = false;
    if (step.kind == STEP_RUN && status != PGRES_PIPELINE_ABORTED && c->reply.result_count == step.statement)
        c->reply.results[c->reply.result_count++] = result;
    else
        PQclear(result);
    return true;
}

static void answered(struct conn *c)
{
    event_del(&c->timer);
    if (PQtransactionStatus(c->pg) != PQTRANS_IDLE) {
        conn_break(c, CONN_UNSUITABLE, "the statements left a transaction open; perfd begins and ends it itself");
        return;
    }
    c->work = NULL;
    conn_set_state(c, CONN_IDLE, "answered");
}

/* True: the owner must be told. */
static bool receive(struct conn *c)
{
    while (c->step < c->step_count) {
        if (PQisBusy(c->pg))
            return false;
        PGresult *result = PQgetResult(c->pg);
        if (result != NULL) {
            if (!take_result(c, result))
                return true;
        } else if (PQstatus(c->pg) == CONNECTION_BAD) {
            conn_lost(c);
            return true;
        } else {
            c->step++; /* NULL ends what one command brought; a Sync has none */
        }
    }
    answered(c);
    return true;
}

static void on_input(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct conn *c = arg;
    bool tell = false;
    if (!PQconsumeInput(c->pg) && c->state != CONN_BUSY) {
        conn_lost(c);
        tell = true;
    } else if (c->state == CONN_BUSY) {
        /* The server's last words before it hung up may be among what came: receive() finds both. */
        tell = receive(c);
        if (!tell && (PQstatus(c->pg) == CONNECTION_BAD || !flush_output(c))) {
            conn_lost(c);
            tell = true;
        }
    } else {
        (void)PQisBusy(c->pg); /* reads the messages that nobody asked for */
        tell = c->doomed || PQstatus(c->pg) == CONNECTION_BAD;
        if (tell)
            conn_lost(c);
    }
    if (tell)
        c->changed(c->arg);
}

static void on_output(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct conn *c = arg;
    if (flush_output(c))
        return;
    conn_lost(c);
    c->changed(c->arg);
}

bool conn_check(struct conn *c)
{
    char byte;
    ssize_t got = recv(PQsocket(c->pg), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (got > 0 && PQconsumeInput(c->pg)) {
        (void)PQisBusy(c->pg);
        if (!c->doomed && PQstatus(c->pg) != CONNECTION_BAD)
            return true;
    }
    lost_in_call(c);
    return false;
}
