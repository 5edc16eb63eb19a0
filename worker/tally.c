#include "worker/tally.h"
#include "shm/heavy.h"
#include "worker/route.h"

#include <stdlib.h>

#ifndef PERFD_NO_STATS

/* An answer costs points, 1 or more, and whoever spends the last one is counted. The next one's come at random, so that
 * no pattern of requests hides between them. */
static int points = TALLY_HIT_SHARE / 2;

static int draw(void)
{
    return 1 + (int)(random() % (2 * TALLY_HIT_SHARE - 1));
}

/* For how many it counts. */
static uint64_t times_of(int cost)
{
    uint64_t times = 0;
    points -= cost;
    while (points <= 0) {
        points += draw();
        times += TALLY_HIT_SHARE / (uint64_t)cost;
    }
    return times;
}

static bool has_key_in_path(const struct route *route)
{
    for (int i = 0; i < route->query->name_count; i++)
        if (route->in_path[i])
            return true;
    return false;
}

static void count(const struct request *r, enum stats_slot_section what, struct slice text, uint64_t times)
{
    const struct service *s = r->service;
    heavy_add(stats_slot_section(s->stats, s->slot, what), s->proc, r->route->row, text, times);
}

/* A batch asks for many keys at once, which is as it should be: its items count for their keys alone. */
static void count_sample(const struct request *r, uint64_t times)
{
    if (r->route->conf->cached && r->source != SOURCE_NONE)
        count(r, SLOT_SECTION_keys, r->http->target, times);
    if (r->http->taker == NULL && r->http->remote[0] != '\0' && has_key_in_path(r->route))
        count(r, SLOT_SECTION_consumers, slice_str(r->http->remote), times);
}

void tally_add(const struct request *r, int status)
{
    bool answered = status < 400 || status == 404;
    if (r->method != METHOD_GET || !answered)
        return;
    uint64_t times = times_of(r->source == SOURCE_HIT ? 1 : TALLY_HIT_SHARE / TALLY_MISS_SHARE);
    if (times > 0)
        count_sample(r, times);
}

#endif
