#include "common/clock.h"
#include "master/ctl/advise/advice.h"
#include "master/ctl/format.h"
#include "shm/heavy.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- N+1 ---- */

/* The load of the example asks for its favourite route with two requests in five; whoever asks for a list and then for
 * each of its rows, with nine in ten and more. One key that is half of what is asked for is polled. */
enum { N_PLUS_1_REQUESTS = 200, N_PLUS_1_PERCENT = 75, POLLED_PERCENT = 50 };

static double surely(const struct heavy_item *item)
{
    return (double)item->count - (double)item->error;
}

/* How often the key of a route came that came most often; the list begins with those. */
static double most_of_one_key(const struct heavy_list *keys, int row)
{
    for (int i = 0; keys != NULL && i < keys->count; i++)
        if (keys->items[i].row == row)
            return surely(&keys->items[i]);
    return 0;
}

static void judge_consumer(const struct snapshot *s, const struct heavy_list *keys, const struct heavy_item *item,
                           struct advices *advices)
{
    int64_t all = snapshot_sum(s, STAT_requests);
    double count = MIN(surely(item), (double)all);
    if (item->row >= s->routes || count < N_PLUS_1_REQUESTS || count * 100 < (double)all * N_PLUS_1_PERCENT ||
        most_of_one_key(keys, item->row) * 100 > count * POLLED_PERCENT)
        return;
    advices_add(advices, ADVICE_N_PLUS_1, s->names[item->row],
                "ask for them at once: by a query that joins, a fan or a batch",
                "%s asks for it one key after the other: about %s of all %s requests (%s)", item->text,
                format_count((int64_t)count).s, format_count(all).s, format_percent((int64_t)count, all).s);
}

void advise_n_plus_1(const struct snapshot *s, struct advices *advices)
{
    struct heavy_list *consumers = snapshot_heavy(s, SLOT_SECTION_consumers);
    struct heavy_list *keys = snapshot_heavy(s, SLOT_SECTION_keys);
    if (consumers == NULL)
        advices_unknown(advices, "n+1", "the file of perfd %s does not tell who asks; use the perfctl of that perfd",
                        s->version);
    for (int i = 0; consumers != NULL && i < consumers->count; i++)
        judge_consumer(s, keys, &consumers->items[i], advices);
    free(consumers);
    free(keys);
}

/* ---- the pool ---- */

/* Of the waits a twentieth is p95; so many that were given up weigh as much. Waiting grows without end where too much
 * comes, so that what waits says that it is too little, and not how much is enough: at most twice as much at a time. */
enum { POOL_QUERIES = 50, BUSY_PERCENT = 70, LOST_SHARE = 20, MOST_GROWTH = 2 };
#define WAIT_US US_PER_MS

struct pool_use {
    double queries, run_us, wait_us, lost, max; /* the times are of all of them together */
    int64_t wait_p95_us;
    int workers;
};

/* The primary's connections and the replicas', as the histograms have both. */
static void read_use(const struct snapshot *s, struct pool_use *u)
{
    struct histogram run, wait;
    snapshot_hist(s, HIST_database, &run);
    snapshot_hist(s, HIST_pool_wait, &wait);
    *u = (struct pool_use){.queries = (double)histogram_count(&run),
                           .run_us = histogram_sum_us(&run),
                           .wait_us = histogram_sum_us(&wait),
                           .wait_p95_us = histogram_quantile_us(&wait, 0.95)};
    u->lost = (double)snapshot_sum(s, STAT_pool_timeouts) + (double)snapshot_sum(s, STAT_replica_timeouts);
    u->max = (double)snapshot_sum(s, STAT_pool_max) + (double)snapshot_sum(s, STAT_replica_max);
    for (int slot = 0; slot < s->slots; slot++)
        u->workers += snapshot_get(s, slot, STAT_pool_max) > 0;
}

static bool must_wait(const struct pool_use *u)
{
    return u->wait_p95_us >= WAIT_US || u->lost * LOST_SHARE > u->queries;
}

/* Those that run and those that wait are as many as come in the time that one of them takes (Little 1961). */
void advise_pool(const struct snapshot *s, struct advices *advices)
{
    struct pool_use u;
    char todo[192];
    read_use(s, &u);
    double span_us = (double)MAX(s->span_us, INT64_C(1));
    double run = u.run_us / span_us, wait = u.wait_us / span_us;
    if (u.workers == 0 || u.queries < POOL_QUERIES || !must_wait(&u) || (run + wait) * 100 < u.max * BUSY_PERCENT)
        return;
    double enough = MIN(MAX(run + wait, u.max) * 100 / BUSY_PERCENT, u.max * MOST_GROWTH);
    double each = ceil((double)snapshot_sum(s, STAT_pool_max) * enough / u.max / u.workers);
    snprintf(todo, sizeof todo,
             "database { pool max=%.0f; }, of each of %d workers%s; if the database has the CPUs for it, and then look "
             "again",
             each, u.workers, snapshot_sum(s, STAT_replica_max) > 0 ? ", and as much more of replica_pool" : "");
    advices_add(advices, ADVICE_POOL, "database connections", todo,
                "%.1f queries run and %.1f wait on average (%.0f a second, %s each, and %s of waiting) for %.0f "
                "connections; p95 of the waiting is %s, %.0f timed out",
                run, wait, u.queries * 1e6 / span_us, format_us((int64_t)(u.run_us / u.queries)).s,
                format_us((int64_t)(u.wait_us / u.queries)).s, u.max, format_us(MAX(u.wait_p95_us, INT64_C(0))).s,
                u.lost);
}
