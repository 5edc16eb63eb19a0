#include "shm/events.h"
#include "common/clock.h"
#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>

static const struct ring_shape shape = {EVENTS, sizeof(struct event)};

const char *const event_names[EVENT_KINDS] = {
#define EVENT(name, level, help) #name,
#include "shm/events.def"
#undef EVENT
};

static const enum log_level levels[EVENT_KINDS] = {
#define EVENT(name, level, help) LOG_##level,
#include "shm/events.def"
#undef EVENT
};

size_t events_bytes(void)
{
    return ring_bytes(shape);
}

void event_note(struct ring *events, int proc, enum event_kind kind, int slot, int pid, const char *fmt, ...)
{
    struct event event = {.at_us = clock_wall_us(), .kind = (int32_t)kind, .slot = slot, .pid = pid};
    va_list args;
    va_start(args, fmt);
    vsnprintf(event.text, sizeof event.text, fmt, args);
    va_end(args);
    log_write(levels[kind], "%s", event.text);
    ring_add(events, shape, proc, &event);
}

void events_reap(struct ring *events, int proc)
{
    ring_reap(events, shape, proc);
}

int events_read(const struct ring *events, struct event out[static EVENTS])
{
    int count = ring_read(events, shape, out);
    for (int i = 0; i < count; i++)
        out[i].text[EVENT_TEXT_BYTES - 1] = '\0'; /* the file may be another program's by mistake */
    return count;
}
