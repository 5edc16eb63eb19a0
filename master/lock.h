/* run_dir/perfd.pid: the master's process id, locked for as long as it lives. Two perfd in one folder would overwrite
 * each other's statistics, and SO_REUSEPORT takes away the error that a used port would be. */
#ifndef MASTER_LOCK_H
#define MASTER_LOCK_H

#include "common/err.h"

/* A perfd that was killed has left it, and perhaps workers that have yet to notice. To be asked before the lock is
 * taken. */
bool lock_is_left(const char *run_dir);
/* The descriptor to keep open, or -1. The lock belongs to what the descriptor stands for (fcntl(2), open file
 * description locks): who is handed a copy, the master of an upgrade, holds it too, and it is free when the last copy
 * is closed. So a worker closes its own, or it would hold the lock after the master's death. */
int lock_acquire(const char *run_dir, struct err *err) MUST_USE;
/* fd was handed over: it is this folder's lock, and held. */
bool lock_is_of(int fd, const char *run_dir) MUST_USE;
bool lock_sign(int fd, struct err *err) MUST_USE; /* this process's number into the file */
void lock_release(int fd, const char *run_dir);

#endif
