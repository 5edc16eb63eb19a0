#include "master/memory_watch.h"
#include "common/clock.h"
#include "common/log.h"
#include "master/note.h"
#include "master/replace.h"
#include "master/workers_state.h"

#include <signal.h>
#include <stdlib.h>

void memory_watch_init(struct memory_watch *m, const struct shared *shared)
{
    const char *ms = secure_getenv("PERFD_MEMORY_SECOND");
    *m = (struct memory_watch){.second_us = ms != NULL ? MAX(atoi(ms), 1) * US_PER_MS : US_PER_S};
    memory_system_init(&m->system, shared);
}

static double mb(int64_t bytes)
{
    return (double)bytes / (1 << 20);
}

static void say_limit_is_wrong(struct shared *shared, const struct child *w, const struct growth_sample *s)
{
    note(shared, worker_grown, w->slot, w->pid,
         "worker %d (pid %d) has %.1f MB of its own after %lld s: worker_soft, %.1f MB, is too low; workers are "
         "replaced "
         "more and more rarely",
         w->slot, (int)w->pid, mb(s->bytes), (long long)s->age_samples, mb(s->soft_bytes));
}

static void replace(struct workers *workers, struct shared *shared, const struct generation *generation,
                    const struct child *w, const struct growth_sample *s, int64_t now_us)
{
    if (!workers_replace(workers, w->slot, generation, now_us))
        return;
    note(shared, worker_grown, w->slot, w->pid,
         "worker %d (pid %d) has %.1f MB of its own, above worker_soft, %.1f MB: another one takes its place", w->slot,
         (int)w->pid, mb(s->bytes), mb(s->soft_bytes));
    stats_add(shared->stats, w->slot, STAT_memory_replaced, 1);
}

static void kill_it(struct shared *shared, const struct child *w, const struct growth_sample *s)
{
    note(shared, worker_grown, w->slot, w->pid,
         "worker %d (pid %d) has %.1f MB of its own, above worker_hard, %.1f MB: it is killed", w->slot, (int)w->pid,
         mb(s->bytes), mb(s->hard_bytes));
    stats_add(shared->stats, w->slot, STAT_memory_killed, 1);
    kill(w->pid, SIGKILL);
}

/* Another one's place must not be empty while one gives way. */
static bool all_serve(struct workers *workers, const struct generation *generation)
{
    const struct board *board = workers->start.shared->board;
    for (int slot = 0; slot < generation->conf->workers; slot++) {
        const struct child *w = workers_find(workers, slot, ROLE_SERVING);
        if (w == NULL || board_state(board, w->proc) != PROC_READY || workers->slots[slot].adopted)
            return false;
    }
    return !workers->rolls && !workers_replaces(workers);
}

static void sample_worker(struct memory_watch *m, struct workers *workers, const struct generation *generation,
                          const struct child *w, int64_t now_us)
{
    struct shared *shared = workers->start.shared;
    struct growth_of *of = &m->of[w->proc];
    struct growth_sample s = {.soft_bytes = generation->conf->memory.worker_soft_bytes,
                              .hard_bytes = generation->conf->memory.worker_hard_bytes,
                              .age_samples = (now_us - w->started_us) / m->second_us,
                              .replaceable = w->role == ROLE_SERVING && all_serve(workers, generation)};
    if (of->pid != (int)w->pid)
        *of = (struct growth_of){.pid = (int)w->pid};
    if (!memory_private_bytes((int)w->pid, &s.bytes))
        return;
    if (w->role == ROLE_SERVING)
        stats_set(shared->stats, w->slot, STAT_private_bytes, s.bytes);
    switch (growth_judge(&m->growth, of, &s)) {
    case GROWTH_NONE:
        return;
    case GROWTH_LIMIT_WRONG:
        say_limit_is_wrong(shared, w, &s);
        return;
    case GROWTH_REPLACE:
        replace(workers, shared, generation, w, &s, now_us);
        return;
    case GROWTH_KILL:
        kill_it(shared, w, &s);
        return;
    }
}

int64_t memory_watch_step(struct memory_watch *m, struct workers *workers, const struct generation *generation,
                          int64_t now_us)
{
    if (now_us < m->next_us)
        return m->next_us;
    m->next_us = now_us + m->second_us;
    memory_system_sample(&m->system, generation->conf, workers->start.shared);
    growth_tick(&m->growth);
    for (int i = 0; i < BOARD_ROWS; i++) {
        const struct child *w = &workers->children[i];
        if (w->pid > 0 && w->slot != KEEPER_SLOT)
            sample_worker(m, workers, generation, w, now_us);
    }
    return m->next_us;
}
