#include "worker/rate.h"
#include "common/clock.h"
#include "common/net.h"
#include "shm/rates.h"
#include "shm/shared.h"
#include "worker/reply.h"
#include "worker/route.h"

enum { NS_PER_US = 1000 };

/* NULL: nobody asked, a kept answer is refreshed. */
static const struct http_head *asker_of(const struct request *r)
{
    return r->http->taker != NULL ? r->http->asker : r->http->head;
}

/* An address over a unix socket is none: all who come that way are one consumer, unless a header tells them apart. */
static struct slice consumer_of(const struct request *r, const struct conf_rate_limit *limit)
{
    const char *name = limit->header;
    struct slice value = name != NULL ? http_head_field(asker_of(r), name, strlen(name)) : slice_of(NULL, 0);
    if (value.len > 0)
        return value;
    uint8_t *address = (uint8_t *)arena_bytes(r->arena, NET_ADDRESS_BYTES);
    if (!net_consumer(r->http->remote, address))
        return slice_str(r->http->remote);
    return slice_of((const char *)address, NET_ADDRESS_BYTES);
}

static int64_t whole_seconds(int64_t us)
{
    return (us + US_PER_S - 1) / US_PER_S;
}

/* t is when there is more again: the first request where none is left, else all of them. */
static struct rate_told *tell(const struct request *r, const struct conf_rate_limit *limit,
                              const struct rate_verdict *v)
{
    struct rate_told *told = arena_alloc(r->arena, sizeof *told);
    int64_t window_us = limit->burst * limit->rate.per_us / limit->rate.count, t = whole_seconds(v->wait_us);
    told->fields = slice_str(arena_printf(
        r->arena, "RateLimit-Policy: \"%s\";q=%d;w=%lld\r\nRateLimit: \"%s\";r=%lld;t=%lld\r\n", limit->name,
        limit->burst, (long long)whole_seconds(window_us), limit->name, (long long)v->left, (long long)t));
    told->retry_after_s = MAX(t, INT64_C(1));
    return told;
}

static void refuse(struct request *r)
{
    struct service *s = r->service;
    service_count(s, STAT_rate_limited);
    stats_route_add(s->stats, s->slot, r->route->row, ROUTE_STAT_limited, 1);
    reply_refuse(r, 429, "rate_limited", "this consumer has asked too often");
}

bool rate_passes(struct request *r)
{
    const struct conf_rate_limit *limit = r->route->conf->limit;
    if (limit == NULL || r->route->conf->from == FROM_FAN || asker_of(r) == NULL)
        return true;
    struct rates *rates = r->service->shared->rates;
    int64_t interval_ns = limit->rate.per_us * NS_PER_US / limit->rate.count;
    const struct rate rate = {interval_ns, limit->burst * interval_ns};
    uint64_t key = rates_key(rates, slice_str(limit->name), consumer_of(r, limit));
    const struct rate_verdict verdict = rates_take(rates, key, &rate, clock_mono_us());
    if (verdict.counted)
        r->rate = tell(r, limit, &verdict);
    else
        service_count(r->service, STAT_rate_uncounted);
    if (!verdict.passes)
        refuse(r);
    return verdict.passes;
}
