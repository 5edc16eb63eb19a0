#include "shm/history.h"
#include "shm/history_layout.h"

#include <string.h>

static const enum stats_section sections[HISTORY_SCALES] = {SECTION_seconds, SECTION_minutes};

size_t history_bytes(void)
{
    return sizeof(struct history) + ring_bytes(history_shape);
}

size_t history_record_bytes(void)
{
    return sizeof(struct history_record);
}

void history_reap(struct stats *stats, int proc)
{
    for (int scale = 0; scale < HISTORY_SCALES; scale++) {
        struct history *history = stats_section(stats, sections[scale]);
        ring_reap((struct ring *)(void *)(history + 1), history_shape, proc);
    }
}

/* False: they are of no file that perfd wrote. */
static bool subtract(const struct history_record *before, const struct history_record *now, struct history_point *out)
{
    *out = now->so_far;
    out->span_us = now->mono_us - before->mono_us;
#define HISTORY_COUNT(name, unit, help, ...) out->name = MAX(now->so_far.name - before->so_far.name, INT64_C(0));
#define HISTORY_LEVEL(name, unit, help, ...)
#include "shm/history.def"
#undef HISTORY_COUNT
#undef HISTORY_LEVEL
    out->cpu_us = MAX(now->so_far.cpu_us - before->so_far.cpu_us, INT64_C(0));
    return out->span_us > 0;
}

int history_read(const struct stats_view *view, enum history_scale scale,
                 struct history_point out[static HISTORY_POINTS])
{
    struct history_record records[HISTORY_RECORDS]; /* the latest first */
    const struct history *history = stats_view_section(view, sections[scale]);
    if (history == NULL)
        return -1;
    int found = ring_read((const struct ring *)(const void *)(history + 1), history_shape, records), count = 0;
    for (int i = MIN(found - 1, (int)HISTORY_POINTS); i > 0; i--)
        count += subtract(&records[i], &records[i - 1], &out[count]);
    return count;
}
