/* What an operation of the shared cache costs, beside the usual way to share one: 64 stripes of hash table and exact
 * LRU list, each behind a robust process-shared mutex (lib/mutex_lru.h).
 *
 *     build/release/tests/bench/cache [--seconds S] [--entries N] [only WHAT]
 *     valgrind --tool=callgrind --toggle-collect=hits_for_callgrind build/release/tests/bench/cache --callgrind-hits N
 *
 *     --seconds S   measured time of each side of each line, default 2; spread over 9 rounds
 *     --entries N   entries that the caches have room for, default 100000; a tenth of it too for hits of 200 bytes, a
 *                   50th for bodies of 100 KB
 *     only WHAT     hit, miss, put, evict, invalidate or mixed
 *     --callgrind-hits N   nothing but N hits of 200 bytes in one process; callgrind's total / N is instructions a hit
 *
 *   hit         the body is copied into a private buffer
 *   miss        of keys that were never stored
 *   put         replaces a value
 *   evict       a put of a key that is not there into a full cache: four times as many keys as entries, in turn
 *   invalidate  one tag is raised; the other side deletes the key. Putting the entries back is not measured
 *   mixed       95 % get, 5 % put; a get that misses puts
 *
 * Keys are of 39 bytes, chosen by Zipf 0.99 but for evict and invalidate. They are made beforehand, 256 at a time, and
 * hashed within the operation. The clock is read once for 256 operations. Process p is pinned to CPU p, all begin
 * together.
 *
 * How to read it: nanoseconds of one process an operation, `cpu` by the time that the process ran, `wall` by the clock;
 * waiting for a lock shows in wall alone, other load on the machine in wall first. The sides take turns within each
 * round, with the same sequence of operations, so noise meets both; each figure is the median of the rounds, of the
 * processes' mean. `mutex / cache` is the median of the rounds' ratios, above 1 where the cache is faster; in brackets
 * the least and the greatest of wall's. `failed` counts gets that missed (for miss: that hit) and refused puts, in
 * percent.
 *
 * Both sides serve the same: a hit gives body, header fields, status and ETag, and checks ttl and one tag. Tags of
 * others, one for a hundred entries, have been raised since these were made. The cache keeps a checksum beside, and may
 * keep other entries than an LRU would. No keeper runs: puts make room for themselves.
 *
 * Exit status: 0; 1 when a body was another key's, a hit or a miss was none, or a process died; 64 for a wrong command
 * line. */
#include "shm/cache.h"
#include "common/clock.h"
#include "shm/control.h"
#include "tests/bench/lib/mutex_lru.h"
#include "tests/bench/lib/rounds.h"
#include "tests/bench/lib/steps.h"

#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { EX_OK = 0, EX_FAILED = 1, EX_USAGE = 64 };
enum { BATCH = 256, RAISED_SHARE = 100 };
enum { ENTRIES_DEFAULT = 100000, ENTRIES_LEAST = 1000, ENTRIES_MOST = 4000000 };

struct worker;
typedef bool operation(struct worker *w, const struct step *step, int64_t now_us);

struct op {
    const char *name;
    size_t body_bytes;
    uint32_t entries_share;  /* of --entries */
    uint32_t keys_per_entry; /* above 1 they do not fit */
    enum order order;
    bool writes;
    bool refills; /* goes once through its keys, puts them back, and again until the round is over */
    operation *once[SIDE_COUNT];
};

struct results {
    pthread_barrier_t barrier;
    bool again; /* written by process 0 between two barriers */
    struct rounds rounds;
};

struct trial {
    const struct op *op;
    struct tags *tags;
    struct cache *cache;
    struct mutex_lru *lru;
    uint32_t entries, keys;
    struct steps steps;
    struct results *results;
    int procs;
    int64_t round_us;
};

struct worker {
    const struct trial *t;
    int proc;
    uint32_t first, share;   /* of the steps */
    uint32_t at[SIDE_COUNT]; /* both sides go through the same steps */
    struct step batch[BATCH];
    char *body, *out;
    size_t out_len;
    struct cache_entry entry; /* what is stored, but for body, times, tag and birth */
    uint64_t wrong;           /* as in struct sample */
};

static const struct cache_rules rules = {.unheard_us = 5 * US_PER_S}; /* changes are heard of all the time */

/* ---- operations ---- */

static struct slice body_for(const struct worker *w, const struct step *step)
{
    memcpy(w->body, &step->id, sizeof step->id);
    return slice_of(w->body, w->t->op->body_bytes);
}

static void verify(struct worker *w, const struct step *step)
{
    w->wrong += memcmp(w->out, &step->id, sizeof step->id) != 0 || w->out_len != w->t->op->body_bytes;
}

static bool cache_read(struct worker *w, const struct step *step, int64_t now_us)
{
    struct cache_entry entry;
    struct cache_key key = cache_key(w->t->cache, step_key(step));
    if (cache_get(w->t->cache, &key, &rules, now_us, &entry) == CACHE_MISS)
        return false;
    w->out_len = entry.body.len;
    memcpy(w->out, entry.body.at, MIN(entry.body.len, w->t->op->body_bytes));
    memcpy(w->out + w->t->op->body_bytes, entry.head.at, entry.head.len);
    cache_release(&entry);
    verify(w, step);
    return true;
}

static bool mutex_read(struct worker *w, const struct step *step, int64_t now_us)
{
    struct cache_entry entry;
    struct cache_key key = cache_key(w->t->cache, step_key(step));
    if (!mutex_lru_get(w->t->lru, &key, now_us, w->out, &entry))
        return false;
    w->out_len = entry.body.len;
    verify(w, step);
    return true;
}

static bool cache_miss(struct worker *w, const struct step *step, int64_t now_us)
{
    return !cache_read(w, step, now_us);
}

static bool mutex_miss(struct worker *w, const struct step *step, int64_t now_us)
{
    return !mutex_read(w, step, now_us);
}

static const struct cache_entry *entry_for(struct worker *w, const struct step *step, int64_t now_us)
{
    w->entry.body = body_for(w, step);
    w->entry.created_us = now_us;
    w->entry.fresh_until_us = now_us + 3600 * US_PER_S;
    w->entry.born_seq = tags_now(w->t->tags);
    w->entry.tag_slots[0] = step->tag_slot;
    return &w->entry;
}

static bool cache_store(struct worker *w, const struct step *step, int64_t now_us)
{
    struct cache_key key = cache_key(w->t->cache, step_key(step));
    return cache_put(w->t->cache, &key, &rules, entry_for(w, step, now_us), now_us);
}

static bool mutex_store(struct worker *w, const struct step *step, int64_t now_us)
{
    struct cache_key key = cache_key(w->t->cache, step_key(step));
    return mutex_lru_put(w->t->lru, &key, entry_for(w, step, now_us));
}

/* The tag is hashed here as the key is on the other side. */
static bool cache_invalidate(struct worker *w, const struct step *step, int64_t now_us)
{
    (void)now_us;
    uint32_t slot = tags_slot(step_key(step));
    tags_raise(w->t->tags, &slot, 1);
    return true;
}

static bool mutex_invalidate(struct worker *w, const struct step *step, int64_t now_us)
{
    (void)now_us;
    struct cache_key key = cache_key(w->t->cache, step_key(step));
    return mutex_lru_drop(w->t->lru, &key);
}

static bool cache_mixed(struct worker *w, const struct step *step, int64_t now_us)
{
    if (step->put)
        return cache_store(w, step, now_us);
    if (cache_read(w, step, now_us))
        return true;
    cache_store(w, step, now_us);
    return false;
}

static bool mutex_mixed(struct worker *w, const struct step *step, int64_t now_us)
{
    if (step->put)
        return mutex_store(w, step, now_us);
    if (mutex_read(w, step, now_us))
        return true;
    mutex_store(w, step, now_us);
    return false;
}

static operation *const read_once[SIDE_COUNT] = {cache_read, mutex_read};
static operation *const store_once[SIDE_COUNT] = {cache_store, mutex_store};

static const struct op ops[] = {
    {"hit", 200, 10, 1, ORDER_ZIPF, false, false, {cache_read, mutex_read}},
    {"hit", 200, 1, 1, ORDER_ZIPF, false, false, {cache_read, mutex_read}},
    {"hit", 4096, 1, 1, ORDER_ZIPF, false, false, {cache_read, mutex_read}},
    {"hit", 100 << 10, 50, 1, ORDER_ZIPF, false, false, {cache_read, mutex_read}},
    {"miss", 200, 1, 1, ORDER_ABSENT, false, false, {cache_miss, mutex_miss}},
    {"put", 200, 1, 1, ORDER_ZIPF, true, false, {cache_store, mutex_store}},
    {"put", 4096, 1, 1, ORDER_ZIPF, true, false, {cache_store, mutex_store}},
    {"evict", 200, 1, 4, ORDER_EACH, true, false, {cache_store, mutex_store}},
    {"invalidate", 200, 1, 1, ORDER_EACH, true, true, {cache_invalidate, mutex_invalidate}},
    {"mixed", 200, 1, 1, ORDER_ZIPF, true, false, {cache_mixed, mutex_mixed}},
};

/* ---- one process ---- */

static struct worker worker_of(const struct trial *t, int proc)
{
    struct worker w = {.t = t, .proc = proc, .share = t->steps.count / (uint32_t)t->procs};
    w.first = w.share * (uint32_t)proc;
    for (int side = 0; side < SIDE_COUNT; side++)
        w.at[side] = w.first;
    w.body = xcalloc(t->op->body_bytes, 1);
    w.out = xcalloc(t->op->body_bytes + CACHE_HEAD_BYTES, 1);
    for (size_t i = 0; i < t->op->body_bytes; i++)
        w.body[i] = (char)('a' + i % 26);
    w.entry = (struct cache_entry){.head = slice_str("Content-Type: application/json\r\n"),
                                   .cost_us = 1000,
                                   .tag_count = 1,
                                   .status = 200,
                                   .etag = "\"0f1e2d3c4b5a69788796a5b4c3d2e1f0\""};
    return w;
}

/* Every key of the working set, in the order of the ids. How many failed. */
static uint64_t each_key(struct worker *w, operation *once)
{
    uint64_t failed = 0;
    for (uint32_t id = 0; id < w->t->keys; id++) {
        struct step step = step_of(id);
        failed += !once(w, &step, clock_mono_us());
    }
    return failed;
}

/* The steps that are this process's own part. How many failed. */
static uint64_t own_steps(struct worker *w, operation *once)
{
    uint64_t failed = 0;
    for (uint32_t i = 0; i < w->share; i++) {
        const struct step step = steps_at(&w->t->steps, w->first + i);
        failed += !once(w, &step, clock_mono_us());
    }
    return failed;
}

/* The next steps of this side, into the worker's batch. */
static void next_batch(struct worker *w, enum side side, uint64_t count)
{
    uint32_t at = w->at[side];
    for (uint64_t i = 0; i < count; i++) {
        w->batch[i] = steps_at(&w->t->steps, at);
        at = at + 1 < w->t->steps.count ? at + 1 : 0;
    }
    w->at[side] = at;
}

static uint64_t run_batch(struct worker *w, enum side side, uint64_t count, int64_t now_us)
{
    operation *once = w->t->op->once[side];
    uint64_t failed = 0;
    for (uint64_t i = 0; i < count; i++)
        failed += !once(w, &w->batch[i], now_us);
    return failed;
}

static double clock_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* The two clocks are read around each batch, so that making its keys does not count: 3 ns an operation on both sides.
 */
static void measure(struct worker *w, enum side side, uint64_t most, int64_t until_us, struct sample *sample)
{
    for (int64_t now_us = clock_mono_us(); most > 0 && now_us < until_us; now_us = clock_mono_us()) {
        uint64_t count = MIN(most, (uint64_t)BATCH);
        next_batch(w, side, count);
        double cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID), wall_ns = clock_ns(CLOCK_MONOTONIC);
        sample->failed += run_batch(w, side, count, now_us);
        sample->wall_ns += clock_ns(CLOCK_MONOTONIC) - wall_ns;
        sample->cpu_ns += clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns;
        sample->ops += count;
        most -= count;
    }
}

static void begin_together(const struct trial *t)
{
    int rc = pthread_barrier_wait(&t->results->barrier);
    CHECK(rc == 0 || rc == PTHREAD_BARRIER_SERIAL_THREAD);
}

/* The other side has filled the CPU's caches meanwhile: a quarter of the time is spent on getting them back. */
static void turn_timed(struct worker *w, enum side side, struct sample *sample)
{
    struct sample warm_up = {0};
    measure(w, side, UINT64_MAX, clock_mono_us() + w->t->round_us / 4, &warm_up);
    begin_together(w->t);
    measure(w, side, UINT64_MAX, clock_mono_us() + w->t->round_us, sample);
    begin_together(w->t);
}

static void turn_refilled(struct worker *w, enum side side, struct sample *sample)
{
    int64_t until_us = clock_mono_us() + w->t->round_us;
    bool again;
    do {
        sample->failed += own_steps(w, store_once[side]);
        w->at[side] = w->first;
        begin_together(w->t);
        measure(w, side, w->share, INT64_MAX, sample);
        sample->failed += w->share - own_steps(w, read_once[side]); /* what can still be had */
        if (w->proc == 0)
            w->t->results->again = clock_mono_us() < until_us;
        begin_together(w->t);
        again = w->t->results->again;
    } while (again);
}

/* A process that has lived for a while has every page mapped that it will touch, and the log has gone round. */
static void settle(struct worker *w)
{
    const struct op *op = w->t->op;
    for (int side = 0; side < SIDE_COUNT; side++)
        for (int i = 0; i < (op->writes && op->keys_per_entry == 1 ? 3 : 1); i++)
            each_key(w, op->writes ? store_once[side] : read_once[side]);
}

static void work(const struct trial *t, int proc)
{
    struct worker w = worker_of(t, proc);
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET((size_t)proc, &cpus);
    CHECK(sched_setaffinity(0, sizeof cpus, &cpus) == 0);
    cache_attach(t->cache, proc);
    settle(&w);
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < SIDE_COUNT; i++) {
            enum side side = (enum side)((i + round) % SIDE_COUNT);
            struct sample *sample = &t->results->rounds.samples[round][side][proc];
            w.wrong = 0;
            if (t->op->refills)
                turn_refilled(&w, side, sample);
            else
                turn_timed(&w, side, sample);
            sample->wrong = w.wrong;
        }
}

/* Writes of others have gone on since the entries were made. One whose tag collides with such a one is made again. */
static void fill(const struct trial *t, int proc)
{
    struct worker w = worker_of(t, proc);
    cache_attach(t->cache, proc);
    for (int side = 0; side < SIDE_COUNT; side++)
        each_key(&w, store_once[side]);
    for (uint32_t id = t->keys; id < t->keys + t->keys / RAISED_SHARE; id++) {
        struct step step = step_of(id);
        tags_raise(t->tags, &step.tag_slot, 1);
    }
    for (uint32_t id = 0; id < t->keys; id++) {
        struct step step = step_of(id);
        int64_t now_us = clock_mono_us();
        for (int side = 0; side < SIDE_COUNT; side++)
            if (!read_once[side](&w, &step, now_us))
                store_once[side](&w, &step, now_us);
    }
}

/* ---- all processes ---- */

/* Runs part in t->procs processes. The others of one that died would wait for it at the barrier for ever. */
static bool in_processes(const struct trial *t, void (*part)(const struct trial *t, int proc))
{
    pid_t pids[ROUNDS_PROCS_MAX];
    bool ok = true;
    fflush(stdout);
    for (int proc = 0; proc < t->procs; proc++) {
        pids[proc] = fork();
        CHECK(pids[proc] >= 0);
        if (pids[proc] == 0) {
            part(t, proc);
            _exit(0);
        }
    }
    for (int left = t->procs; left > 0; left--) {
        int status, proc = 0;
        pid_t pid = wait(&status);
        CHECK(pid > 0);
        while (pids[proc] != pid)
            proc++;
        pids[proc] = 0;
        cache_reap(t->cache, proc);
        for (int other = 0; status != 0 && other < t->procs; other++)
            if (pids[other] != 0)
                kill(pids[other], SIGKILL);
        ok &= status == 0;
    }
    return ok;
}

static void results_init(struct results *results, int procs)
{
    pthread_barrierattr_t attr;
    *results = (struct results){.rounds.procs = procs};
    pthread_barrierattr_init(&attr);
    pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    CHECK(pthread_barrier_init(&results->barrier, &attr, (unsigned)procs) == 0);
    pthread_barrierattr_destroy(&attr);
}

/* Room for all, and for a log that writing turns over twice as much of it; what does not fit is too much by number, on
 * both sides alike. */
static bool trial_init(struct trial *t, const struct op *op, uint32_t entries, struct tags *tags, struct err *err)
{
    *t = (struct trial){.op = op, .tags = tags, .procs = 1};
    tags_set_heard(tags, INT64_MAX / 2);
    t->entries = entries / op->entries_share;
    t->keys = t->entries * op->keys_per_entry;
    int64_t quarters = op->writes ? 8 : 5, most = t->entries * quarters / 4;
    int64_t bytes = most * (int64_t)(op->body_bytes + 256) + (16 << 20);
    t->cache = cache_create(bytes, op->keys_per_entry > 1 ? t->entries : most, tags, err);
    t->lru = t->cache ? mutex_lru_create(t->entries, op->body_bytes, tags, err) : NULL;
    t->results = mmap(NULL, sizeof *t->results, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(t->results != MAP_FAILED);
    if (t->lru != NULL)
        steps_init(&t->steps, op->order, t->keys);
    return t->lru != NULL;
}

static void trial_deinit(struct trial *t)
{
    steps_deinit(&t->steps);
    munmap(t->results, sizeof *t->results);
    if (t->lru != NULL)
        mutex_lru_destroy(&t->lru);
    if (t->cache != NULL)
        cache_destroy(&t->cache);
}

/* ---- what came out ---- */

static double failed_percent(const struct sample *sum)
{
    return 100.0 * (double)sum->failed / (double)MAX(sum->ops, UINT64_C(1));
}

static void print_head(void)
{
    printf("%-10s %7s %8s %5s | %17s | %17s | %25s | %15s\n", "", "", "", "", "cache, ns", "mutex LRU, ns",
           "mutex / cache", "failed, %");
    printf("%-10s %7s %8s %5s | %8s %8s | %8s %8s | %5s %5s %13s | %7s %7s\n", "operation", "bytes", "entries", "procs",
           "cpu", "wall", "cpu", "wall", "cpu", "wall", "[wall]", "cache", "mutex");
}

/* False: what was measured is not what the line says. */
static bool print_line(const struct trial *t)
{
    const struct rounds *r = &t->results->rounds;
    struct sample cache = rounds_total(r, SIDE_CACHE), mutex = rounds_total(r, SIDE_MUTEX);
    struct rounds_ratio cpu = rounds_ratio(r, FIGURE_CPU), wall = rounds_ratio(r, FIGURE_WALL);
    printf("%-10s %7zu %8" PRIu32 " %5d | %8.1f %8.1f | %8.1f %8.1f | %5.2f %5.2f [%5.2f-%5.2f] | %7.3f %7.3f\n",
           t->op->name, t->op->body_bytes, t->entries, t->procs, rounds_median_ns(r, SIDE_CACHE, FIGURE_CPU),
           rounds_median_ns(r, SIDE_CACHE, FIGURE_WALL), rounds_median_ns(r, SIDE_MUTEX, FIGURE_CPU),
           rounds_median_ns(r, SIDE_MUTEX, FIGURE_WALL), cpu.median, wall.median, wall.least, wall.greatest,
           failed_percent(&cache), failed_percent(&mutex));
    uint64_t wrong = cache.wrong + mutex.wrong, failed = t->op->writes ? 0 : cache.failed + mutex.failed;
    if (wrong > 0)
        fprintf(stderr, "cache: %" PRIu64 " bodies were another key's\n", wrong);
    if (failed > 0)
        fprintf(stderr, "cache: %" PRIu64 " operations were not a %s\n", failed, t->op->name);
    return wrong == 0 && failed == 0;
}

/* ---- command line ---- */

struct options {
    double seconds;
    uint32_t entries;
    uint64_t callgrind_hits;
    const char *only; /* NULL: everything */
};

static bool run_op(const struct op *op, const struct options *o, struct tags *tags)
{
    struct trial t;
    struct err err;
    cpu_set_t cpus;
    bool ok = trial_init(&t, op, o->entries, tags, &err);
    CHECK(sched_getaffinity(0, sizeof cpus, &cpus) == 0);
    if (!ok)
        fprintf(stderr, "cache: %s\n", err.text);
    ok = ok && in_processes(&t, fill);
    t.round_us = (int64_t)(o->seconds * (double)US_PER_S / ROUNDS);
    for (int procs = 1; t.lru != NULL && procs <= ROUNDS_PROCS_MAX; procs++) {
        if (!CPU_ISSET((size_t)procs - 1, &cpus)) {
            fprintf(stderr, "cache: no CPU %d for %d processes\n", procs - 1, procs);
            break;
        }
        t.procs = procs;
        results_init(t.results, procs);
        bool ran = in_processes(&t, work);
        if (!ran)
            fprintf(stderr, "cache: %s: a process died\n", op->name);
        ok &= ran && print_line(&t);
    }
    trial_deinit(&t);
    return ok;
}

static __attribute__((noinline)) uint64_t hits_for_callgrind(struct worker *w, uint64_t count, int64_t now_us)
{
    uint64_t hits = 0;
    for (uint64_t i = 0; i < count; i++)
        hits += cache_read(w, &w->batch[i % BATCH], now_us);
    return hits;
}

static bool run_callgrind(const struct options *o, struct tags *tags)
{
    struct trial t;
    struct err err;
    if (!trial_init(&t, &ops[0], o->entries, tags, &err)) {
        fprintf(stderr, "cache: %s\n", err.text);
        trial_deinit(&t);
        return false;
    }
    struct worker w = worker_of(&t, 0);
    cache_attach(t.cache, 0);
    each_key(&w, cache_store);
    for (int i = 0; i < 3; i++) /* a hit writes into the index until it has been met three times */
        each_key(&w, cache_read);
    next_batch(&w, 0, BATCH);
    uint64_t hits = hits_for_callgrind(&w, o->callgrind_hits, clock_mono_us());
    printf("%" PRIu64 " hits of %" PRIu64 " gets\n", hits, o->callgrind_hits);
    trial_deinit(&t);
    return hits == o->callgrind_hits && w.wrong == 0;
}

static bool is_op(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(ops); i++)
        if (strcmp(ops[i].name, name) == 0)
            return true;
    return false;
}

static bool in_bounds(const char *text, double least, double most, double *out)
{
    char *end;
    *out = strtod(text, &end);
    return end != text && *end == '\0' && *out >= least && *out <= most;
}

static bool parse(int argc, char **argv, struct options *o)
{
    static const struct option options[] = {{"seconds", required_argument, NULL, 's'},
                                            {"entries", required_argument, NULL, 'e'},
                                            {"callgrind-hits", required_argument, NULL, 'c'},
                                            {NULL, 0, NULL, 0}};
    int option;
    double number;
    *o = (struct options){.seconds = 2, .entries = ENTRIES_DEFAULT};
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 's' && in_bounds(optarg, 0.01, 3600, &number))
            o->seconds = number;
        else if (option == 'e' && in_bounds(optarg, ENTRIES_LEAST, ENTRIES_MOST, &number))
            o->entries = (uint32_t)number;
        else if (option == 'c' && in_bounds(optarg, 1, 1e12, &number))
            o->callgrind_hits = (uint64_t)number;
        else
            return false;
    }
    if (optind < argc && (argc - optind != 2 || strcmp(argv[optind], "only") != 0 || !is_op(argv[optind + 1])))
        return false;
    o->only = optind < argc ? argv[optind + 1] : NULL;
    return true;
}

int main(int argc, char **argv)
{
    struct options o;
    struct err err;
    bool ok = true;
    if (!parse(argc, argv, &o)) {
        fprintf(stderr,
                "usage: cache [--seconds 0.01..3600] [--entries %d..%d] [--callgrind-hits N]\n"
                "             [only hit|miss|put|evict|invalidate|mixed]\n",
                ENTRIES_LEAST, ENTRIES_MOST);
        return EX_USAGE;
    }
    struct control control;
    if (!control_create(&control, &err)) {
        fprintf(stderr, "cache: %s\n", err.text);
        return EX_FAILED;
    }
    if (o.callgrind_hits > 0)
        return run_callgrind(&o, control.tags) ? EX_OK : EX_FAILED;
    print_head();
    for (size_t i = 0; i < ARRAY_LEN(ops); i++)
        if (o.only == NULL || strcmp(o.only, ops[i].name) == 0)
            ok &= run_op(&ops[i], &o, control.tags);
    return ok ? EX_OK : EX_FAILED;
}
