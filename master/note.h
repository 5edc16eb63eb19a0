/* What the master says of processes: a line of the error log that perfctl events shows too. */
#ifndef MASTER_NOTE_H
#define MASTER_NOTE_H

#include "shm/events.h"
#include "shm/shared.h"
#include "shm/stats.h"

/* kind without EVENT_; then a slot or EVENT_NO_SLOT, a pid or 0, and printf()'s. */
#define note(shared, kind, slot, pid, ...)                                                                             \
    event_note(stats_events((shared)->stats), EVENT_MASTER, EVENT_##kind, (slot), (pid), __VA_ARGS__)

#endif
