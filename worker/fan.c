#include "worker/fan.h"
#include "common/clock.h"
#include "common/json_write.h"
#include "worker/inner.h"
#include "worker/reply.h"
#include "worker/target_fill.h"
#include "worker/upstream_target.h"
#include "worker/upstream_uri.h"

#include <stdlib.h>

/* A batch, and the fans of fans that perfd.conf allows. What a parameter stands for may lead elsewhere than it shows.
 */
enum { DEPTH_MAX = 1 + CONF_FAN_DEPTH_MAX };

struct fan {
    struct request *r;
    struct inner_run *run;
    struct buf *bodies; /* of the parts, as JSON */
    void (*done)(void *arg, const struct fan_answer *answer);
    void *arg;
};

static void end(struct fan *fan)
{
    for (int i = 0; i < fan->r->route->conf->part_count; i++)
        buf_deinit(&fan->bodies[i]);
    free(fan->bodies);
    free(fan);
}

void fan_forget(struct fan **forgotten)
{
    struct fan *fan = *forgotten;
    *forgotten = NULL;
    inner_forget(&fan->run);
    end(fan);
}

/* ---- a part ---- */

static const char *detail_of(const struct problem *problem)
{
    if (problem == NULL)
        return "it failed";
    return problem->detail   ? problem->detail
           : problem->errors ? problem->errors->detail
                             : problem_title(problem->status);
}

/* In the part's own words where they are known. */
static void take_problem(struct request *r, const struct conf_part *part, const struct inner_answer *answer)
{
    static const struct problem unknown = {.code = "part_failed"};
    const struct problem *from = answer->problem ? answer->problem : &unknown;
    struct problem *to = &r->problem;
    to->status = answer->status >= 400 ? answer->status : 502;
    to->code = arena_str(r->arena, slice_str(from->code));
    to->detail = arena_printf(r->arena, "%s: %s", part->name, detail_of(answer->problem));
    to->part = from->part ? arena_printf(r->arena, "%s.%s", part->name, from->part) : part->name;
    for (const struct problem_error *e = from->errors; e != NULL; e = e->next)
        problem_add(to, r->arena, e->parameter ? arena_str(r->arena, slice_str(e->parameter)) : NULL, e->offset,
                    arena_str(r->arena, slice_str(e->detail)));
}

static void fail(struct fan *fan, const struct conf_part *part, const struct inner_answer *answer)
{
    take_problem(fan->r, part, answer);
    inner_forget(&fan->run);
    fan->done(fan->arg, &(struct fan_answer){0});
}

static bool is_refused_quota(const struct inner_answer *answer)
{
    return answer->status == 429 && answer->problem != NULL;
}

/* What is so of a part is so of the whole. A part that failed is not in it. */
static void take_origin(struct request *r, const struct inner_answer *answer, bool good)
{
    struct http_origin *origin = &r->origin;
    bool fails = !good && answer->status != 404;
    origin->lags |= good && answer->origin.lags;
    origin->unkept |= good && answer->origin.unkept;
    origin->shrunk |= fails || answer->origin.shrunk;
    origin->own |= answer->origin.own || (fails && (is_refused_quota(answer) || clock_mono_us() >= r->deadline_us));
}

static void on_answered(void *arg, int index, const struct inner_answer *answer)
{
    struct fan *fan = arg;
    const struct conf_part *part = &fan->r->route->conf->parts[index];
    struct buf *body = &fan->bodies[index];
    bool good = answer->status >= 200 && answer->status < 300;
    if (!good && !part->optional) {
        struct request *r = fan->r;
        request_hold(r);
        fail(fan, part, answer);
        end(fan);
        request_release(r);
        return;
    }
    take_origin(fan->r, answer, good);
    if (!good || answer->body.len == 0)
        buf_adds(body, "null");
    else if (answer->is_json)
        buf_add(body, answer->body.at, answer->body.len);
    else
        json_write_string(body, answer->body);
}

/* ---- all of them ---- */

static void on_done(void *arg)
{
    struct fan *fan = arg;
    struct request *r = fan->r;
    const struct conf_route *conf = r->route->conf;
    struct buf out = {0};
    request_hold(r);
    buf_addc(&out, '{');
    for (int i = 0; i < conf->part_count; i++) {
        struct buf *body = &fan->bodies[i];
        while (body->len > 0 && strchr(" \t\r\n", body->at[body->len - 1]) != NULL)
            body->len--;
        json_write_key(&out, conf->parts[i].name);
        buf_add(&out, body->at, body->len);
    }
    buf_adds(&out, "}\n");
    fan->done(fan->arg, &(struct fan_answer){true, buf_slice(&out)});
    buf_deinit(&out);
    end(fan);
    request_release(r);
}

/* ---- beginning ---- */

static const struct inner_ask *make_asks(const struct request *r, struct arena *arena)
{
    const struct conf_route *conf = r->route->conf;
    struct inner_ask *asks = arena_alloc(arena, (size_t)conf->part_count * sizeof *asks);
    for (int i = 0; i < conf->part_count; i++) {
        asks[i] = (struct inner_ask){.method = HTTP_GET,
                                     .target = target_fill(conf->parts[i].target, r->route->query, r->values, arena),
                                     .label = conf->parts[i].name};
        if (r->depth > DEPTH_MAX)
            asks[i].refusal = (struct http_refusal){500, "nested_too_deep", "a fan leads back to itself"};
    }
    return asks;
}

/* One within another request has that one's turn alone, so that no request has more at a time than its own concurrency.
 */
struct fan *fan_start(struct request *r, void (*done)(void *arg, const struct fan_answer *answer), void *arg)
{
    const struct conf_route *conf = r->route->conf;
    struct fan *fan = xcalloc(1, sizeof *fan);
    *fan = (struct fan){.r = r,
                        .run = inner_create(r, conf->cached),
                        .bodies = xcalloc((size_t)conf->part_count, sizeof *fan->bodies),
                        .done = done,
                        .arg = arg};
    inner_start(fan->run, &(struct inner_work){.asks = make_asks(r, inner_arena(fan->run)),
                                               .count = conf->part_count,
                                               .concurrency = r->depth > 0 ? 1 : conf->concurrency,
                                               .max_bytes = (size_t)conf->max_answer_bytes,
                                               .answered = on_answered,
                                               .done = on_done,
                                               .arg = fan});
    return fan;
}

/* ---- tags ---- */

static bool add_slot(uint32_t slots[CACHE_TAGS_MAX], int *count, uint32_t slot)
{
    int at = 0;
    while (at < *count && slots[at] != slot)
        at++;
    if (at == CACHE_TAGS_MAX)
        return false;
    slots[at] = slot;
    *count = MAX(*count, at + 1);
    return true;
}

static bool add_tags(struct request *of, uint32_t slots[CACHE_TAGS_MAX], int *count)
{
    uint32_t own[CACHE_TAGS_MAX];
    struct slice target;
    const struct conf_route *conf = of->route->conf;
    bool ok = true;
    params_tags(of->route, &conf->cache_tags, of->values, own);
    for (int i = 0; i < conf->cache_tags.count && ok; i++)
        ok = add_slot(slots, count, own[i]);
    if (ok && conf->from == FROM_UPSTREAM && conf->cached && upstream_target_make(of, &target))
        ok = add_slot(slots, count, upstream_uri_slot(conf->upstream, target));
    return ok;
}

/* The request of a part as it will be matched; values that its route refuses have no answer, and so no tags. */
static bool add_part_tags(const struct request *r, const struct conf_part *part, uint32_t slots[CACHE_TAGS_MAX],
                          int *count)
{
    const struct service *s = r->service;
    struct request of = {.service = r->service, .arena = r->arena, .depth = r->depth + 1, .method = METHOD_GET};
    if (target_parse(target_fill(part->target, r->route->query, r->values, r->arena), r->arena, &of.target) != NULL)
        return false;
    of.path_values = arena_alloc(r->arena, (size_t)of.target.segment_count * sizeof *of.path_values);
    of.place = router_find(s->router, &of.target, of.path_values);
    of.route = of.place ? router_route(of.place, METHOD_GET) : NULL;
    if (of.route != &s->routes[part->route] || of.route->state != ROUTE_READY)
        return false;
    const struct params_source source = {of.place, METHOD_GET, of.path_values, &of.target, NULL, 0};
    if (!params_read(of.route, &source, r->arena, &of.values, &of.problem))
        return true;
    return add_tags(&of, slots, count) && fan_tags(&of, slots, count);
}

bool fan_tags(const struct request *r, uint32_t slots[CACHE_TAGS_MAX], int *count)
{
    const struct conf_route *conf = r->route->conf;
    for (int i = 0; i < conf->part_count; i++)
        if (!add_part_tags(r, &conf->parts[i], slots, count))
            return false;
    return true;
}
