#include "master/ctl/words.h"
#include "shm/doing.h"
#include "shm/pressure.h"

#include <stdio.h>

enum { PARAMS_MAX = 64 };

const char *words_state(int64_t state)
{
    return state >= 0 && state < PROC_STATE_COUNT ? proc_state_names[state] : "?";
}

const char *words_memory_level(int64_t level)
{
    return level >= 0 && level < MEMORY_LEVELS ? memory_level_names[level] : "?";
}

const char *words_event(const struct event *e)
{
    return e->kind >= 0 && e->kind < EVENT_KINDS ? event_names[e->kind] : "?";
}

struct text words_event_slot(const struct event *e)
{
    struct text text = {"-"};
    if (e->slot == STATS_KEEPER)
        snprintf(text.s, sizeof text.s, "keeper");
    else if (e->slot >= 0)
        snprintf(text.s, sizeof text.s, "%d", e->slot);
    return text;
}

bool words_loop(const struct snapshot *s, int slot, char text[static WORDS_LOOP_BYTES])
{
    int64_t stuck_us = snapshot_get(s, slot, STAT_loop_stuck_us), beat_us = snapshot_get(s, slot, STAT_beat_us);
    bool late = beat_us > 0 && s->at_us - beat_us > WORDS_BEAT_LATE_US;
    doing_word at = (doing_word)snapshot_get(s, slot, STAT_loop_stuck_at);
    int row = doing_route(at);
    const char *route = row > 0 && row < s->routes ? s->names[row] : NULL;
    if (stuck_us == 0 && late)
        snprintf(text, WORDS_LOOP_BYTES, "no heartbeat for %s", format_age(s->at_us - beat_us).s);
    else if (stuck_us == 0)
        snprintf(text, WORDS_LOOP_BYTES, "turns");
    else
        snprintf(text, WORDS_LOOP_BYTES, "stuck for %s: %s%s%s", format_us(stuck_us).s, doing_words(at),
                 route ? ", " : "", route ? route : "");
    return stuck_us == 0 && !late;
}

void words_params(struct buf *text, const struct slow_query *q)
{
    const char *values[PARAMS_MAX];
    int count = slow_params(q, values, PARAMS_MAX);
    for (int i = 0; i < count; i++)
        buf_printf(text, "%s$%d=%s", i > 0 ? " " : "", i + 1, values[i] ? values[i] : "NULL");
    if (!q->has_params)
        buf_adds(text, "-");
}
