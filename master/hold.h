/* Slots without workers because an admin wants it so: theirs have drained. Connections are accepted by the other slots'
 * workers, and wait in their queues when there is none. */
#ifndef MASTER_HOLD_H
#define MASTER_HOLD_H

#include "master/workers.h"

enum { HOLD_ALL = -1 };

/* Of slot, or of all that there are or may come. */
void workers_hold(struct workers *workers, int slot, int64_t shutdown_timeout_us, int64_t now_us);
/* They are started again. Nothing to do when none is held. */
void workers_release(struct workers *workers, int slot);
bool workers_are_held(const struct workers *workers, int slots); /* all of the first so many */

#endif
