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

/* Whatever stands in the file, what is handed out can be added up. */
static int64_t since(int64_t before, int64_t now)
{
    int64_t difference;
    if (now <= before || __builtin_sub_overflow(now, before, &difference))
        return 0;
    return MIN(difference, INT64_MAX / 8);
}

/* False: there is no time between them, in a file that perfd did not write. */
static bool subtract(const struct history_record *before, const struct history_record *now, struct history_point *out)
{
    *out = now->so_far;
    out->span_us = since(before->mono_us, now->mono_us);
#define HISTORY_COUNT(name, ...) out->name = since(before->so_far.name, now->so_far.name);
#define HISTORY_SPENT HISTORY_COUNT
#include "shm/history.def"
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
