#include "common/clock.h"
#include "sql/conn_state.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

/* ---- sending ---- */

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
    if (!work->describe && conn_timeout_ms(work->timeout_us) != conn_timeout_ms(c->settings->statement_timeout_us))
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
             conn_timeout_ms(work->timeout_us));
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
            conn_lost_in_call(c);
            return;
        }
    if (!flush_output(c))
        conn_lost_in_call(c);
    else if (deadline_us > 0)
        conn_set_timer(c, MAX(deadline_us - now_us, US_PER_MS));
}

/* ---- receiving ---- */

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
        } else if (c->steps[c->step].kind != STEP_SYNC || PQtransactionStatus(c->pg) != PQTRANS_ACTIVE) {
            c->step++; /* NULL ends what one command brought. Behind a Sync's own error, that of the commit, its end
                          is still to come. */
        }
    }
    answered(c);
    return true;
}

void conn_on_input(evutil_socket_t fd, short what, void *arg)
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

void conn_on_output(evutil_socket_t fd, short what, void *arg)
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
    conn_lost_in_call(c);
    return false;
}
