/* What perfctl asks for one worker or for all: drain, resume, replace. */
#ifndef MASTER_SLOT_ORDERS_H
#define MASTER_SLOT_ORDERS_H

#include "master/control_socket.h"
#include "master/workers.h"

/* NULL: done, or begun. Else why not. slot -1: all, where that makes sense. */
const char *slot_order(struct workers *workers, const struct generation *generation, enum control_command command,
                       int slot, int64_t now_us);

#endif
