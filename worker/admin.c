#include "worker/admin.h"
#include "common/net.h"
#include "common/resolve.h"
#include "worker/figures.h"
#include "worker/health.h"
#include "worker/live_page.h"
#include "worker/reply.h"

static const struct {
    const char *name;
    void (*answer)(struct request *r);
} places[] = {
    {"", live_page_answer},
    {"metrics", figures_metrics},
    {"stats", figures_stats},
    {"history", figures_history},
};

static bool is_at(const struct request *r, const char *name)
{
    if (r->target.segment_count == 0)
        return *name == '\0';
    return r->target.segment_count == 1 && slice_is(r->target.segments[0], name);
}

/* Without its port. */
static struct slice host_of(struct slice authority)
{
    const char *colon = authority.len > 0 ? memrchr(authority.at, ':', authority.len) : NULL;
    bool bare = colon == NULL || authority.at[authority.len - 1] == ']';
    return bare ? authority : slice_of(authority.at, (size_t)(colon - authority.at));
}

static bool is_foreign_name(struct slice host, struct arena *arena)
{
    if (host.len > 0 && host.at[host.len - 1] == '.')
        host.len--;
    return host.len > 0 && host.at[0] != '[' && !slice_same(host, SLICE("localhost")) &&
           !slice_ends(host, SLICE(".localhost")) && resolve_is_name(arena_str(arena, host));
}

/* By whom a browser of this machine asks for a stranger's page, whose name leads here now: DNS rebinding, which makes a
 * page of another origin one of this. Over the network comes whom the operator has let in. */
static bool is_rebound(const struct request *r)
{
    static const struct net loopback[] = {{{[10] = 0xff, [11] = 0xff, [12] = 127}, 104}, {{[15] = 1}, 128}};
    return net_has(loopback, ARRAY_LEN(loopback), r->http->remote) &&
           is_foreign_name(host_of(http_header_in(r->http, "Host")), r->arena);
}

void admin_answer(struct request *r)
{
    if (health_answer(r))
        return;
    if (is_rebound(r)) {
        reply_refuse(r, 421, "misdirected", "from this machine it is asked by an address or as localhost");
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        if (!is_at(r, places[i].name))
            continue;
        if (r->http->method == HTTP_OPTIONS)
            reply_options(r);
        else if (r->method != METHOD_GET)
            reply_refuse(r, 405, "method_not_allowed", "this path is only read");
        else
            places[i].answer(r);
        return;
    }
    reply_refuse(r, 404, "no_route", "here are /, /metrics, /stats, /history, /healthz and /readyz");
}
