#include "common/clock.h"
#include "shm/history_layout.h"

#include <stdlib.h>
#include <string.h>

/* A slot's worker, and what it had used. */
struct spender {
    int64_t pid, cpu_us;
};

struct history_writer {
    struct stats *stats;
    int proc;
    int64_t cpu_us;       /* of all workers that there were */
    struct spender *seen; /* by slot, at the last look */
    int seen_count;
};

static const int64_t lengths_us[HISTORY_SCALES] = {US_PER_S, 60 * US_PER_S};

/* Anew each time: stats_follow() may move it. */
static struct history *history_of(const struct history_writer *w, enum history_scale scale)
{
    return stats_section(w->stats, scale == HISTORY_SECONDS ? SECTION_seconds : SECTION_minutes);
}

static struct ring *ring_of(struct history *history)
{
    return (struct ring *)(void *)(history + 1);
}

/* ---- CPU ---- */

static void see_slots(struct history_writer *w)
{
    int slots = stats_slots(w->stats);
    if (slots <= w->seen_count)
        return;
    w->seen = xrealloc(w->seen, (size_t)slots * sizeof *w->seen);
    memset(w->seen + w->seen_count, 0, (size_t)(slots - w->seen_count) * sizeof *w->seen);
    w->seen_count = slots;
}

/* Slots tell that of their present workers. While one takes over from another both write in turn: what lies between two
 * looks is one worker's or nothing. */
static void add_cpu(struct history_writer *w)
{
    see_slots(w);
    for (int slot = 0; slot < w->seen_count; slot++) {
        const struct spender now = {stats_get(w->stats, slot, STAT_pid), stats_get(w->stats, slot, STAT_cpu_us)};
        struct spender *last = &w->seen[slot];
        if (now.pid == last->pid || last->pid == 0)
            w->cpu_us += MAX(now.cpu_us - last->cpu_us, INT64_C(0));
        *last = now;
    }
}

/* ---- records ---- */

static int64_t sum_of(const struct stats *stats, const enum metric *metrics, size_t count)
{
    int64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += stats_sum(stats, metrics[i]);
    return sum;
}

static void read_figures(const struct history_writer *w, struct history_point *out)
{
#define HISTORY_COUNT(name, unit, help, ...)                                                                           \
    {                                                                                                                  \
        static const enum metric metrics[] = {__VA_ARGS__};                                                            \
        out->name = sum_of(w->stats, metrics, ARRAY_LEN(metrics));                                                     \
    }
#define HISTORY_LEVEL HISTORY_COUNT
#include "shm/history.def"
}

/* What a minute's levels are the most of. */
static void raise_levels(struct history_point *to, const struct history_point *second)
{
#define HISTORY_LEVEL(name, ...) to->name = MAX(to->name, second->name);
#include "shm/history.def"
}

static void find_peaks(const struct history_writer *w, int64_t since_us, struct history_point *to)
{
    struct history_record seconds[HISTORY_RECORDS];
    int count = ring_read(ring_of(history_of(w, HISTORY_SECONDS)), history_shape, seconds);
    for (int i = 0; i < count; i++)
        if (seconds[i].mono_us > since_us)
            raise_levels(to, &seconds[i].so_far);
}

/* The times of what was answered since the last record. A writer that dies in here leaves the old ones whole. */
static void read_times(struct history *history, const struct histogram *answers, struct history_point *out)
{
    uint32_t current = atomic_load(&history->current) & 1;
    struct histogram since = *answers;
    histogram_subtract(&since, &history->answers[current]);
#define HISTORY_QUANTILE(name, unit, help, q) out->name = histogram_quantile_us(&since, q);
#include "shm/history.def"
    history->answers[!current] = *answers;
    atomic_store(&history->current, !current);
}

static int64_t last_us(const struct history_writer *w, enum history_scale scale)
{
    struct history_record records[HISTORY_RECORDS];
    int count = ring_read(ring_of(history_of(w, scale)), history_shape, records);
    return count > 0 ? records[0].mono_us : 0;
}

static void write_record(struct history_writer *w, enum history_scale scale, const struct history_record *now,
                         const struct histogram *answers)
{
    struct history *history = history_of(w, scale);
    struct history_record record = *now;
    if (scale == HISTORY_MINUTES)
        find_peaks(w, last_us(w, scale), &record.so_far);
    read_times(history, answers, &record.so_far);
    ring_add(ring_of(history), history_shape, w->proc, &record);
}

/* ---- life ---- */

/* True: it is over, and this process is the one that writes it. */
static bool take_period(struct history *history, int64_t period)
{
    int64_t last = atomic_load(&history->period);
    return period != last && atomic_compare_exchange_strong(&history->period, &last, period);
}

void history_step(struct history_writer *w, int64_t mono_us, int64_t wall_us)
{
    bool due[HISTORY_SCALES], any = false;
    for (int scale = 0; scale < HISTORY_SCALES; scale++)
        any |= due[scale] = take_period(history_of(w, (enum history_scale)scale), wall_us / lengths_us[scale]);
    if (!any)
        return;
    struct history_record now = {.mono_us = mono_us};
    struct histogram answers;
    stats_follow(w->stats);
    add_cpu(w);
    read_figures(w, &now.so_far);
    now.so_far.at_us = wall_us;
    now.so_far.cpu_us = w->cpu_us;
    stats_hist_sum(w->stats, HIST_answer, &answers);
    for (int scale = 0; scale < HISTORY_SCALES; scale++)
        if (due[scale])
            write_record(w, (enum history_scale)scale, &now, &answers);
}

/* Goes on counting CPU where the one before ended. */
struct history_writer *history_writer_create(struct stats *stats, int proc)
{
    struct history_record records[HISTORY_RECORDS];
    struct history_writer *w = xcalloc(1, sizeof *w);
    w->stats = stats;
    w->proc = proc;
    add_cpu(w);
    int count = ring_read(ring_of(history_of(w, HISTORY_SECONDS)), history_shape, records);
    w->cpu_us = count > 0 ? records[0].so_far.cpu_us : 0;
    return w;
}

void history_writer_destroy(struct history_writer **w)
{
    if (*w == NULL)
        return;
    free((*w)->seen);
    free(*w);
    *w = NULL;
}
