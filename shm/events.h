/* What happened to processes: what restarted when and why, the last EVENTS of it. A ring in the statistics file, so
 * that perfctl can tell while everything else stands still. Each is a line of the error log too. */
#ifndef SHM_EVENTS_H
#define SHM_EVENTS_H

#include "shm/board.h"
#include "shm/ring.h"

enum { EVENTS = 512, EVENT_TEXT_BYTES = 472 };

enum event_kind {
#define EVENT(name, level, help) EVENT_##name,
#include "shm/events.def"
#undef EVENT
    EVENT_KINDS
};
extern const char *const event_names[EVENT_KINDS];

enum { EVENT_NO_SLOT = -2, EVENT_MASTER = BOARD_ROWS /* in the place of a process row */ };

struct event {
    uint64_t number; /* from 1, in order */
    int64_t at_us;   /* wall clock */
    int32_t kind;    /* enum event_kind; a newer perfd may know more */
    int32_t slot;    /* -1: the keeper; EVENT_NO_SLOT: of no slot */
    int32_t pid;     /* of the process that it happened to; 0: none */
    int32_t unused;
    char text[EVENT_TEXT_BYTES]; /* the log line's */
};

size_t events_bytes(void);
/* Into the error log, at the kind's level, and into the ring. proc is who tells. */
void event_note(struct ring *events, int proc, enum event_kind kind, int slot, int pid, const char *fmt, ...)
    PRINTF(6, 7);
void events_reap(struct ring *events, int proc); /* the master, when process proc is gone */
/* The latest first; returns how many. Never writes. */
int events_read(const struct ring *events, struct event out[static EVENTS]);

#endif
