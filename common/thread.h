/* Threads beside a loop: of work that would block it. They take no signals, which are the loop's, but those of their
 * own crash; they have a name that top and a debugger show, and a stack of 3 MiB. */
#ifndef COMMON_THREAD_H
#define COMMON_THREAD_H

#include "common/base.h"

#include <pthread.h>

enum { THREAD_STACK_BYTES = 3 << 20 };

/* The calling thread stays on one CPU, the index-th of those that the process may run on, counted around; threads that
 * it starts later may run on all of them. False with errno. */
bool thread_pin(int index) MUST_USE;

/* name: 15 characters at most. False: the machine has no more of them. To be joined or detached. */
bool thread_start(pthread_t *thread_out, const char *name, void *(*run)(void *arg), void *arg) MUST_USE;

#endif
