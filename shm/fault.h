/* Fault points and mutants: what test builds (MODE=test) can do to a process at a named place, and which rules they can
 * leave out. In all other builds both are nothing. */
#ifndef SHM_FAULT_H
#define SHM_FAULT_H

#include "common/base.h"

enum fault_point {
#define FAULT_POINT(name, what) FAULT_##name,
#include "shm/fault.def"
#undef FAULT_POINT
    FAULT_COUNT
};

enum mutant {
#define MUTANT_ROW(name, what) MUTANT_##name,
#include "shm/mutant.def"
#undef MUTANT_ROW
    MUTANT_COUNT
};

#ifndef PERFD_TEST

#define FAULT(name) ((void)0)
#define FAULT_INIT() ((void)0)
#define MUTANT(name) false

#else

#define FAULT(name) fault_reach(FAULT_##name)
#define FAULT_INIT() fault_init()
#define MUTANT(name) (mutant_on == MUTANT_##name)

extern const char *const fault_names[FAULT_COUNT], *const mutant_names[MUTANT_COUNT];
extern enum mutant mutant_on; /* MUTANT_COUNT: none. From PERFD_MUTANT at the first fault_init(). */

enum fault_action {
    FAULT_PASS,
    FAULT_KILL,  /* SIGKILL to itself */
    FAULT_PAUSE, /* until fault_release(); at most 20 s */
    FAULT_DELAY, /* up to 2 ms */
    FAULT_HOLD,  /* 500 ms */
    FAULT_SPIN,  /* for ever */
    FAULT_FAULT, /* a store through NULL */
    FAULT_CHECK, /* a CHECK() that fails */
    FAULT_STORM  /* a delay now and then, at every point: the point of the call says nothing */
};

/* A plan that this process and all that it forks later share. Also read from PERFD_FAULT,
 * `POINT=kill|pause|delay|hold|spin|fault|check[@N]` or `storm`, for programs that no test calls. */
void fault_init(void);
/* The N-th time (from 1) that the process with this mark reaches the point; mark -1: any process. */
void fault_plan(enum fault_point point, enum fault_action action, int mark, int nth);
void fault_clear(void);    /* no plan, no counts */
void fault_mark(int mark); /* this process's, 0 by default */
void fault_reach(enum fault_point point);
uint64_t fault_reached(enum fault_point point); /* how often any process came there */
bool fault_paused(void);                        /* some process waits at the planned point */
void fault_release(void);

#endif
#endif
