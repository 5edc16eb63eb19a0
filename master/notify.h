/* What the service manager that started perfd is told, in the words of sd_notify(3): that it is ready, reloads or ends,
 * in one line what goes on, and that it is alive. Nothing where no manager asked for it. */
#ifndef MASTER_NOTIFY_H
#define MASTER_NOTIFY_H

#include "master/generation.h"
#include "master/workers.h"

#include <sys/types.h>

/* Once, first of all: NOTIFY_SOCKET and WATCHDOG_USEC, which stay in the environment for a new binary. */
void notify_setup(void);
void notify_forget(void); /* in a child */

/* The start failed; error is an errno, 0 where none tells it. */
void notify_failed(int error, const char *text);
void notify_reloading(int64_t now_us);
void notify_reloaded(const char *err); /* NULL: all is well */
void notify_stopping(void);
void notify_main_pid(pid_t pid); /* who is the master from now on */

/* Tells that perfd is ready once all workers are, or one is after 10 s; what has changed, at most once a second; and
 * twice in each WATCHDOG_USEC that perfd is alive, if a worker's loop ran since. Returns when it is due again. */
int64_t notify_step(struct workers *workers, const struct generation *generation, int64_t now_us);

#endif
