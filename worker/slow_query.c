#include "worker/slow_query.h"
#include "common/clock.h"
#include "common/log.h"
#include "shm/slow.h"
#include "worker/route.h"

#include <stdio.h>
#include <unistd.h>

static const char *state_of(const struct pool_outcome *outcome, bool gone)
{
    if (gone)
        return "gone";
    switch (outcome->fail) {
    case POOL_OK:
        return "";
    case POOL_STOPPED:
        return "gone";
    case POOL_TIMEOUT:
        return "late";
    case POOL_REJECTED:
    case POOL_DOWN:
        return "lost";
    case POOL_SQL:
        break;
    }
    return outcome->sqlstate;
}

/* All or none: half of them would be another query's. */
static void add_params(struct slow_query *query, const struct pool_work *work)
{
    query->has_params = 1;
    for (int s = 0; s < work->statement_count; s++)
        for (int i = 0; i < work->statements[s].param_count; i++)
            if (work->values == NULL || !slow_param_add(query, work->values[s][i])) {
                query->has_params = 0;
                query->params_bytes = 0;
                return;
            }
}

static void tell(const struct slow_query *query)
{
    static struct log_limit limit;
    if (!log_limit_pass(&limit, US_PER_S, clock_mono_us()))
        return;
    log_warn("slow query: %s ran %.1f ms after waiting %.1f ms, %lld rows%s%s (perfctl explain %llu)", query->route,
             (double)query->run_us / US_PER_MS, (double)query->wait_us / US_PER_MS, (long long)query->rows,
             query->state[0] ? ", " : "", query->state, (unsigned long long)query->number);
}

void slow_query_note(struct service *s, const struct pool_work *work, const struct pool_outcome *outcome, bool gone)
{
    const struct route *route = work->owner;
    if (route == NULL || work->describe || route->conf->slow_query_us == 0 ||
        outcome->run_us < route->conf->slow_query_us)
        return;
    struct slow_query query = {.at_us = clock_wall_us(),
                               .run_us = outcome->run_us,
                               .wait_us = outcome->wait_us,
                               .rows = outcome->rows,
                               .fingerprint = query_fingerprint(slice_str(route->conf->sql_text)),
                               .slot = s->slot,
                               .pid = (int32_t)getpid()};
    snprintf(query.state, sizeof query.state, "%s", state_of(outcome, gone));
    snprintf(query.route, sizeof query.route, "%s", route->conf->name);
    if (s->conf->database.slow_query_params)
        add_params(&query, work);
    query.number = slow_add(stats_slow(s->stats), s->proc, &query);
    service_count(s, STAT_slow_queries);
    tell(&query);
}
