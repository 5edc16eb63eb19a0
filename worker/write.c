#include "worker/write.h"
#include "shm/tags.h"
#include "worker/redis.h"
#include "worker/reply.h"
#include "worker/rows.h"

#include <stdlib.h>

struct write {
    struct request *r;
    struct buf body;
    bool answered; /* rows were read: body is the answer; else r->problem */
    uint32_t *slots;
    int slot_count;
};

static void answer(struct write *w)
{
    struct request *r = w->r;
    const struct answer answer = {.status = r->route->conf->status,
                                  .body = buf_slice(&w->body),
                                  .content_type = w->body.len > 0 ? "application/json" : NULL,
                                  .age_us = -1};
    if (w->answered)
        reply_answer(r, &answer);
    else
        reply_problem(r);
    buf_deinit(&w->body);
    free(w);
}

/* Redis first: a fetch that begins after the local tags were raised must not find the old answer there. */
static void redis_told(void *arg)
{
    struct write *w = arg;
    struct service *s = w->r->service;
    tags_raise(s->shared->tags, w->slots, w->slot_count);
    stats_add(s->stats, s->slot, STAT_invalidations, w->slot_count);
    board_write_end(s->shared->board, s->proc);
    answer(w);
}

static void on_done(void *arg, const struct pool_outcome *outcome)
{
    struct write *w = arg;
    struct service *s = w->r->service;
    /* Lost after it was sent, it may have committed. */
    bool may_have_changed = outcome->fail == POOL_OK ||
                            ((outcome->fail == POOL_DOWN || outcome->fail == POOL_TIMEOUT) && outcome->run_us > 0);
    w->answered = rows_read(w->r, outcome, &w->body);
    if (w->slot_count == 0)
        answer(w);
    else if (!may_have_changed) {
        board_write_end(s->shared->board, s->proc);
        answer(w);
    } else if (s->redis != NULL)
        redis_invalidate(s->redis, w->slots, w->slot_count, redis_told, w);
    else
        redis_told(w);
}

void write_start(struct request *r)
{
    struct write *w = xcalloc(1, sizeof *w);
    const struct conf_strings *tags = &r->route->conf->invalidates;
    const struct pool_work work = rows_work(r);
    w->r = r;
    w->slot_count = tags->count;
    w->slots = arena_alloc(r->arena, sizeof *w->slots * (size_t)tags->count);
    params_tags(r->route, tags, r->values, w->slots);
    if (w->slot_count > 0)
        board_write_begin(r->service->shared->board, r->service->proc);
    pool_run(r->service->pool, &work, on_done, w);
}
