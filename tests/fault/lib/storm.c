#include "tests/fault/lib/storm.h"
#include "common/clock.h"
#include "tests/fault/lib/actor.h"
#include "tests/fault/lib/storm_world.h"

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    KILL_EVERY_US_MOST = 19000,
    STEP_US_MOST = 50000,
    AUDIT_EVERY_US = 2000000,
    LULL_US = 600000,
    PROGRESS_EVERY_US = 10000000
};
enum { ZIPF_PERCENT = 105, STORM_ENTRIES = 800, KEEPER = 0 }; /* the first process */

static const char *const count_names[COUNT_COUNT] = {
#define STORM_COUNT(name, what) #name,
#define STORM_MUST STORM_COUNT
#define STORM_ZERO STORM_COUNT
#include "tests/fault/lib/storm.def"
#undef STORM_COUNT
#undef STORM_MUST
#undef STORM_ZERO
};

enum wanted { ANY, SOME, NONE };

static const enum wanted wanted[COUNT_COUNT] = {
#define STORM_COUNT(name, what) [COUNT_##name] = ANY,
#define STORM_MUST(name, what) [COUNT_##name] = SOME,
#define STORM_ZERO(name, what) [COUNT_##name] = NONE,
#include "tests/fault/lib/storm.def"
#undef STORM_COUNT
#undef STORM_MUST
#undef STORM_ZERO
};

struct process {
    pid_t pid;
    int row;
};

struct master {
    struct storm storm;
    struct process all[STORM_WORKERS_MAX + 1];
    int count;
    unsigned forks;
};

/* ---- processes ---- */

static void live(struct master *m, int i, unsigned seed)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    actor_dies_of_crashes();
    srandom(seed);
    m->storm.row = m->all[i].row;
    fault_mark(m->storm.row);
    cache_attach(m->storm.scene.cache, m->storm.row);
    if (i == KEEPER)
        storm_keep(&m->storm);
    else
        storm_work(&m->storm);
    _exit(EXIT_FAILURE);
}

static void start(struct master *m, int i, int row)
{
    unsigned seed = m->storm.options->seed * 1000003 + m->forks++;
    struct process *p = &m->all[i];
    fflush(NULL);
    p->row = row;
    p->pid = fork();
    CHECK(p->pid >= 0);
    if (p->pid == 0)
        live(m, i, seed);
}

static int take_row(struct master *m)
{
    int row = board_take(m->storm.scene.shared.board, 0, 0);
    CHECK(row >= 0);
    return row;
}

/* All versions that were committed before the epoch is raised are as good as acknowledged. */
static void reap(struct master *m, int row)
{
    struct storm_shared *s = m->storm.shared;
    uint64_t committed[STORM_KEYS];
    for (int key = 0; key < STORM_KEYS; key++)
        committed[key] = s->version[key];
    if (!shared_reap(&m->storm.scene.shared, row, m->storm.scene.now_us))
        return;
    storm_count(&m->storm, COUNT_doubts);
    for (int key = 0; key < STORM_KEYS; key++)
        for (uint64_t old = s->acknowledged[key];
             old < committed[key] && !atomic_compare_exchange_weak(&s->acknowledged[key], &old, committed[key]);) {
        }
}

static void bury(struct master *m, struct process *p)
{
    int status = 0;
    CHECK(waitpid(p->pid, &status, 0) == p->pid);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return;
    printf("row %d ended with status %#x\n", p->row, (unsigned)status);
    storm_count(&m->storm, COUNT_crashed);
}

/* Its successor has the same row, or another one and is there before it is reaped. */
static void kill_one(struct master *m)
{
    int i = (int)storm_random((uint64_t)m->count);
    struct process old = m->all[i];
    kill(old.pid, SIGKILL);
    bury(m, &old);
    storm_count(&m->storm, COUNT_kills);
    bool another = storm_chance(2);
    int row = another ? take_row(m) : old.row;
    if (another)
        start(m, i, row);
    reap(m, old.row);
    if (!another)
        start(m, i, take_row(m));
}

static void kill_all(struct master *m)
{
    for (int i = 0; i < m->count; i++) {
        kill(m->all[i].pid, SIGKILL);
        bury(m, &m->all[i]);
        reap(m, m->all[i].row);
    }
}

/* ---- audits ---- */

static void find_wrong(struct master *m, const char *wrong)
{
    if (wrong[0] == '\0')
        return;
    printf("audit: %s\n", wrong);
    storm_count(&m->storm, COUNT_wrong);
}

static void stop_all(const struct master *m)
{
    siginfo_t info;
    for (int i = 0; i < m->count; i++)
        kill(m->all[i].pid, SIGSTOP);
    for (int i = 0; i < m->count; i++)
        waitid(P_PID, (id_t)m->all[i].pid, &info, WSTOPPED | WEXITED | WNOWAIT);
}

static void audit(struct master *m)
{
    stop_all(m);
    storm_count(&m->storm, COUNT_audits);
    find_wrong(m, scene_wrong(&m->storm.scene));
    for (int i = 0; i < m->count; i++)
        kill(m->all[i].pid, SIGCONT);
}

/* Whatever the dead had is free again. */
static void audit_end(struct master *m)
{
    struct scene *s = &m->storm.scene;
    kill_all(m);
    find_wrong(m, scene_wrong(s));
    struct cache_audit a = scene_audit(s);
    if (a.reclaim != 0 || a.open != 0 || a.pins != 0)
        find_wrong(m, "the dead still have segments or pins");
    s->now_us = clock_mono_us();
    find_wrong(m, scene_lost(s));
}

/* ---- figures ---- */

static void print_counts(const struct master *m, int64_t began_us)
{
    printf("%6.1f s", (double)(clock_mono_us() - began_us) / (double)US_PER_S);
    for (int i = 0; i < COUNT_COUNT; i++)
        printf(" %s %" PRIu64, count_names[i], m->storm.shared->counts[i]);
    struct cache_usage u;
    cache_usage(m->storm.scene.cache, &u);
    printf("; entries %" PRIu64 " evicted %" PRIu64 " promoted %" PRIu64 " expired %" PRIu64 " compressed %" PRIu64
           " recovered %" PRIu64 "\n",
           u.entries, u.evicted, u.promoted, u.expired, u.compressed, u.recovered);
    fflush(stdout);
}

static bool is_good(const struct master *m)
{
    bool good = true;
    for (int i = 0; i < COUNT_COUNT; i++)
        good = good && (wanted[i] == ANY || (m->storm.shared->counts[i] > 0) == (wanted[i] == SOME));
    return good;
}

/* ---- the storm ---- */

static void set_zipf(double zipf[static STORM_KEYS])
{
    double sum = 0;
    for (int i = 0; i < STORM_KEYS; i++)
        zipf[i] = sum += pow(i + 1, -ZIPF_PERCENT / 100.0);
    for (int i = 0; i < STORM_KEYS; i++)
        zipf[i] /= sum;
}

static void begin(struct master *m, const struct storm_options *options)
{
    struct storm *st = &m->storm;
    *m = (struct master){.storm = {.options = options}, .count = options->workers + 1};
    CHECK(options->workers > 0 && options->workers <= STORM_WORKERS_MAX);
    st->shared = mmap(NULL, sizeof *st->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(st->shared != MAP_FAILED);
    for (int key = 0; key < STORM_KEYS; key++)
        st->shared->version[key] = 1;
    scene_set(&st->scene, SCENE_BYTES, STORM_ENTRIES);
    set_zipf(st->zipf);
    srandom(options->seed);
    if (options->delays)
        fault_plan(0, FAULT_STORM, -1, 1);
    for (int i = 0; i < m->count; i++)
        start(m, i, take_row(m));
}

/* Sleeps, and moves the clock on, but for a jump, which is a stop of this process. */
static int64_t pass_time(struct master *m)
{
    int64_t before_us = clock_mono_us();
    storm_sleep_us(1000 + (int64_t)storm_random(KILL_EVERY_US_MOST));
    int64_t now_us = clock_mono_us();
    m->storm.shared->clock_us += MIN(now_us - before_us, (int64_t)STEP_US_MOST);
    return now_us;
}

/* Before each audit nobody dies for a while: each death wakes all, and would hide that somebody forgot to. */
static void rage(struct master *m, int64_t began_us, int64_t end_us)
{
    int64_t audit_us = began_us, progress_us = began_us + PROGRESS_EVERY_US;
    for (int64_t now_us = began_us; now_us < end_us;) {
        now_us = pass_time(m);
        if (now_us < audit_us + AUDIT_EVERY_US - LULL_US)
            kill_one(m);
        if (now_us >= audit_us + AUDIT_EVERY_US) {
            audit(m);
            audit_us = now_us;
        }
        if (now_us >= progress_us) {
            print_counts(m, began_us);
            progress_us += PROGRESS_EVERY_US;
        }
    }
}

bool storm_run(const struct storm_options *options)
{
    static struct master m;
    int64_t began_us = clock_mono_us();
    begin(&m, options);
    rage(&m, began_us, began_us + options->seconds * US_PER_S);
    audit_end(&m);
    print_counts(&m, began_us);
    bool good = is_good(&m);
    scene_strike(&m.storm.scene);
    munmap(m.storm.shared, sizeof *m.storm.shared);
    return good;
}
