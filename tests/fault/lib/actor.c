#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"
#include "shm/cache_layout.h"
#include "tests/fault/lib/actor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STEP_NS = 50000, PATIENCE_US = 10000000, MUTANT_PATIENCE_US = 2000000, ACTORS_MAX = 16 };

struct notes {
    _Atomic uint64_t said;
    _Atomic bool ready, go;
};

static struct notes *notes;
static pid_t living[ACTORS_MAX];

struct notes *actor_notes(void)
{
    if (notes == NULL)
        notes = mmap(NULL, sizeof *notes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(notes != MAP_FAILED);
    notes->said = 0;
    notes->ready = notes->go = false;
    return notes;
}

static void take_breath(void)
{
    nanosleep(&(struct timespec){0, STEP_NS}, NULL);
}

static int64_t patience(void)
{
    return clock_mono_us() + (mutant_on == MUTANT_COUNT ? PATIENCE_US : MUTANT_PATIENCE_US);
}

static bool is_over(int64_t until_us)
{
    return clock_mono_us() >= until_us;
}

static void remember(pid_t from, pid_t to)
{
    for (int i = 0; i < ACTORS_MAX; i++)
        if (living[i] == from) {
            living[i] = to;
            return;
        }
}

/* ---- entering ---- */

void actor_dies_of_crashes(void)
{
    const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGSYS};
    for (size_t i = 0; i < ARRAY_LEN(crashes); i++)
        signal(crashes[i], SIG_DFL);
}

struct actor actor_enter(struct scene *s, int row, part *play, int with)
{
    fflush(NULL);
    struct actor a = {fork(), row};
    CHECK(a.pid >= 0);
    if (a.pid > 0) {
        remember(0, a.pid);
        return a;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    actor_dies_of_crashes();
    fault_mark(row);
    cache_attach(s->cache, row);
    play(s, row, with);
    _exit(EXIT_SUCCESS);
}

static bool has_ended(const struct actor *a)
{
    siginfo_t info = {.si_pid = 0};
    return waitid(P_PID, (id_t)a->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == a->pid;
}

void actor_wait_paused(const struct actor *a)
{
    for (int64_t until_us = patience(); !fault_paused() && !is_over(until_us);) {
        if (has_ended(a))
            fail_msg("the process of row %d ended before its pause", a->row);
        take_breath();
    }
    assert_true(fault_paused());
}

struct actor actor_paused_at(struct scene *s, enum fault_point point, int nth, int row, part *play, int with)
{
    fault_plan(point, FAULT_PAUSE, row, nth);
    struct actor a = actor_enter(s, row, play, with);
    actor_wait_paused(&a);
    return a;
}

void actor_freezes(const struct actor *a)
{
    siginfo_t info;
    kill(a->pid, SIGSTOP);
    assert_int_equal(waitid(P_PID, (id_t)a->pid, &info, WSTOPPED), 0);
}

void actor_thaws(const struct actor *a)
{
    kill(a->pid, SIGCONT);
}

/* ---- leaving ---- */

int actor_wait(struct actor *a)
{
    int status = 0;
    for (int64_t until_us = patience(); !has_ended(a) && !is_over(until_us);)
        take_breath();
    if (!has_ended(a))
        fail_msg("the process of row %d does not end", a->row);
    assert_int_equal(waitpid(a->pid, &status, 0), a->pid);
    remember(a->pid, 0);
    return status;
}

void actor_goes_on(struct scene *s, struct actor *a)
{
    fault_release();
    int status = actor_wait(a);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_SUCCESS)
        fail_msg("the process of row %d ended with status %#x", a->row, (unsigned)status);
    shared_reap(&s->shared, a->row, s->now_us);
}

void actor_ends(struct scene *s, struct actor *a)
{
    s->notes->go = true;
    actor_goes_on(s, a);
}

void actor_dies(struct scene *s, struct actor *a)
{
    assert_true(actor_was_killed(actor_wait(a)));
    shared_reap(&s->shared, a->row, s->now_us);
}

void actor_is_killed(struct scene *s, struct actor *a)
{
    kill(a->pid, SIGKILL);
    actor_dies(s, a);
}

bool actor_was_killed(int status)
{
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

void actor_is_doomed(struct scene *s, const struct actor *a)
{
    const struct cache *c = s->cache;
    if (MUTANT(seal_early))
        cache_reap(s->cache, a->row);
    for (uint32_t i = 0; MUTANT(zero_early) && i < c->segment_count; i++)
        c->pins[(size_t)a->row * c->pin_stride + i] = 0;
}

void actors_kill(void)
{
    for (int i = 0; i < ACTORS_MAX; i++)
        if (living[i] != 0) {
            kill(living[i], SIGKILL);
            waitpid(living[i], NULL, 0);
            living[i] = 0;
        }
}

/* ---- notes ---- */

void actor_says(struct scene *s, uint64_t value)
{
    s->notes->said = value;
}

uint64_t actor_said(const struct scene *s)
{
    return s->notes->said;
}

void actor_waits(struct scene *s)
{
    s->notes->ready = true;
    while (!s->notes->go)
        take_breath();
}

void actor_wait_ready(const struct scene *s, const struct actor *a)
{
    for (int64_t until_us = patience(); !s->notes->ready && !has_ended(a) && !is_over(until_us);)
        take_breath();
    assert_true(s->notes->ready || has_ended(a));
}
