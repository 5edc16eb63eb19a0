#include "common/clock.h"
#include "common/conf.h"
#include "common/units.h"
#include "master/ctl/advise/advice.h"
#include "master/ctl/advise/lifetime.h"
#include "master/ctl/format.h"

#include <stdio.h>
#include <string.h>

/* The load of the example asks for most keys so rarely that one lookup in eight finds its answer idle, as it should. */
enum { LOOKUPS = 200, LOST_PERCENT = 20 };

struct lookups {
    int64_t all, hits, expired, idle, evicted;
};

static struct lookups lookups_of(const struct snapshot *s, int row)
{
    struct lookups l = {.hits = snapshot_route(s, row, ROUTE_STAT_hits),
                        .expired = snapshot_route(s, row, ROUTE_STAT_expired),
                        .idle = snapshot_route(s, row, ROUTE_STAT_idle),
                        .evicted = snapshot_route(s, row, ROUTE_STAT_evicted)};
    double all = (double)l.hits + (double)snapshot_route(s, row, ROUTE_STAT_misses) +
                 (double)snapshot_route(s, row, ROUTE_STAT_stale);
    l.all = (int64_t)MIN(all, 1e18);
    return l;
}

static bool costs_hits(int64_t lost, const struct lookups *l)
{
    return (double)lost * 100 >= (double)l->all * LOST_PERCENT;
}

/* Answers with tags go early while nobody hears what changes, whatever their ttl is: ttl_without_listener. */
static bool ends_by_ttl(const struct snapshot *s, const struct conf *conf, const struct conf_route *route)
{
    bool listens = conf_listens_to_database(conf) || conf_listens_to_redis(conf);
    bool heard = snapshot_sum(s, STAT_listener_up) > 0 || snapshot_sum(s, STAT_redis_listening) > 0;
    return route->cache_ttl_us > 0 && (heard || !listens || route->cache_tags.count == 0);
}

/* Where the cache has no room, a longer tti would keep nothing. */
static bool ends_by_tti(const struct conf_route *route, const struct lookups *l)
{
    bool sooner = route->cache_ttl_us == 0 || route->cache_tti_us < route->cache_ttl_us;
    return route->cache_tti_us > 0 && sooner && l->evicted < l->idle;
}

static void write_todo(char *todo, size_t bytes, const struct conf_route *route, int64_t ttl_us, int64_t tti_us)
{
    char ttl[UNIT_TEXT_BYTES], tti[UNIT_TEXT_BYTES];
    bool longer = ttl_us > route->cache_ttl_us;
    snprintf(todo, bytes, "cache%s%s%s%s;%s", ttl_us > 0 ? " ttl=" : "",
             ttl_us > 0 ? unit_print_duration(ttl_us, ttl) : "", tti_us > 0 ? " tti=" : "",
             tti_us > 0 ? unit_print_duration(tti_us, tti) : "",
             !longer                       ? ""
             : route->cache_tags.count > 0 ? " if all that changes these answers raises their tags"
                                           : " if answers may be so old");
}

/* A longer ttl alone keeps nothing that is idle: the tti grows with it. */
static void look_at_route(const struct snapshot *s, const struct conf *conf, const struct conf_route *route,
                          const struct lookups *l, struct advices *advices)
{
    char todo[192];
    int64_t ttl_us = route->cache_ttl_us, tti_us = route->cache_tti_us;
    bool expired = costs_hits(l->expired, l) && ends_by_ttl(s, conf, route);
    bool idle = costs_hits(l->idle, l) && ends_by_tti(route, l);
    if (l->all < LOOKUPS || (!expired && !idle))
        return;
    if (expired)
        ttl_us = lifetime_ttl_us(ttl_us, l->hits, l->expired);
    if (idle)
        tti_us = lifetime_tti_us(tti_us, l->hits, l->idle, ttl_us);
    else if (tti_us > 0)
        tti_us = (int64_t)((double)tti_us / US_PER_MS * (double)ttl_us / (double)route->cache_ttl_us) * US_PER_MS;
    write_todo(todo, sizeof todo, route, ttl_us, tti_us);
    advices_add(advices, ADVICE_CACHE, route->name, todo,
                "of %s lookups %s hit; %s met an answer whose ttl was over, %s one whose tti was",
                format_count(l->all).s, format_percent(l->hits, l->all).s, format_percent(l->expired, l->all).s,
                format_percent(l->idle, l->all).s);
}

void advise_cache(const struct snapshot *s, const struct conf *conf, struct advices *advices)
{
    for (int i = 0; i < conf->route_count; i++)
        for (int row = 0; row < s->routes && conf->routes[i].cached; row++)
            if (strncmp(conf->routes[i].name, s->names[row], sizeof s->names[row] - 1) == 0) {
                struct lookups l = lookups_of(s, row);
                look_at_route(s, conf, &conf->routes[i], &l, advices);
            }
}
