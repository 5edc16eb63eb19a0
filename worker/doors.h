/* The sockets of a worker and what stands behind them: plain HTTP, TLS, the operator's. It has those of all slots, and
 * accepts on its own slot's as long as it is ready and does not drain, and on those that the owner table gives it
 * (shm/owners.h). One that is not ready yet accepts only if the table says so, because nobody else can. */
#ifndef WORKER_DOORS_H
#define WORKER_DOORS_H

#include "worker/service.h"

struct doors;

/* NULL: err says why. */
struct doors *doors_create(struct service *service, struct err *err) MUST_USE;

/* The table, or what this worker is at, may have changed: begins and ends accepting. With each beat too, which also
 * closes sockets that the master has ended. */
void doors_look(struct doors *doors);
void doors_tick(struct doors *doors, int64_t now_us);

int doors_connections(const struct doors *doors); /* of consumers */
int doors_lent(const struct doors *doors);

/* Accepts no more. */
void doors_drain(struct doors *doors);
/* Closes what is idle, and, the first time, the sockets: whoever shall have them has copies. Not within the turn of the
 * loop that drained. Returns the connections that are left. */
int doors_drain_step(struct doors *doors, int64_t now_us);

#endif
