/* The signals that a process dies of by its own fault, and a stack of their own for their handlers: the usual one may
 * be what has run out. */
#ifndef COMMON_CRASH_SIGNAL_H
#define COMMON_CRASH_SIGNAL_H

#include "common/base.h"

enum { CRASH_SIGNALS = 5, CRASH_STACK_BYTES = 64 << 10 };
extern const int crash_signals[CRASH_SIGNALS];

/* The calling thread's, until it is taken away with NULL. */
void crash_stack_use(char stack[CRASH_STACK_BYTES]);

#endif
