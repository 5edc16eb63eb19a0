/* worker_soft and worker_hard where the configuration leaves them to us. */
#ifndef SHM_MEMORY_LIMITS_H
#define SHM_MEMORY_LIMITS_H

#include "common/conf.h"

/* Puts sizes in the place of auto, by what this machine and its control groups have. */
void memory_limits_fill(struct conf *conf);
/* In a worker: the kernel gives it no more of its own memory than a quarter above worker_hard. */
void memory_limits_enforce(const struct conf *conf);

#endif
