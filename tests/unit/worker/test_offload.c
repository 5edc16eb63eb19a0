#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/thread.h"
#include "worker/offload.h"

/* Told outcomes, in order. */
enum { TOLD_MAX = 64 };

struct world {
    struct event_base *base;
    struct offload *offload;
    char told[TOLD_MAX + 1]; /* the job's letter, upper case when it was dropped */
    size_t told_count;
    int awaited, observed;
};

struct job {
    struct world *world;
    char letter;
    sem_t *waits_for, *began; /* NULL: it goes on at once; nobody asks */
    struct offload_job **forgets;
    int runs; /* the thread's until it is told */
    char thread_name[16];
    pthread_t thread;
    size_t stack_bytes;
    bool hears_signals;
};

static void look_around(struct job *j)
{
    pthread_attr_t attr;
    sigset_t blocked;
    j->thread = pthread_self();
    pthread_getname_np(j->thread, j->thread_name, sizeof j->thread_name);
    assert_int_equal(pthread_getattr_np(j->thread, &attr), 0);
    pthread_attr_getstacksize(&attr, &j->stack_bytes);
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    j->hears_signals = !sigismember(&blocked, SIGTERM) || !sigismember(&blocked, SIGUSR1);
}

static void run(void *arg)
{
    struct job *j = arg;
    j->runs++;
    if (j->began != NULL)
        sem_post(j->began);
    if (j->waits_for != NULL)
        while (sem_wait(j->waits_for) != 0)
            continue;
    look_around(j);
}

static void tell(struct job *j, char letter)
{
    struct world *w = j->world;
    assert_true(w->told_count < TOLD_MAX);
    w->told[w->told_count++] = letter;
    if (--w->awaited == 0)
        event_base_loopbreak(w->base);
}

static void on_done(void *arg)
{
    struct job *j = arg;
    if (j->forgets != NULL)
        offload_forget(j->world->offload, j->forgets);
    tell(j, j->letter);
}

static void on_drop(void *arg)
{
    struct job *j = arg;
    tell(j, (char)(j->letter - 'a' + 'A'));
}

static const struct offload_work work = {run, on_done, on_drop};

static void observe(void *arg, enum offload_kind kind, int64_t wait_us, int64_t run_us)
{
    struct world *w = arg;
    (void)kind;
    assert_true(wait_us >= 0 && run_us >= 0);
    w->observed++;
}

static void begin(struct world *w, int threads, int queue)
{
    const struct offload_settings settings = {threads, queue, observe, w};
    *w = (struct world){.base = event_base_new()};
    w->offload = offload_create(w->base, &settings);
    assert_non_null(w->offload);
}

static void end(struct world *w)
{
    offload_destroy(&w->offload);
    assert_null(w->offload);
    event_base_free(w->base);
}

/* Until so many more were told. */
static void turn(struct world *w, int count)
{
    w->awaited = count;
    event_base_dispatch(w->base);
    assert_int_equal(w->awaited, 0);
}

static struct offload_job *start(struct world *w, struct job *j, char letter, enum offload_kind kind)
{
    j->world = w;
    j->letter = letter;
    return offload_start(w->offload, kind, &work, j);
}

static void a_job_is_run_by_a_thread_and_told_in_the_loop(void **state)
{
    (void)state;
    struct world w;
    struct job j = {0};
    begin(&w, 1, 10);
    assert_non_null(start(&w, &j, 'a', OFFLOAD_GZIP));
    assert_int_equal(w.told_count, 0);
    assert_int_equal(offload_active(w.offload), 1);
    turn(&w, 1);
    assert_string_equal(w.told, "a");
    assert_int_equal(j.runs, 1);
    assert_int_equal(w.observed, 1);
    assert_int_equal(offload_active(w.offload), 0);
    assert_false(pthread_equal(j.thread, pthread_self()));
    assert_string_equal(j.thread_name, "perfd-off-0");
    assert_true(j.stack_bytes >= THREAD_STACK_BYTES && j.stack_bytes < 2 * THREAD_STACK_BYTES);
    assert_false(j.hears_signals);
    end(&w);
}

static void they_are_told_in_the_order_of_their_ends(void **state)
{
    (void)state;
    struct world w;
    sem_t go;
    struct job slow = {.waits_for = &go}, quick = {0};
    sem_init(&go, 0, 0);
    begin(&w, 2, 10);
    assert_non_null(start(&w, &slow, 's', OFFLOAD_GZIP));
    assert_non_null(start(&w, &quick, 'q', OFFLOAD_GZIP));
    turn(&w, 1);
    sem_post(&go);
    turn(&w, 1);
    assert_string_equal(w.told, "qs");
    end(&w);
}

/* The only thread is at work until `go`. */
static void occupy(struct world *w, struct job *j, char letter, sem_t *go, sem_t *began)
{
    sem_init(go, 0, 0);
    sem_init(began, 0, 0);
    *j = (struct job){.waits_for = go, .began = began};
    assert_non_null(start(w, j, letter, OFFLOAD_GZIP));
    sem_wait(began);
}

static void a_full_line_refuses(void **state)
{
    (void)state;
    struct world w;
    sem_t go, began;
    struct job first, jobs[3] = {{0}};
    begin(&w, 1, 2);
    occupy(&w, &first, 'a', &go, &began);
    assert_non_null(start(&w, &jobs[0], 'b', OFFLOAD_GZIP));
    assert_non_null(start(&w, &jobs[1], 'c', OFFLOAD_TLS));
    assert_null(start(&w, &jobs[2], 'd', OFFLOAD_TLS));
    assert_int_equal(offload_refused(w.offload), 1);
    sem_post(&go);
    turn(&w, 3);
    assert_string_equal(w.told, "acb");
    assert_int_equal(jobs[2].runs, 0);
    end(&w);
}

static void the_earlier_kinds_go_first(void **state)
{
    (void)state;
    struct world w;
    sem_t go, began;
    struct job first, jobs[4] = {{0}};
    begin(&w, 1, 10);
    occupy(&w, &first, 'a', &go, &began);
    assert_non_null(start(&w, &jobs[0], 'g', OFFLOAD_GZIP));
    assert_non_null(start(&w, &jobs[1], 'j', OFFLOAD_JSON));
    assert_non_null(start(&w, &jobs[2], 't', OFFLOAD_TLS));
    assert_non_null(start(&w, &jobs[3], 'u', OFFLOAD_TLS));
    sem_post(&go);
    turn(&w, 5);
    assert_string_equal(w.told, "atujg");
    end(&w);
}

/* Handshakes come all the time; what has waited for longer than their start goes before those that came later. */
static void no_kind_waits_for_ever(void **state)
{
    (void)state;
    struct world w;
    sem_t go, began;
    struct job first, jobs[4] = {{0}};
    begin(&w, 1, 10);
    occupy(&w, &first, 'a', &go, &began);
    assert_non_null(start(&w, &jobs[0], 'g', OFFLOAD_GZIP));
    usleep(2 * OFFLOAD_START_US + 1000);
    assert_non_null(start(&w, &jobs[1], 't', OFFLOAD_TLS));
    assert_non_null(start(&w, &jobs[2], 'j', OFFLOAD_JSON));
    sem_post(&go);
    turn(&w, 4);
    assert_string_equal(w.told, "agtj");
    end(&w);
}

static void one_that_waits_is_dropped_at_once_when_it_is_forgotten(void **state)
{
    (void)state;
    struct world w;
    sem_t go, began;
    struct job first, second = {0};
    begin(&w, 1, 10);
    occupy(&w, &first, 'a', &go, &began);
    struct offload_job *job = start(&w, &second, 'b', OFFLOAD_GZIP);
    offload_forget(w.offload, &job);
    assert_null(job);
    assert_string_equal(w.told, "B");
    sem_post(&go);
    turn(&w, 1);
    assert_string_equal(w.told, "Ba");
    assert_int_equal(second.runs, 0);
    assert_int_equal(w.observed, 1);
    end(&w);
}

static void one_that_is_run_is_dropped_when_the_thread_has_left_it(void **state)
{
    (void)state;
    struct world w;
    sem_t go, began;
    struct job j = {.waits_for = &go, .began = &began};
    sem_init(&go, 0, 0);
    sem_init(&began, 0, 0);
    begin(&w, 1, 10);
    struct offload_job *job = start(&w, &j, 'a', OFFLOAD_GZIP);
    sem_wait(&began);
    offload_forget(w.offload, &job);
    assert_int_equal(w.told_count, 0);
    sem_post(&go);
    turn(&w, 1);
    assert_string_equal(w.told, "A");
    assert_int_equal(w.observed, 0);
    end(&w);
}

static void what_is_told_may_forget_what_is_told_next(void **state)
{
    (void)state;
    struct world w;
    struct offload_job *second_job;
    struct job first = {.forgets = &second_job}, second = {0}, third = {0};
    begin(&w, 1, 10);
    assert_non_null(start(&w, &first, 'a', OFFLOAD_GZIP));
    second_job = start(&w, &second, 'b', OFFLOAD_GZIP);
    assert_non_null(start(&w, &third, 'c', OFFLOAD_GZIP));
    turn(&w, 3);
    assert_int_equal(strlen(w.told), 3);
    assert_non_null(strchr(w.told, 'a'));
    assert_non_null(strchr(w.told, 'B'));
    assert_non_null(strchr(w.told, 'c'));
    end(&w);
}

static void the_end_waits_for_what_is_run_and_drops_the_rest(void **state)
{
    (void)state;
    struct world w;
    sem_t go, began;
    struct job first, second = {0};
    begin(&w, 1, 10);
    occupy(&w, &first, 'a', &go, &began);
    assert_non_null(start(&w, &second, 'b', OFFLOAD_GZIP));
    sem_post(&go);
    w.awaited = TOLD_MAX;
    end(&w);
    assert_int_equal(w.told_count, 2);
    assert_non_null(strchr(w.told, 'A'));
    assert_int_equal(first.runs, 1);
}

static void who_wants_none_is_refused(void **state)
{
    (void)state;
    struct job j = {0};
    assert_null(offload_start(NULL, OFFLOAD_GZIP, &work, &j));
}

/* ---- many ---- */

enum { CROWD = 5000, IN_FLIGHT = 50 };

struct crowd {
    struct world *world;
    int started, done, dropped;
    unsigned seed;
};

struct member {
    struct crowd *crowd;
    struct offload_job *job;
    unsigned text[64];
};

static void start_some(struct crowd *c);

static void member_run(void *arg)
{
    struct member *m = arg;
    for (size_t i = 0; i < sizeof m->text / sizeof m->text[0]; i++)
        m->text[i] = (unsigned)i;
}

static void member_end(struct member *m)
{
    struct crowd *c = m->crowd;
    free(m);
    if (c->done + c->dropped == CROWD)
        event_base_loopbreak(c->world->base);
    else
        start_some(c);
}

static void member_done(void *arg)
{
    struct member *m = arg;
    assert_int_equal(m->text[63], 63);
    m->crowd->done++;
    member_end(m);
}

static void member_drop(void *arg)
{
    struct member *m = arg;
    m->crowd->dropped++;
    member_end(m);
}

static void start_some(struct crowd *c)
{
    static const struct offload_work members = {member_run, member_done, member_drop};
    while (c->started < CROWD && c->started - c->done - c->dropped < IN_FLIGHT) {
        struct member *m = calloc(1, sizeof *m);
        m->crowd = c;
        c->started++;
        m->job = offload_start(c->world->offload, (enum offload_kind)(rand_r(&c->seed) % OFFLOAD_KINDS), &members, m);
        assert_non_null(m->job);
        if (rand_r(&c->seed) % 4 == 0)
            offload_forget(c->world->offload, &m->job);
    }
}

static void each_of_many_is_told_once(void **state)
{
    (void)state;
    struct world w;
    begin(&w, 3, CROWD);
    struct crowd c = {.world = &w, .seed = 1};
    start_some(&c);
    if (c.done + c.dropped < CROWD)
        event_base_dispatch(w.base);
    assert_int_equal(c.done + c.dropped, CROWD);
    assert_true(c.done > 0 && c.dropped > 0);
    assert_int_equal(offload_active(w.offload), 0);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_is_run_by_a_thread_and_told_in_the_loop),
        cmocka_unit_test(they_are_told_in_the_order_of_their_ends),
        cmocka_unit_test(a_full_line_refuses),
        cmocka_unit_test(the_earlier_kinds_go_first),
        cmocka_unit_test(no_kind_waits_for_ever),
        cmocka_unit_test(one_that_waits_is_dropped_at_once_when_it_is_forgotten),
        cmocka_unit_test(one_that_is_run_is_dropped_when_the_thread_has_left_it),
        cmocka_unit_test(what_is_told_may_forget_what_is_told_next),
        cmocka_unit_test(the_end_waits_for_what_is_run_and_drops_the_rest),
        cmocka_unit_test(who_wants_none_is_refused),
        cmocka_unit_test(each_of_many_is_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
