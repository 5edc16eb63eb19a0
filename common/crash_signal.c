#include "common/crash_signal.h"

#include <signal.h>

const int crash_signals[CRASH_SIGNALS] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

void crash_stack_use(char stack[CRASH_STACK_BYTES])
{
    const stack_t use = {.ss_sp = stack, .ss_size = CRASH_STACK_BYTES}, none = {.ss_flags = SS_DISABLE};
    CHECK(sigaltstack(stack != NULL ? &use : &none, NULL) == 0);
}
