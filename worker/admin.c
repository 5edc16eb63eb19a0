#include "worker/admin.h"
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

void admin_answer(struct request *r)
{
    if (health_answer(r))
        return;
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
