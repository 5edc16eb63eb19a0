/* What a permit (taken and given back) and a request's place in a bucket cost, beside the usual way: a robust mutex
 * that processes share, around a counter, or around one of 64 stripes of buckets. That side looks nobody up, and does
 * not repair what a process left that died with the mutex.
 *
 *     build/release/tests/bench/limits [SECONDS]
 *
 * SECONDS is the measured time of each side of each line, default 1, in 9 rounds in which the sides take turns. With
 * two processes both use the same permits and buckets at the same time; each is pinned to a CPU. Figures are
 * nanoseconds of CPU time of one process an operation (rounds.h), so what waits for a mutex asleep is not in them. */
#include "common/clock.h"
#include "shm/control.h"
#include "tests/bench/lib/rounds.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STRIPES = 64, CONSUMERS = 10000, BATCH = 1000, MAX_IN_USE = 100 };

struct guarded {
    pthread_mutex_t mutex;
    int in_use;
} __attribute__((aligned(64)));

struct shared_side {
    pthread_barrier_t barrier;
    struct guarded permit, stripes[STRIPES];
    int64_t full_ns[CONSUMERS];
    struct rounds rounds;
};

static struct control control;
static struct shared_side *ours;
static uint64_t keys[CONSUMERS];
static const struct rate rate = {1000, 1000 * INT64_C(1000)};

typedef bool operation(int proc, uint32_t i);

static bool permit(int proc, uint32_t i)
{
    (void)i;
    if (!permits_take(control.permits, PERMIT_ALL, proc, 0))
        return false;
    permits_give(control.permits, PERMIT_ALL, proc, NULL);
    return true;
}

static bool add(struct guarded *g, int n)
{
    pthread_mutex_lock(&g->mutex);
    bool ok = g->in_use + n <= MAX_IN_USE;
    g->in_use += ok ? n : 0;
    pthread_mutex_unlock(&g->mutex);
    return ok;
}

static bool permit_by_mutex(int proc, uint32_t i)
{
    (void)proc, (void)i;
    return add(&ours->permit, 1) && add(&ours->permit, -1);
}

static bool bucket(int proc, uint32_t i)
{
    (void)proc;
    return rates_take(control.rates, keys[i * 7919 % CONSUMERS], &rate, i).passes;
}

static bool bucket_by_mutex(int proc, uint32_t i)
{
    (void)proc;
    uint32_t consumer = i * 7919 % CONSUMERS;
    int64_t now_ns = i * INT64_C(1000), *full_ns = &ours->full_ns[consumer];
    struct guarded *stripe = &ours->stripes[consumer % STRIPES];
    pthread_mutex_lock(&stripe->mutex);
    int64_t next_ns = MAX(*full_ns, now_ns) + rate.interval_ns;
    bool passes = next_ns - now_ns <= rate.burst_ns;
    if (passes)
        *full_ns = next_ns;
    pthread_mutex_unlock(&stripe->mutex);
    return passes;
}

static const struct {
    const char *name;
    operation *once[SIDE_COUNT];
} lines[] = {{"permit", {permit, permit_by_mutex}}, {"bucket", {bucket, bucket_by_mutex}}};

static double clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void measure(operation *once, int proc, double for_ns, struct sample *out)
{
    static uint32_t i;
    double wall_ns = clock_ns(CLOCK_MONOTONIC), cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    *out = (struct sample){0};
    while (clock_ns(CLOCK_MONOTONIC) - wall_ns < for_ns)
        for (int n = 0; n < BATCH; n++, out->ops++)
            out->failed += !once(proc, i++);
    out->wall_ns = clock_ns(CLOCK_MONOTONIC) - wall_ns;
    out->cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns;
}

static void run_process(int line, int proc, double round_ns)
{
    cpu_set_t cpu;
    CPU_ZERO(&cpu);
    CPU_SET(proc, &cpu);
    sched_setaffinity(0, sizeof cpu, &cpu); /* if there is such a one */
    for (int round = 0; round < ROUNDS; round++)
        for (int side = 0; side < SIDE_COUNT; side++) {
            pthread_barrier_wait(&ours->barrier);
            measure(lines[line].once[side], proc, round_ns, &ours->rounds.samples[round][side][proc]);
        }
    _exit(0);
}

static void init_mutex(struct guarded *g)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&g->mutex, &attr);
    pthread_mutexattr_destroy(&attr);
}

static void set_up(void)
{
    struct err err;
    if (!control_create(&control, &err)) {
        fprintf(stderr, "limits: %s\n", err.text);
        exit(1);
    }
    permits_limit(control.permits, (int[]){PERMIT_ALL}, (int[]){MAX_IN_USE}, 1);
    for (uint32_t i = 0; i < CONSUMERS; i++)
        keys[i] = rates_key(control.rates, slice_str("limit"), slice_of((const char *)&i, sizeof i));
    ours = mmap(NULL, sizeof *ours, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(ours != MAP_FAILED);
    init_mutex(&ours->permit);
    for (int i = 0; i < STRIPES; i++)
        init_mutex(&ours->stripes[i]);
}

static void run_line(int line, int procs, double seconds)
{
    pthread_barrierattr_t attr;
    pthread_barrierattr_init(&attr);
    pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&ours->barrier, &attr, (unsigned)procs);
    pthread_barrierattr_destroy(&attr);
    ours->rounds = (struct rounds){.procs = procs};
    for (int proc = 0; proc < procs; proc++)
        if (fork() == 0)
            run_process(line, proc, seconds * 1e9 / ROUNDS);
    for (int proc = 0; proc < procs; proc++)
        wait(NULL);
    struct rounds_ratio ratio = rounds_ratio(&ours->rounds, FIGURE_CPU);
    printf("%-8s %9d %8.1f %8.1f %8.2f [%.2f .. %.2f]\n", lines[line].name, procs,
           rounds_median_ns(&ours->rounds, SIDE_CACHE, FIGURE_CPU),
           rounds_median_ns(&ours->rounds, SIDE_MUTEX, FIGURE_CPU), ratio.median, ratio.least, ratio.greatest);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? atof(argv[1]) : 1;
    if (argc > 2 || seconds <= 0) {
        fprintf(stderr, "usage: limits [SECONDS]\n");
        return 64;
    }
    set_up();
    printf("%-8s %9s %8s %8s %8s\n", "", "processes", "ns", "mutex ns", "ratio");
    fflush(stdout);
    for (size_t line = 0; line < ARRAY_LEN(lines); line++)
        for (int procs = 1; procs <= ROUNDS_PROCS_MAX; procs++)
            run_line((int)line, procs, seconds);
    return 0;
}
