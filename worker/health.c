#include "worker/health.h"
#include "sql/pool.h"
#include "worker/reply.h"

static const struct answer ok = {.status = 200,
                                 .body = {"{\"status\":\"ok\"}\n", 16},
                                 .head = {REPLY_JSON_HEAD, sizeof REPLY_JSON_HEAD - 1},
                                 .age_us = -1};

static void answer_ready(struct request *r)
{
    const struct service *s = r->service;
    if (s->draining)
        reply_refuse(r, 503, "draining", "this worker ends; others take over");
    else if (!s->described)
        reply_refuse(r, 503, "starting", "the routes' queries are being prepared");
    else if (s->pool != NULL && pool_health(s->pool) == POOL_UNREACHABLE)
        reply_refuse(r, 503, "database_unavailable", "the database cannot be reached");
    else
        reply_answer(r, &ok);
}

bool health_answer(struct request *r)
{
    bool one = r->target.segment_count == 1;
    bool health = one && slice_is(r->target.segments[0], "healthz");
    bool ready = one && slice_is(r->target.segments[0], "readyz");
    if (!health && !ready)
        return false;
    if (r->http->method == HTTP_OPTIONS)
        reply_options(r);
    else if (r->method != METHOD_GET)
        reply_refuse(r, 405, "method_not_allowed", "this path is only read");
    else if (ready)
        answer_ready(r);
    else
        reply_answer(r, &ok);
    return true;
}
