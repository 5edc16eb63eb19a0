/* run_dir/perfd.pid: the master's process id, locked for as long as it lives. Two perfd in one folder would overwrite
 * each other's statistics, and SO_REUSEPORT takes away the error that a used port would be. */
#ifndef MASTER_LOCK_H
#define MASTER_LOCK_H

#include "common/err.h"

/* The descriptor to keep open, or -1. A lock of fcntl() is not inherited, so that a worker that outlives the master
 * does not hold it. */
int lock_acquire(const char *run_dir, struct err *err) MUST_USE;
void lock_release(int fd, const char *run_dir);

#endif
