#include "common/clock.h"
#include "master/ctl/advise/advice.h"
#include "master/ctl/format.h"
#include "shm/heavy.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- N+1 ---- */

/* The load of the example asks for its favourite route with two requests in five; whoever asks for a list and then for
 * each of its rows, with nine in ten and more. */
enum { N_PLUS_1_REQUESTS = 200, N_PLUS_1_PERCENT = 75 };

static int64_t all_requests(const struct snapshot *s)
{
    int64_t sum = 0;
    for (int row = 0; row < s->routes; row++)
        sum += snapshot_route(s, row, ROUTE_STAT_requests);
    return sum;
}

void advise_n_plus_1(const struct snapshot *s, struct advices *advices)
{
    struct heavy_list *list = snapshot_heavy(s, SLOT_SECTION_consumers);
    int64_t all = all_requests(s);
    for (int i = 0; i < list->count; i++) {
        const struct heavy_item *item = &list->items[i];
        int64_t surely = MIN((int64_t)(item->count - MIN(item->error, item->count)), all);
        if (item->row < 0 || item->row >= s->routes || surely < N_PLUS_1_REQUESTS ||
            surely * 100 < all * N_PLUS_1_PERCENT)
            continue;
        advices_add(advices, ADVICE_N_PLUS_1, s->names[item->row],
                    "ask for them at once: by a query that joins, a fan or a batch",
                    "%s asks for it one key after the other: about %s of all %s requests (%s)", item->text,
                    format_count(surely).s, format_count(all).s, format_percent(surely, all).s);
    }
    free(list);
}

/* ---- the pool ---- */

enum { POOL_QUERIES = 50, BUSY_PERCENT = 70 };
#define WAIT_US US_PER_MS

static double mean_us(const struct histogram *h)
{
    double sum = 0, count = (double)histogram_count(h);
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
        sum += (double)h->buckets[i] * (double)histogram_upper_us(i);
    return count > 0 ? sum / count : 0;
}

/* Those that run and those that wait are as many as come in the time that one of them takes (Little 1961). */
void advise_pool(const struct snapshot *s, struct advices *advices)
{
    struct histogram run, wait;
    char todo[160];
    snapshot_hist(s, HIST_database, &run);
    snapshot_hist(s, HIST_pool_wait, &wait);
    double count = (double)histogram_count(&run), span_us = (double)MAX(s->span_us, INT64_C(1));
    double busy = count * mean_us(&run) / span_us, there = busy + count * mean_us(&wait) / span_us;
    int64_t max = snapshot_sum(s, STAT_pool_max), p95_us = histogram_quantile_us(&wait, 0.95);
    if (max == 0 || count < POOL_QUERIES || p95_us < WAIT_US || there * 100 < (double)max * BUSY_PERCENT)
        return;
    int64_t enough = (int64_t)ceil(MAX(there, (double)max) * 100 / BUSY_PERCENT);
    int64_t each = (enough + s->slots - 1) / MAX(s->slots, 1);
    snprintf(todo, sizeof todo,
             "database { pool max=%lld; }, of each of %d workers, if the database has the CPUs for it", (long long)each,
             s->slots);
    advices_add(advices, ADVICE_POOL, "database connections", todo,
                "%.1f queries run or wait on average (%.0f a second, %s each, and %s of waiting) for %lld connections; "
                "p95 of the waiting is %s, %s timed out",
                there, count * 1e6 / span_us, format_us((int64_t)mean_us(&run)).s, format_us((int64_t)mean_us(&wait)).s,
                (long long)max, format_us(p95_us).s, format_count(snapshot_sum(s, STAT_pool_timeouts)).s);
}
