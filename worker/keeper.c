#include "worker/keeper.h"
#include "common/clock.h"
#include "common/log.h"
#include "shm/cache.h"
#include "shm/history.h"
#include "worker/changes.h"
#include "worker/child.h"
#include "worker/event_words.h"
#include "worker/holdings.h"
#include "worker/purger.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A worker that fills a segment a millisecond, 1 GB/s at 1 MB each, finds the next one free. */
#define KEEP_US (20 * US_PER_MS)

struct keeper {
    const struct worker_start *start;
    struct child child;
    struct event keep;
    struct history_writer *history;
    struct changes *changes; /* NULL: nobody listens */
    struct holdings *holdings;
    struct purger *purger;
};

static void on_keep(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct keeper *k = arg;
    event_words_started();
    struct shared *shared = k->start->shared;
    int64_t now_us = clock_mono_us();
    board_beat(shared->board, k->start->proc, now_us);
    purger_step(k->purger);
    cache_tick(shared->cache, now_us);
    history_step(k->history, now_us, clock_wall_us());
    bool more = cache_keep(shared->cache, now_us);
    holdings_step(k->holdings, now_us);
    child_every(&k->keep, more ? US_PER_MS : KEEP_US);
}

static void asked(void *arg, enum child_asked what)
{
    struct keeper *k = arg;
    if (what != CHILD_REOPEN)
        event_base_loopbreak(k->child.base);
}

int keeper_run(const struct worker_start *start)
{
    struct keeper k = {.start = start};
    child_memory();
    k.child = (struct child){.conf = start->conf, .base = child_base(), .asked = asked, .arg = &k};
    cache_attach(start->shared->cache, start->proc);
    k.history = history_writer_create(start->shared->stats, start->proc);
    event_assign(&k.keep, k.child.base, -1, 0, on_keep, &k);
    child_every(&k.keep, 0);
    child_watch(&k.child, start->life_fd);
    srandom((unsigned)getpid());
    k.changes = changes_create(start, k.child.base);
    k.holdings = holdings_create(start);
    k.purger = purger_create(start, k.changes != NULL ? changes_redis(k.changes) : NULL);
    board_set_state(start->shared->board, start->proc, PROC_READY);
    event_base_dispatch(k.child.base);
    return 0;
}
