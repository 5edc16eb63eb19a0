/* Puts and gets of sizes from 100 bytes to 4 MB for as long as asked, and tells now and then what the cache's memory is
 * used for: does it stay constant, and is room for large values to be had after an hour?
 *
 *     build/release/tests/bench/churn [--seconds S] [--every S] [--size-mb N]
 *
 * Sizes are log-uniform, so that the memory belongs to the large ones and the entries to the small ones; keys are Zipf
 * 0.9 over 200,000; one put in a hundred raises the key's tag first. A line a period: operations, hit ratio of the
 * period, entries, live bytes (items that a word names) of all bytes, share of the sealed segments' room that is dead
 * or unused (fragmentation), puts of more than a segment and how many of them found no room, resident memory. Exits
 * with 1 when the audit finds something wrong. */
#include "common/clock.h"
#include "shm/cache.h"
#include "shm/control.h"
#include "tests/bench/lib/zipf.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEYS = 200000, LEAST_BYTES = 100, MOST_BYTES = 4 << 20, TAG_SHARE = 100, BATCH = 256 };

struct churn {
    struct control control;
    struct cache *cache;
    double *sums;
    char *body;
    uint64_t random, gets, hits, puts, refused, large, large_refused, segment_bytes;
};

static double uniform(struct churn *c)
{
    c->random ^= c->random << 13;
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return (double)(c->random >> 11) * 0x1p-53;
}

/* A key has its size for ever. */
static size_t size_of(uint32_t key)
{
    uint64_t mixed = (key + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15);
    double share = (double)(mixed >> 11) * 0x1p-53;
    return (size_t)(LEAST_BYTES * pow((double)MOST_BYTES / LEAST_BYTES, share));
}

static void put(struct churn *c, const struct cache_key *key, uint32_t n, int64_t now_us)
{
    static const struct cache_rules rules = {0};
    size_t bytes = size_of(n);
    struct cache_entry entry = {.body = slice_of(c->body, bytes),
                                .head = slice_str("Content-Type: application/json\r\n"),
                                .created_us = now_us,
                                .fresh_until_us = now_us + 300 * US_PER_S,
                                .tag_count = 1,
                                .tag_slots = {n},
                                .status = 200,
                                .etag = "\"0123456789abcdef0123456789abcdef\""};
    if (uniform(c) < 1.0 / TAG_SHARE)
        tags_raise(c->control.tags, entry.tag_slots, 1);
    entry.born_seq = tags_now(c->control.tags);
    bool stored = cache_put(c->cache, key, &rules, &entry, now_us);
    bool large = bytes > c->segment_bytes;
    c->puts++;
    c->refused += !stored;
    c->large += large;
    c->large_refused += large && !stored;
}

static void ask(struct churn *c, int64_t now_us)
{
    static const struct cache_rules rules = {0};
    struct cache_entry entry;
    char name[32];
    uint32_t n = zipf_rank(c->sums, KEYS, uniform(c));
    int len = snprintf(name, sizeof name, "churn/%u", n);
    const struct cache_key key = cache_key(c->cache, slice_of(name, (size_t)len));
    c->gets++;
    if (cache_get(c->cache, &key, &rules, now_us, &entry) == CACHE_MISS) {
        put(c, &key, n, now_us);
        return;
    }
    CHECK(entry.body.len == size_of(n));
    c->hits++;
    cache_release(&entry);
}

static double resident_mb(void)
{
    long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    if (statm == NULL)
        return 0;
    if (fscanf(statm, "%*d %ld", &pages) != 1)
        pages = 0;
    fclose(statm);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

static bool report(struct churn *c, int64_t second)
{
    struct cache_usage usage;
    struct cache_audit audit;
    cache_usage(c->cache, &usage);
    cache_audit(c->cache, &audit);
    double room = (double)((usage.segments - audit.free) * c->segment_bytes);
    printf("%5" PRId64 " s  %9" PRIu64 " gets  %5.2f %% hits  %6" PRIu64 " entries  %6.1f of %6.1f MB live  %5.1f %% "
           "fragmented  %" PRIu64 " puts, %" PRIu64 " refused  %" PRIu64 " large, %" PRIu64
           " refused  %.1f MB resident%s%s\n",
           second, c->gets, 100.0 * (double)c->hits / (double)MAX(c->gets, UINT64_C(1)), usage.entries,
           (double)audit.live_bytes / (1 << 20), (double)usage.size_bytes / (1 << 20),
           100.0 * (1 - (double)audit.live_bytes / room), c->puts, c->refused, c->large, c->large_refused,
           resident_mb(), audit.wrong ? "  WRONG: " : "", audit.wrong ? audit.what : "");
    fflush(stdout);
    c->gets = c->hits = c->puts = c->refused = c->large = c->large_refused = 0;
    return audit.wrong == 0;
}

static bool run(struct churn *c, int64_t seconds, int64_t every)
{
    int64_t start_us = clock_mono_us(), next_us = start_us + every * US_PER_S;
    for (;;) {
        int64_t now_us = clock_mono_us();
        if (now_us >= next_us) {
            if (!report(c, (now_us - start_us) / US_PER_S) || now_us - start_us >= seconds * US_PER_S)
                return now_us - start_us >= seconds * US_PER_S;
            next_us += every * US_PER_S;
        }
        for (int i = 0; i < BATCH; i++)
            ask(c, now_us);
        cache_tick(c->cache, now_us);
        cache_keep(c->cache, now_us);
    }
}

static bool make(struct churn *c, int64_t size_mb, struct err *err)
{
    struct cache_usage usage;
    if (!control_create(&c->control, err))
        return false;
    c->cache = cache_create(size_mb << 20, 100000, c->control.tags, err);
    if (c->cache == NULL)
        return false;
    cache_usage(c->cache, &usage);
    c->segment_bytes = (usage.size_bytes - usage.used_bytes) / usage.segments;
    c->random = UINT64_C(88172645463325252);
    c->sums = zipf_create(KEYS, 0.9);
    c->body = xmalloc(MOST_BYTES);
    memset(c->body, 'x', MOST_BYTES);
    return true;
}

static int64_t option(int argc, char **argv, const char *name, int64_t value)
{
    for (int i = 1; i + 1 < argc; i += 2)
        if (strcmp(argv[i], name) == 0)
            value = atoll(argv[i + 1]);
    return value;
}

int main(int argc, char **argv)
{
    struct churn c = {0};
    struct err err;
    int64_t seconds = option(argc, argv, "--seconds", 3600), every = option(argc, argv, "--every", 60);
    if (argc % 2 == 0 || seconds <= 0 || every <= 0) {
        fputs("usage: churn [--seconds S] [--every S] [--size-mb N]\n", stderr);
        return 64;
    }
    if (!make(&c, option(argc, argv, "--size-mb", 256), &err)) {
        fprintf(stderr, "churn: %s\n", err.text);
        return 1;
    }
    return run(&c, seconds, every) ? 0 : 1;
}
