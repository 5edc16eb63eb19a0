/* Threads beside a loop: of work that would block it. They take no signals, which are the loop's, have a name that top
 * and a debugger show, and a stack of 3 MiB. */
#ifndef COMMON_THREAD_H
#define COMMON_THREAD_H

#include "common/base.h"

#include <pthread.h>

enum { THREAD_STACK_BYTES = 3 << 20 };

/* name: 15 characters at most. False: the machine has no more of them. To be joined or detached. */
bool thread_start(pthread_t *thread_out, const char *name, void *(*run)(void *arg), void *arg) MUST_USE;

#endif
