/* Adoption: a slot whose worker is dead, waits to be started again, is not ready or hangs has its connections accepted
 * by a ready worker of another slot, until its own is ready again. */
#ifndef MASTER_ADOPTION_H
#define MASTER_ADOPTION_H

#include "master/workers.h"

/* Works out from the state of all workers who shall accept for whom, writes what is different into the owner table
 * and wakes whom it concerns. With each turn of the master's loop. True: a slot is still that of a worker of another
 * master, which is about to drain and tells nobody here: call it again soon. */
bool adoption_step(struct workers *workers);
/* Sockets that all have begin to listen, or end. */
void adoption_wake_all(const struct workers *workers);

#endif
