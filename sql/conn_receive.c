#include "common/clock.h"
#include "shm/doing.h"
#include "sql/conn_state.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/socket.h>

/* So long rows are given on before others have their turn of the loop; how often the clock is read meanwhile. */
#define ROWS_US US_PER_MS
enum { ROWS_A_LOOK = 32 };

/* libpq has no memory for it, and leaves it out without a word. */
#define MISSING "out of memory for an answer of the server's"

/* ---- one result ---- */

static bool is_failure(ExecStatusType status)
{
    return status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE || status == PGRES_NONFATAL_ERROR;
}

static bool is_copy(ExecStatusType status)
{
    return status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
}

/* Of libpq itself: it had no memory, or did not understand the server. What follows on the connection may be taken for
 * another statement's. */
static bool is_own(const PGresult *error)
{
    return PQresultErrorField(error, PG_DIAG_SQLSTATE) == NULL;
}

/* 57P01 and its like: an admin, a shutdown, a crash of another session. */
static bool is_dismissal(const PGresult *error)
{
    const char *state = PQresultErrorField(error, PG_DIAG_SQLSTATE);
    return state != NULL && strncmp(state, "57P", 3) == 0;
}

/* The statement was lost (26000), or its plan changed (0A000, which says much else too, so its source is looked at). */
static bool is_stale(const PGresult *error)
{
    const char *state = PQresultErrorField(error, PG_DIAG_SQLSTATE);
    const char *source = PQresultErrorField(error, PG_DIAG_SOURCE_FUNCTION);
    if (state == NULL)
        return false;
    return strcmp(state, "26000") == 0 ||
           (strcmp(state, "0A000") == 0 && (source == NULL || strcmp(source, "RevalidateCachedQuery") == 0));
}

/* Others that were sent with the same names will say so too, once is enough. */
static void note_stale(struct conn *c, struct conn_trip *trip, const PGresult *error)
{
    if (!is_stale(error))
        return;
    trip->reply.stale = true;
    if (!c->settings->prepare || trip->generation != c->prepared.generation)
        return;
    c->deallocate = c->plan_unsure = true;
    prepared_forget_all(&c->prepared);
}

static void take_error(struct conn *c, const struct step *step, PGresult *error)
{
    struct conn_trip *trip = step->trip;
    if (trip == NULL || trip->reply.error != NULL) {
        PQclear(error);
        return;
    }
    trip->reply.verdict = CONN_REFUSED;
    trip->reply.error = error;
    trip->reply.failed_statement = step->statement;
    if (step->kind == STEP_PREPARE)
        prepared_unset(&c->prepared, trip->work->statements[step->statement].id);
    else
        note_stale(c, trip, error);
}

/* That of the commit, which only several reads can have in common: none of them is to blame. */
static void take_commit_error(struct conn *c, const struct step *step, PGresult *error)
{
    if (c->out.first == step->trip) {
        take_error(c, step, error);
        return;
    }
    for (struct conn_trip *trip = c->out.first; step->trip != NULL; trip = trip->next) {
        if (trip->reply.verdict == CONN_OK)
            trip->reply.verdict = CONN_SPOILT;
        if (trip == step->trip)
            break;
    }
    PQclear(error);
}

/* Behind an error everything up to the Sync is left out. */
static void take_omission(struct conn *c, const struct step *step)
{
    if (step->trip == NULL)
        return;
    if (step->trip->reply.verdict == CONN_OK)
        step->trip->reply.verdict = CONN_SPOILT;
    if (step->kind == STEP_PREPARE)
        prepared_unset(&c->prepared, step->trip->work->statements[step->statement].id);
}

static void bring_back(struct conn *c, struct conn_trip *last, int64_t now_us)
{
    int count = 1;
    int64_t run_us = now_us - c->began_us;
    c->began_us = now_us;
    if (last == NULL)
        return;
    for (const struct conn_trip *trip = c->out.first; trip != last; trip = trip->next)
        count++;
    for (int i = 0; i < count; i++) {
        struct conn_trip *trip = trip_line_pop(&c->out);
        trip->reply.run_us = run_us / count;
        trip->reply.shared = count > 1;
        trip_line_push(&c->back, trip);
    }
}

static bool left_open(const struct conn *c)
{
    PGTransactionStatusType status = PQtransactionStatus(c->pg);
    return c->step == c->step_count && (status == PQTRANS_INTRANS || status == PQTRANS_INERROR);
}

/* False: the connection broke. */
static bool take_sync(struct conn *c, struct conn_trip *last, int64_t now_us)
{
    c->step++;
    c->in_results = false;
    if (left_open(c)) {
        conn_break(c, CONN_UNSUITABLE, "the statements left a transaction open; perfd begins and ends it itself");
        return false;
    }
    bring_back(c, last, now_us);
    return true;
}

/* What ends the connection. */
static void take_end(struct conn *c, const struct step *step, enum conn_verdict verdict, const char *why)
{
    if (step->trip != NULL)
        step->trip->reply.failed_statement = step->statement;
    conn_break(c, verdict, why);
}

static bool has_taker(const struct step *step)
{
    return step->kind == STEP_RUN && step->trip != NULL && step->trip->work->taker != NULL &&
           step->trip->work->taker->statement == step->statement;
}

/* False: the connection broke. */
static bool give_rows(struct conn *c, struct conn_trip *trip, PGresult *rows, int64_t now_us)
{
    const struct pool_taker *taker = trip->work->taker;
    trip->reply.taken_rows += PQntuples(rows);
    switch (taker->rows(taker->arg, rows)) {
    case FLOW_MORE:
        break;
    case FLOW_WAIT:
        c->paused_us = now_us;
        event_del(&c->io);
        conn_await_deadline(c, now_us + trip->patience_us, now_us);
        break;
    case FLOW_ALONE:
        conn_abandon(c, "a result was too large for a shared connection");
        return false;
    case FLOW_STOP:
        conn_abandon(c, "a result was not wanted to its end");
        trip->reply.verdict = CONN_STOPPED;
        return false;
    }
    return true;
}

void conn_resume(struct conn *c)
{
    if (c->paused_us == 0)
        return;
    c->out.first->patience_us -= clock_mono_us() - c->paused_us;
    c->paused_us = 0;
    event_add(&c->io, NULL);
    event_active(&c->io, EV_READ, 1); /* libpq has some already */
}

/* False: the connection broke. */
static bool take_result(struct conn *c, PGresult *result, int64_t now_us)
{
    const struct step step = c->steps[c->step];
    ExecStatusType status = PQresultStatus(result);
    bool ends = is_failure(status) && (PQstatus(c->pg) == CONNECTION_BAD || step.kind == STEP_MODE || is_own(result));
    bool kept = false, whole = true;

    c->doomed |= is_failure(status) && is_dismissal(result);
    if (is_copy(status)) {
        take_end(c, &step, CONN_UNSUITABLE, "COPY cannot be served as a route");
        whole = false;
    } else if (ends) {
        take_end(c, &step, CONN_LOST, PQresultErrorMessage(result));
        whole = false;
    } else if (is_failure(status)) {
        kept = true;
        if (step.kind == STEP_SYNC)
            take_commit_error(c, &step, result);
        else
            take_error(c, &step, result);
    } else if (status == PGRES_PIPELINE_SYNC && step.kind != STEP_SYNC) {
        take_end(c, &step, CONN_LOST, MISSING);
        whole = false;
    } else if (status == PGRES_PIPELINE_SYNC) {
        whole = take_sync(c, step.trip, now_us);
    } else if (status == PGRES_PIPELINE_ABORTED) {
        take_omission(c, &step);
    } else if (has_taker(&step) && (status == PGRES_SINGLE_TUPLE || status == PGRES_TUPLES_OK)) {
        if (step.trip->reply.result_count == step.statement)
            step.trip->reply.results[step.trip->reply.result_count++] = NULL;
        whole = give_rows(c, step.trip, result, now_us);
        kept = true;
    } else if (step.kind == STEP_RUN && step.trip != NULL && step.trip->reply.result_count == step.statement) {
        step.trip->reply.results[step.trip->reply.result_count++] = result;
        kept = true;
    }
    if (!kept)
        PQclear(result);
    return whole;
}

/* A write that fails finds the end before what was said ahead of it has been read. NULL stands between commands too. */
void conn_read_last_words(struct conn *c)
{
    for (int nulls = 0; nulls < 2 && !PQisBusy(c->pg);) {
        PGresult *result = PQgetResult(c->pg);
        nulls = result == NULL ? nulls + 1 : is_copy(PQresultStatus(result)) ? 2 : 0;
        c->doomed |= result != NULL && is_failure(PQresultStatus(result)) && is_dismissal(result);
        PQclear(result);
    }
}

/* ---- all that came ---- */

/* A server that is faster than we are would have the loop to itself until its last row. A timer, because what is made
 * active is still of this turn. */
static bool leaves_rest(struct conn *c, int *rows, int64_t begun_us)
{
    const struct timeval at_once = {0, 0};
    if (!has_taker(&c->steps[c->step]) || ++*rows % ROWS_A_LOOK != 0 || clock_mono_us() - begun_us < ROWS_US)
        return false;
    event_add(&c->more, &at_once);
    return true;
}

/* True: the owner must be told. */
static bool receive(struct conn *c)
{
    int64_t now_us = clock_mono_us();
    int rows = 0;
    while (c->step < c->step_count) {
        if (c->paused_us > 0 || leaves_rest(c, &rows, now_us))
            return c->back.first != NULL;
        if (!c->in_results && has_taker(&c->steps[c->step]))
            (void)PQsetSingleRowMode(c->pg); /* it heeds it from when the statement's turn has come */
        if (PQisBusy(c->pg))
            return c->back.first != NULL;
        PGresult *result = PQgetResult(c->pg);
        if (result != NULL) {
            c->in_results = true;
            c->progress_us = now_us;
            if (!take_result(c, result, now_us))
                return true;
        } else if (PQstatus(c->pg) == CONNECTION_BAD && !c->in_results) {
            conn_lost(c); /* not before all that came ahead of the end has been read */
            return true;
        } else if (!c->in_results && c->steps[c->step].kind != STEP_SYNC) {
            conn_break(c, CONN_LOST, MISSING);
            return true;
        } else {
            /* It ends what one command brought. Behind a Sync's own error, that of the commit, its end is still to
             * come.
             */
            c->step += c->steps[c->step].kind != STEP_SYNC || PQtransactionStatus(c->pg) != PQTRANS_ACTIVE;
            c->in_results = false;
        }
    }
    c->dropped_until_us = 0;
    leases_end(&c->leases);
    if (c->taken.first == NULL)
        conn_set_state(c, CONN_IDLE, "answered");
    return true;
}

int64_t conn_silent_since_us(const struct conn *c)
{
    return c->step < c->step_count ? c->progress_us : 0;
}

/* The trip that the server runs alone; NULL: its transaction has several, and it is not to be told which one, or it is
 * at what was dropped before. */
static struct conn_trip *at_work_alone(const struct conn *c)
{
    for (int i = c->step; i < c->step_count; i++) {
        const struct step *step = &c->steps[i];
        if (step->kind == STEP_SYNC && step->trip != NULL)
            return step->trip == c->out.first ? c->out.first : NULL;
        if (step->kind == STEP_RUN && step->trip == NULL)
            return NULL;
    }
    return NULL;
}

bool conn_runs_alone(const struct conn *c, const struct conn_trip *trip)
{
    return at_work_alone(c) == trip;
}

void conn_take_back(struct conn *c)
{
    struct conn_trip *stays = at_work_alone(c);
    if (stays != NULL)
        trip_line_pop(&c->out);
    conn_keep_leases(c);
    for (struct conn_trip *trip; (trip = trip_line_pop(&c->out)) != NULL;) {
        trip->reply.verdict = CONN_TAKEN_BACK;
        c->dropped_until_us = MAX(c->dropped_until_us, trip->deadline_us);
        trip_line_push(&c->back, trip);
    }
    for (struct conn_trip *trip; (trip = trip_line_pop(&c->taken)) != NULL;) {
        trip->reply.verdict = CONN_TAKEN_BACK;
        trip_line_push(&c->back, trip);
    }
    if (stays != NULL)
        trip_line_push(&c->out, stays);
    for (int i = c->step; i < c->step_count; i++)
        if (c->steps[i].trip != stays)
            c->steps[i].trip = NULL;
    conn_await_deadline(c, c->dropped_until_us, clock_mono_us());
}

static void tell_notifications(const struct conn *c)
{
    PGnotify *notification;
    while (c->settings->notified != NULL && (notification = PQnotifies(c->pg)) != NULL) {
        c->settings->notified(c->arg, notification->relname, notification->extra);
        PQfreemem(notification);
    }
}

/* The server's last words before it hung up may be among what came: receive() finds both. */
static bool receive_and_send(struct conn *c)
{
    bool tell = receive(c);
    if (c->state == CONN_BROKEN || event_pending(&c->more, EV_TIMEOUT, NULL))
        return tell;
    if (PQstatus(c->pg) != CONNECTION_BAD && conn_write_out(c))
        return tell;
    conn_lost(c);
    return true;
}

void conn_on_more(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct conn *c = arg;
    doing(DOING_database);
    if (c->paused_us == 0 && c->state == CONN_BUSY && receive_and_send(c))
        c->changed(c->arg);
}

void conn_on_input(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct conn *c = arg;
    bool tell = false;
    doing(DOING_database);
    if (c->paused_us > 0 || event_pending(&c->more, EV_TIMEOUT, NULL))
        return;
    if (!PQconsumeInput(c->pg) && c->state != CONN_BUSY) {
        conn_lost(c);
        tell = true;
    } else if (c->state == CONN_SETTING_UP) {
        conn_on_set_up(c);
        return;
    } else if (c->state == CONN_BUSY) {
        tell = receive_and_send(c);
    } else {
        (void)PQisBusy(c->pg); /* reads the messages that nobody asked for */
        tell = c->doomed || PQstatus(c->pg) == CONNECTION_BAD;
        if (tell)
            conn_lost(c);
    }
    tell_notifications(c);
    if (tell)
        c->changed(c->arg);
}

void conn_on_output(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct conn *c = arg;
    if (conn_write_out(c))
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
    conn_lost_in_call(c);
    return false;
}
