#include "common/clock.h"
#include "common/log.h"
#include "sql/pool_state.h"

#include <string.h>

/* One that was left for a standby and leads to one again is not left again at once. */
#define LEAVE_US US_PER_S

/* Where nothing is said, writes and a choice of hosts need the primary. */
static enum hosts_role role_of(const struct conf *conf, const char *url)
{
    enum hosts_role role = hosts_role(url);
    if (role != HOSTS_UNSAID)
        return role;
    bool primary = hosts_count(url) > 1;
    for (int i = 0; i < conf->route_count; i++)
        primary |= conf->routes[i].method != METHOD_GET;
    return primary ? HOSTS_PRIMARY : HOSTS_ANY;
}

void failover_init(struct pool *pool)
{
    struct conn_settings *settings = &pool->settings;
    settings->role = settings->host < 0 ? role_of(pool->conf, settings->url) : hosts_role(settings->url);
    pool->host_count = settings->host < 0 ? hosts_count(settings->url) : 1;
}

/* ---- which host ---- */

bool failover_seeks(const struct pool *pool)
{
    return pool->backoff_us > 0 || pool->health != POOL_UP || pool->seeking;
}

static bool is_tried(const struct pool *pool, unsigned host)
{
    for (int i = 0; i < pool->places; i++) {
        const struct member *m = &pool->members[i];
        if (m->conn != NULL && !m->announced && m->host == host)
            return true;
    }
    return false;
}

unsigned failover_host(const struct pool *pool)
{
    unsigned count = (unsigned)pool->host_count;
    if (!failover_seeks(pool))
        return pool->good_host;
    unsigned first = pool->good_host + (unsigned)pool->failures, i = 0;
    while (i < count && is_tried(pool, (first + i) % count))
        i++;
    return (first + i) % count;
}

static void seek(struct pool *pool)
{
    pool->seeking = pool->host_count > 1;
}

void failover_opened(struct member *m, int64_t now_us)
{
    struct pool *pool = m->pool;
    pool->host_count = MAX(pool->host_count, conn_host_count(m->conn));
    pool->good_host = m->host;
    pool->found_us = now_us;
    pool->seeking = false;
}

bool failover_is_elsewhere(const struct member *m)
{
    return m->host != m->pool->good_host && m->opened_us < m->pool->found_us;
}

void failover_broke(struct member *m)
{
    m->pool->host_count = MAX(m->pool->host_count, conn_host_count(m->conn));
    if (m->announced)
        seek(m->pool);
}

/* ---- leaving a server ---- */

static bool is_refused_write(const struct job *job)
{
    const struct conn_reply *reply = &job->trip.reply;
    const char *state = reply->error ? PQresultErrorField(reply->error, PG_DIAG_SQLSTATE) : NULL;
    return reply->verdict == CONN_REFUSED && !job->work.read_only && state != NULL && strcmp(state, "25006") == 0;
}

/* They end when they are idle; those that are it already, at once. */
static void leave_all(struct member *m, int64_t now_us)
{
    struct pool *pool = m->pool;
    if (pool->left_us > 0 && now_us - pool->left_us < LEAVE_US)
        return;
    pool->left_us = now_us;
    log_warn("the database server is a standby: its connections are given up");
    for (int i = 0; i < pool->places; i++) {
        struct member *other = &pool->members[i];
        if (other->conn == NULL || !other->announced || other == m)
            continue;
        other->retire_us = now_us;
        if (member_is_idle(other))
            member_close(other);
    }
    seek(pool);
}

bool failover_noticed(struct member *m, const struct job *job, int64_t now_us)
{
    if (conn_state(m->conn) == CONN_BROKEN)
        return false;
    enum conn_standby standby = conn_standby(m->conn);
    bool refused = is_refused_write(job);
    bool misled = standby == CONN_STANDBY_YES && m->pool->settings.role == HOSTS_PRIMARY;
    if (refused || misled)
        m->retire_us = now_us;
    if (misled || (refused && standby != CONN_STANDBY_NO))
        leave_all(m, now_us);
    return refused;
}

void failover_silence(struct member *m, int64_t since_us)
{
    struct pool *pool = m->pool;
    for (int i = 0; i < pool->places; i++) {
        struct member *other = &pool->members[i];
        if (other != m && member_is_idle(other) && other->idle_since_us < since_us)
            member_close(other);
    }
    seek(pool);
}
