#include "common/clock.h"
#include "common/log.h"
#include "sql/backoff.h"
#include "sql/pool_state.h"

#include <stdio.h>
#include <stdlib.h>

enum { FAILURES_MAX = 2 };

static int count_open(const struct pool *pool)
{
    int open = 0;
    for (int i = 0; i < pool->places; i++)
        open += pool->members[i].conn != NULL;
    return open;
}

bool member_are_too_many(const struct pool *pool)
{
    return count_open(pool) > pool->max;
}

bool member_any_working(const struct pool *pool)
{
    for (int i = 0; i < pool->places; i++)
        if (pool->members[i].conn != NULL && pool->members[i].announced)
            return true;
    return false;
}

bool member_is_idle(const struct member *m)
{
    return m->conn != NULL && m->running == 0 && conn_state(m->conn) == CONN_IDLE;
}

static bool is_past_its_time(const struct member *m, int64_t now_us)
{
    return m->retire_us > 0 && now_us >= m->retire_us;
}

/* Not while no other can be had for it; a cancel that comes late must not meet what did not ask for it. */
bool member_is_old(const struct member *m, int64_t now_us)
{
    return m->cancelled_us > 0 || (is_past_its_time(m, now_us) && m->pool->backoff_us == 0);
}

/* One that is kept although it is old is tried to be replaced. */
static int count_replacements(const struct pool *pool, int64_t now_us)
{
    for (int i = 0; i < pool->places && pool->backoff_us > 0; i++)
        if (pool->members[i].conn != NULL && is_past_its_time(&pool->members[i], now_us))
            return 1;
    return 0;
}

static int count_connecting(const struct pool *pool)
{
    int connecting = 0;
    for (int i = 0; i < pool->places; i++)
        connecting += pool->members[i].conn != NULL && !pool->members[i].announced;
    return connecting;
}

/* ---- coming ---- */

static void open_one(struct pool *pool, int64_t now_us)
{
    for (int i = 0; i < pool->places; i++) {
        struct member *m = &pool->members[i];
        if (m->conn != NULL)
            continue;
        *m = (struct member){.pool = pool, .opened_us = now_us, .host = failover_host(pool)};
        if (pool->conf->database.max_lifetime_us > 0)
            m->retire_us = now_us + backoff_jitter_us(pool->conf->database.max_lifetime_us);
        m->conn = conn_create(pool->base, &pool->settings, m->host, answer_on_changed, m);
        return;
    }
}

/* As many connects as there are requests waiting, short ones by the pipeline, and what is missing to min; one at a time
 * and host while they refuse. */
void member_open_wanted(struct pool *pool, int64_t now_us)
{
    int open = count_open(pool), connecting = count_connecting(pool);
    int depth = pool->conf->database.pool_depth;
    int bulk_places = MAX(place_bulk_share(pool) - place_count_bulk(pool), 0);
    int waiting = pool->lines[JOB_OWN].count + MIN(pool->lines[JOB_BULK].count, bulk_places) +
                  (pool->lines[JOB_SHORT].count + depth - 1) / depth;
    int spare = pool->draining ? 0 : MAX(pool->min - open, count_replacements(pool, now_us));
    int wanted = MAX(waiting - connecting, spare);
    if (now_us < pool->connect_after_us)
        return;
    if (failover_seeks(pool))
        wanted = wanted > 0 || pool->health != POOL_UP ? pool->host_count - connecting : 0;
    else if (pool->budget < BUDGET_UNSURE)
        wanted = MIN(wanted, 1 - open);
    for (; wanted > 0 && open < pool->max; wanted--, open++)
        open_one(pool, now_us);
}

void member_opened(struct member *m, int64_t now_us)
{
    struct pool *pool = m->pool;
    m->announced = true;
    m->idle_since_us = now_us;
    pool->way_us = conn_way_us(m->conn);
    pool->metrics.opened++;
    pool->backoff_us = 0;
    pool->connect_after_us = 0;
    pool->failures = 0;
    failover_opened(m, now_us);
    if (pool->health == POOL_UNREACHABLE)
        log_info("the database answers again");
    pool->health = POOL_UP;
    if (pool->budget == BUDGET_UNKNOWN || pool->budget == BUDGET_UNSURE)
        pool_ask_budget(pool, now_us);
}

/* ---- going ---- */

void member_close(struct member *m)
{
    conn_destroy(&m->conn);
    if (m->announced)
        m->pool->metrics.closed++;
}

/* Those that were begun together fail together, and count as one. */
static void connect_failed(struct pool *pool, int64_t begun_us, int64_t now_us)
{
    if (begun_us < pool->failed_us)
        return;
    pool->failed_us = now_us;
    pool->failures++;
    pool->backoff_us = backoff_next_us(pool->backoff_us);
    pool->connect_after_us = now_us + backoff_jitter_us(pool->backoff_us);
    pool_add_timer(&pool->tick, pool->connect_after_us - now_us);
    /* One failure may be a session that an admin ended while it began. */
    if (pool->failures < FAILURES_MAX || member_any_working(pool))
        return;
    if (pool->health != POOL_UNREACHABLE)
        log_warn("the database is unreachable: %s", pool->last_error);
    pool->health = POOL_UNREACHABLE;
    wait_fail_all(pool);
}

void member_failed(struct member *m, int64_t now_us)
{
    struct pool *pool = m->pool;
    bool was_open = m->announced;
    snprintf(pool->last_error, sizeof pool->last_error, "%s", conn_error(m->conn));
    failover_broke(m);
    member_close(m);
    if (!was_open && !failover_is_elsewhere(m))
        connect_failed(pool, m->opened_us, now_us);
}

void member_retire_idle(struct pool *pool, int64_t now_us)
{
    int64_t idle_us = pool->conf->database.idle_timeout_us;
    int open = count_open(pool);
    for (int i = 0; i < pool->places; i++) {
        struct member *m = &pool->members[i];
        if (!member_is_idle(m))
            continue;
        bool idle = idle_us > 0 && now_us - m->idle_since_us >= idle_us && open > pool->min;
        if (member_is_old(m, now_us) || idle || pool->draining || open > pool->max) {
            member_close(m);
            open--;
        }
    }
}
