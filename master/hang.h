/* Processes that live and do not turn. Each stamps its row of the board four times a second. One whose stamp is a
 * second old is told of, with what it is at and where it stands in the kernel, and another worker accepts for its slot;
 * when it is as old as hang_timeout, the process is ended by SIGABRT, so that it leaves its last words and a core, and
 * two seconds later by SIGKILL. One that is stopped (SIGSTOP) is a hang like any other: its consumers wait. One that a
 * debugger holds is left alone, and nothing is held against anybody for the time in which the master itself did not
 * run. One that starts has half a minute until its first stamp. */
#ifndef MASTER_HANG_H
#define MASTER_HANG_H

#include "master/workers.h"

/* timeout_us: hang_timeout; 0: nobody is ended. The next time that it wants to look; to be called then, or before. */
int64_t hang_step(struct workers *workers, int64_t timeout_us, int64_t now_us);

#endif
