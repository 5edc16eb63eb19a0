#include "common/clock.h"
#include "sql/conn_state.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_step(struct conn *c, enum step_kind kind, int statement, struct conn_trip *trip)
{
    if (c->step > 0 && (c->step == c->step_count || c->step_count == c->step_cap)) { /* the answered ones go */
        c->step_count -= c->step;
        memmove(c->steps, c->steps + c->step, (size_t)c->step_count * sizeof *c->steps);
        c->step = 0;
    }
    if (c->step_count == c->step_cap) {
        c->step_cap = c->step_cap ? 2 * c->step_cap : 16;
        c->steps = xrealloc(c->steps, (size_t)c->step_cap * sizeof *c->steps);
    }
    c->steps[c->step_count++] = (struct step){kind, statement, trip};
}

static bool differs_in_timeout(const struct conn *c, const struct pool_work *work)
{
    return !work->describe && conn_timeout_ms(work->timeout_us) != conn_timeout_ms(c->settings->statement_timeout_us);
}

/* Without prepared statements the transaction's settings have it. */
static bool needs_timeout(const struct conn *c, const struct pool_work *work)
{
    return c->settings->prepare && differs_in_timeout(c, work);
}

static bool needs_mode(const struct conn *c, const struct pool_work *work)
{
    return c->settings->prepare && !work->describe && work->read_only != c->read_only;
}

static bool needs_plan(const struct conn *c, const struct pool_work *work)
{
    return !work->describe && !conn_plans(c, work->plan);
}

bool conn_knows(const struct conn *c, const struct pool_work *work)
{
    for (int i = 0; i < work->statement_count && c->settings->prepare; i++)
        if (!prepared_has(&c->prepared, work->statements[i].id))
            return false;
    return true;
}

/* ---- one step ---- */

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

/* All that start_connect() asks of a session. A transaction that writes is as the role is by default: SET TRANSACTION
 * READ WRITE would warn in the server's log each time. */
static bool send_settings(struct conn *c, const struct pool_work *work)
{
    int64_t timeout_us = differs_in_timeout(c, work) ? work->timeout_us : c->settings->statement_timeout_us;
    char text[512];
    snprintf(text, sizeof text,
             "SELECT pg_catalog.set_config('statement_timeout', '%d', true), "
             "pg_catalog.set_config('TimeZone', 'UTC', true), pg_catalog.set_config('DateStyle', 'ISO', true), "
             "pg_catalog.set_config('bytea_output', 'hex', true), "
             "pg_catalog.set_config('extra_float_digits', '1', true)%s",
             conn_timeout_ms(timeout_us),
             work->read_only ? ", pg_catalog.set_config('transaction_read_only', 'on', true)" : "");
    return send_command(c, text);
}

static bool send_mode(struct conn *c, const struct pool_work *work)
{
    c->read_only = work->read_only;
    return send_command(c, work->read_only ? "SET default_transaction_read_only = on"
                                           : "SET default_transaction_read_only = off");
}

static bool send_plan(struct conn *c, const struct pool_work *work)
{
    static const char *const commands[] = {[PLAN_AUTO] = "SET plan_cache_mode = DEFAULT",
                                           [PLAN_GENERIC] = "SET plan_cache_mode = force_generic_plan",
                                           [PLAN_CUSTOM] = "SET plan_cache_mode = force_custom_plan"};
    c->plan = work->plan;
    c->plan_unsure = false;
    return send_command(c, commands[work->plan]);
}

static bool send_prepare(struct conn *c, const struct pool_statement *statement)
{
    if (!c->settings->prepare)
        return PQsendPrepare(c->pg, "", statement->text, 0, NULL);
    return PQsendPrepare(c->pg, prepared_set(&c->prepared, statement->id), statement->text, 0, NULL);
}

static bool send_run(struct conn *c, const struct pool_work *work, int i)
{
    const struct pool_statement *statement = &work->statements[i];
    const char *const *values = work->values ? work->values[i] : NULL;
    const char *name = c->settings->prepare ? prepared_name(&c->prepared, statement->id) : "";
    if (work->describe)
        return PQsendDescribePrepared(c->pg, name);
    if (!c->settings->prepare)
        return PQsendQueryParams(c->pg, statement->text, statement->param_count, NULL, values, NULL, NULL, 0);
    return PQsendQueryPrepared(c->pg, name, statement->param_count, values, NULL, NULL, 0);
}

static bool send_sync(struct conn *c, struct conn_trip *last)
{
    add_step(c, STEP_SYNC, 0, last);
    return PQpipelineSync(c->pg);
}

/* ---- trips ---- */

/* What concerns the session and not the trip, in a transaction of its own. */
static bool send_session(struct conn *c, const struct pool_work *work)
{
    bool deallocate = c->deallocate, mode = needs_mode(c, work), plan = needs_plan(c, work);
    c->deallocate = false;
    if (deallocate)
        add_step(c, STEP_DEALLOCATE, 0, NULL);
    if (deallocate && !send_command(c, "DEALLOCATE ALL"))
        return false;
    if (mode)
        add_step(c, STEP_MODE, 0, NULL);
    if (mode && !send_mode(c, work))
        return false;
    if (plan)
        add_step(c, STEP_MODE, 0, NULL);
    if (plan && !send_plan(c, work))
        return false;
    return (!deallocate && !mode && !plan) || send_sync(c, NULL);
}

static bool prepare_missing(struct conn *c, struct conn_trip *trip)
{
    const struct pool_work *work = trip->work;
    for (int i = 0; i < work->statement_count && c->settings->prepare; i++)
        if (!prepared_has(&c->prepared, work->statements[i].id)) {
            add_step(c, STEP_PREPARE, i, trip);
            trip->reply.prepared = true;
            if (!send_prepare(c, &work->statements[i]))
                return false;
        }
    return true;
}

static bool run_all(struct conn *c, struct conn_trip *trip)
{
    const struct pool_work *work = trip->work;
    bool unnamed = work->describe && !c->settings->prepare;
    for (int i = 0; i < work->statement_count; i++) {
        if (unnamed)
            add_step(c, STEP_PREPARE, i, trip);
        if (unnamed && !send_prepare(c, &work->statements[i]))
            return false;
        add_step(c, STEP_RUN, i, trip);
        if (!send_run(c, work, i))
            return false;
    }
    return true;
}

/* Statements before one Sync are one transaction, without BEGIN and COMMIT. begins: this is its first trip. */
static bool send_trip(struct conn *c, struct conn_trip *trip, bool begins, bool joins)
{
    const struct pool_work *work = trip->work;
    if (begins && !c->settings->prepare && !work->describe) {
        add_step(c, STEP_SETTINGS, 0, trip);
        if (!send_settings(c, work))
            return false;
    }
    if (!prepare_missing(c, trip))
        return false;
    if (!joins && needs_timeout(c, work)) {
        add_step(c, STEP_TIMEOUT, 0, trip);
        if (!send_timeout(c, work))
            return false;
    }
    return run_all(c, trip);
}

static void prepare_reply(struct conn *c, struct conn_trip *trip)
{
    int count = trip->work->statement_count;
    trip->generation = c->prepared.generation;
    trip->reply.results = count == 1 ? trip->one_result : xcalloc((size_t)count, sizeof *trip->reply.results);
}

/* One that joins the transaction of those before it needs nothing that only it needs. */
static bool may_join(const struct conn *c, const struct conn_trip *trip)
{
    return trip->joins && !c->deallocate && !needs_mode(c, trip->work) && !needs_plan(c, trip->work) &&
           !differs_in_timeout(c, trip->work) && conn_knows(c, trip->work);
}

/* False: the connection is lost. The trips are out all the same. */
static bool send_taken(struct conn *c, int64_t now_us)
{
    struct conn_trip *open = NULL; /* the last of those that have no Sync yet */
    bool ok = true;
    for (struct conn_trip *trip; (trip = trip_line_pop(&c->taken)) != NULL;) {
        bool joins = may_join(c, trip);
        if (ok && open != NULL && !joins)
            ok = send_sync(c, open);
        trip_line_push(&c->out, trip);
        prepare_reply(c, trip);
        trip->reply.behind_others = c->step != c->step_count;
        ok = ok && send_session(c, trip->work) && send_trip(c, trip, open == NULL || !joins, joins) &&
             (joins || send_sync(c, trip));
        open = joins ? trip : NULL;
        conn_await_deadline(c, trip->deadline_us, now_us);
    }
    return ok && (open == NULL || send_sync(c, open));
}

bool conn_write_out(struct conn *c)
{
    int left = PQflush(c->pg);
    if (left == 1)
        event_add(&c->output, NULL);
    else if (left == 0)
        event_del(&c->output);
    return left >= 0;
}

void conn_run(struct conn *c, struct conn_trip *trip)
{
    if (c->state == CONN_IDLE)
        conn_set_state(c, CONN_BUSY, "work");
    CHECK(c->state == CONN_BUSY);
    trip_line_push(&c->taken, trip);
}

void conn_send(struct conn *c, int64_t now_us)
{
    if (c->taken.first == NULL || c->state != CONN_BUSY)
        return;
    if (c->step == c->step_count)
        c->progress_us = c->began_us = now_us;
    if (!send_taken(c, now_us) || !conn_write_out(c))
        conn_lost_in_call(c);
}
