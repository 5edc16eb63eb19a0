#include "worker/upstream_idle.h"

void upstream_idle_init(struct upstream_idle *idle, int max, int64_t timeout_us)
{
    *idle = (struct upstream_idle){.max = max, .timeout_us = timeout_us};
}

static int64_t end_of(const struct upstream_idle *idle, const struct idle_conn *conn)
{
    int64_t most_us = conn->most_us > 0 ? MIN(conn->most_us, idle->timeout_us) : idle->timeout_us;
    return MIN(conn->ends_us, conn->since_us + most_us);
}

void upstream_idle_remove(struct upstream_idle *idle, struct idle_conn *conn)
{
    *(conn->newer ? &conn->newer->older : &idle->newest) = conn->older;
    *(conn->older ? &conn->older->newer : &idle->oldest) = conn->newer;
    conn->older = conn->newer = NULL;
    idle->count--;
}

struct idle_conn *upstream_idle_put(struct upstream_idle *idle, struct idle_conn *conn, int64_t now_us)
{
    struct idle_conn *doomed = NULL;
    if (idle->max == 0 || conn->ends_us <= now_us)
        return conn;
    if (idle->count == idle->max) {
        doomed = idle->oldest;
        upstream_idle_remove(idle, doomed);
    }
    conn->since_us = now_us;
    conn->newer = NULL;
    conn->older = idle->newest;
    *(idle->newest ? &idle->newest->newer : &idle->oldest) = conn;
    idle->newest = conn;
    idle->count++;
    return doomed;
}

struct idle_conn *upstream_idle_take(struct upstream_idle *idle, int64_t now_us)
{
    struct idle_conn *conn = idle->newest;
    while (conn != NULL && end_of(idle, conn) <= now_us)
        conn = conn->older;
    if (conn != NULL)
        upstream_idle_remove(idle, conn);
    return conn;
}

struct idle_conn *upstream_idle_expired(struct upstream_idle *idle, int64_t now_us)
{
    struct idle_conn *conn = idle->oldest;
    while (conn != NULL && end_of(idle, conn) > now_us)
        conn = conn->newer;
    if (conn != NULL)
        upstream_idle_remove(idle, conn);
    return conn;
}

int64_t upstream_idle_next_us(const struct upstream_idle *idle)
{
    int64_t next_us = INT64_MAX;
    for (const struct idle_conn *conn = idle->oldest; conn != NULL; conn = conn->newer)
        next_us = MIN(next_us, end_of(idle, conn));
    return next_us;
}
