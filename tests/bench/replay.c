/* Feeds a cache trace through the real cache, get and on a miss put, and prints its hit ratio, evictions, bytes and
 * time.
 *
 *     xz -dc web12.trace.xz | build/release/tests/bench/replay be32 3000 [BODY_BYTES [SIZE_MB]]
 *
 * Formats: be32 (big-endian int32), text (an integer a line, lines with * skipped), arc (`start n ignored number`). */
#include "common/clock.h"
#include "shm/cache.h"
#include "shm/control.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct replay {
    struct cache *cache;
    struct slice body;
    uint64_t requests, hits, refused;
    int64_t now_us;
};

static void ask(struct replay *r, uint64_t key)
{
    static const struct cache_rules rules = {0};
    struct cache_entry entry;
    const struct cache_key name = cache_key(r->cache, slice_of((const char *)&key, sizeof key));
    r->requests++;
    r->now_us++;
    if (cache_get(r->cache, &name, &rules, r->now_us, &entry) != CACHE_MISS) {
        r->hits++;
        cache_release(&entry);
        return;
    }
    entry = (struct cache_entry){.body = r->body, .fresh_until_us = INT64_MAX / 2, .status = 200};
    r->refused += !cache_put(r->cache, &name, &rules, &entry, r->now_us);
}

static void read_be32(struct replay *r)
{
    uint32_t block[4096];
    size_t n;
    while ((n = fread(block, sizeof *block, ARRAY_LEN(block), stdin)) > 0)
        for (size_t i = 0; i < n; i++)
            ask(r, ntohl(block[i]));
}

static void read_text(struct replay *r)
{
    char line[256];
    while (fgets(line, sizeof line, stdin) != NULL)
        if (strchr(line, '*') == NULL && line[0] != '\n')
            ask(r, strtoull(line, NULL, 10));
}

static void read_arc(struct replay *r)
{
    unsigned long long start, count;
    while (scanf("%llu %llu %*s %*s", &start, &count) == 2)
        for (unsigned long long i = 0; i < count; i++)
            ask(r, start + i);
}

static void report(const struct replay *r, int64_t spent_us)
{
    struct cache_usage usage;
    struct cache_audit audit;
    cache_usage(r->cache, &usage);
    cache_audit(r->cache, &audit);
    printf("%" PRIu64 " requests, hit ratio %.2f %%, %" PRIu64 " of %" PRIu64 " entries, %" PRIu64 " evicted, %.1f MB, "
           "%" PRIu64 " not stored, %.0f ns a request\n",
           r->requests, 100.0 * (double)r->hits / (double)r->requests, usage.entries, usage.entries_max, usage.evicted,
           (double)usage.used_bytes / (1 << 20), r->refused, 1000.0 * (double)spent_us / (double)r->requests);
    if (audit.wrong > 0)
        printf("audit: %" PRIu64 " wrong: %s\n", audit.wrong, audit.what);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*read)(struct replay *r);
    } formats[] = {{"be32", read_be32}, {"text", read_text}, {"arc", read_arc}};
    struct err err;
    struct replay r = {0};
    struct control control;
    size_t format = 0;
    while (argc >= 3 && format < ARRAY_LEN(formats) && strcmp(argv[1], formats[format].name) != 0)
        format++;
    if (argc < 3 || format == ARRAY_LEN(formats)) {
        fputs("usage: replay be32|text|arc ENTRIES [BODY_BYTES [SIZE_MB]] < TRACE\n", stderr);
        return 64;
    }
    size_t body = argc > 3 ? strtoul(argv[3], NULL, 10) : 200;
    int64_t size = (argc > 4 ? atoll(argv[4]) : 64) << 20, entries = atoll(argv[2]);
    r.body = slice_of(xcalloc(body, 1), body);
    r.cache = control_create(&control, &err) ? cache_create(size, entries, control.tags, &err) : NULL;
    if (r.cache == NULL) {
        fprintf(stderr, "replay: %s\n", err.text);
        return 1;
    }
    int64_t start_us = clock_mono_us();
    formats[format].read(&r);
    report(&r, clock_mono_us() - start_us);
    return 0;
}
