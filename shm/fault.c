#include "shm/fault.h"

#ifdef PERFD_TEST

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { HOLD_US = 500000, PAUSE_STEP_US = 50, PAUSE_STEPS = 400000, STORM_SHARE = 64 };

const char *const fault_names[FAULT_COUNT] = {
#define FAULT_POINT(name, what) #name,
#include "shm/fault.def"
#undef FAULT_POINT
};

const char *const mutant_names[MUTANT_COUNT] = {
#define MUTANT_ROW(name, what) #name,
#include "shm/mutant.def"
#undef MUTANT_ROW
};

enum mutant mutant_on = MUTANT_COUNT;

struct plan {
    _Atomic int point, action, mark, left;
    _Atomic bool paused;
    _Atomic uint64_t releases; /* each lets those go that are paused then, and none that pauses later */
    _Atomic uint64_t reached[FAULT_COUNT];
};

static struct plan *plan;
static int own_mark;

static void read_mutant(const char *name)
{
    for (int i = 0; name != NULL && i < MUTANT_COUNT; i++)
        if (strcmp(name, mutant_names[i]) == 0)
            mutant_on = (enum mutant)i;
}

static enum fault_action action_called(const char *name)
{
    static const char *const names[] = {
        [FAULT_PASS] = "pass", [FAULT_KILL] = "kill", [FAULT_PAUSE] = "pause", [FAULT_DELAY] = "delay",
        [FAULT_HOLD] = "hold", [FAULT_SPIN] = "spin", [FAULT_FAULT] = "fault", [FAULT_CHECK] = "check"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(name, names[i]) == 0)
            return (enum fault_action)i;
    return FAULT_PASS;
}

/* POINT=ACTION[@N], or storm */
static void read_plan(const char *text)
{
    char name[32], action[8];
    int nth = 1;
    if (text != NULL && strcmp(text, "storm") == 0)
        fault_plan(0, FAULT_STORM, -1, 1);
    if (text == NULL || sscanf(text, "%31[a-z_]=%7[a-z]@%d", name, action, &nth) < 2)
        return;
    for (int i = 0; i < FAULT_COUNT; i++)
        if (strcmp(name, fault_names[i]) == 0)
            fault_plan((enum fault_point)i, action_called(action), -1, nth);
}

void fault_init(void)
{
    if (plan != NULL)
        return;
    plan = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(plan != MAP_FAILED);
    read_mutant(getenv("PERFD_MUTANT"));
    read_plan(getenv("PERFD_FAULT"));
}

void fault_plan(enum fault_point point, enum fault_action action, int mark, int nth)
{
    plan->paused = false;
    plan->point = (int)point;
    plan->mark = mark;
    plan->left = nth;
    plan->action = (int)action;
}

void fault_clear(void)
{
    fault_plan(0, FAULT_PASS, -1, 0);
    for (int i = 0; i < FAULT_COUNT; i++)
        plan->reached[i] = 0;
}

void fault_mark(int mark)
{
    own_mark = mark;
}

static void sleep_us(int64_t us)
{
    nanosleep(&(struct timespec){us / 1000000, us % 1000000 * 1000}, NULL);
}

static void pause_here(void)
{
    uint64_t releases = plan->releases;
    plan->paused = true;
    for (int i = 0; i < PAUSE_STEPS && plan->releases == releases; i++)
        sleep_us(PAUSE_STEP_US);
}

static void spin(void)
{
    static volatile bool on = true;
    while (on) {
    }
}

static int *volatile nowhere;

static void act(enum fault_action action)
{
    switch (action) {
    case FAULT_PASS:
        break;
    case FAULT_KILL:
        raise(SIGKILL);
        break;
    case FAULT_PAUSE:
        pause_here();
        break;
    case FAULT_DELAY:
        sleep_us(random() % 2000);
        break;
    case FAULT_HOLD:
        sleep_us(HOLD_US);
        break;
    case FAULT_SPIN:
        spin();
        break;
    case FAULT_FAULT:
        *(volatile int *)nowhere = 1;
        break;
    case FAULT_CHECK:
        CHECK(action != FAULT_CHECK);
        break;
    case FAULT_STORM:
        if (random() % STORM_SHARE == 0)
            sleep_us(random() % 500);
        break;
    }
}

void fault_reach(enum fault_point point)
{
    if (plan == NULL)
        return;
    plan->reached[point]++;
    enum fault_action action = (enum fault_action)plan->action;
    if (action == FAULT_STORM)
        act(action);
    else if (action != FAULT_PASS && plan->point == (int)point && (plan->mark < 0 || plan->mark == own_mark) &&
             --plan->left == 0)
        act(action);
}

uint64_t fault_reached(enum fault_point point)
{
    return plan->reached[point];
}

bool fault_paused(void)
{
    return plan->paused;
}

void fault_release(void)
{
    plan->paused = false;
    plan->releases++;
}

#endif
