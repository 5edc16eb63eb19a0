/* What it costs to do something in the loop, and what it costs to hand it to a thread: the figures behind the sizes
 * from which on worker/ does the latter, and behind the levels of gzip.
 *
 *     build/release/tests/bench/thresholds
 *
 * Bodies are rows as JSON. Times are of the CPU's calmest of several rounds, in microseconds. */
#include "common/clock.h"
#include "common/gzip.h"
#include "common/json_scan.h"
#include "worker/offload.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 15 };

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* {"rows": [{...}, ...]}, of about so many bytes. */
static struct buf make_body(size_t bytes)
{
    static const char *const words[] = {"alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel"};
    struct buf b = {0};
    unsigned seed = 1;
    buf_adds(&b, "{\"rows\": [");
    for (int i = 0; b.len < bytes; i++) {
        unsigned r = (unsigned)rand_r(&seed), q = (unsigned)rand_r(&seed);
        buf_printf(&b,
                   "%s{\"id\":%d,\"name\":\"%s %s\",\"email\":\"%s.%u@example.com\",\"score\":%u.%02u,\"active\":%s}",
                   i ? "," : "", i, words[r % 8], words[q % 8], words[r / 8 % 8], q % 100000, r % 1000, q % 100,
                   r & 1 ? "true" : "false");
    }
    buf_adds(&b, "]}");
    return b;
}

/* ---- a thread ---- */

static int left;
static double asked_at, spent_us, best_hop, best_loop;
static struct event_base *base;
static struct offload *offload;

static void nothing(void *arg)
{
    (void)arg;
}

static void ask(void);

static void on_done(void *arg)
{
    (void)arg;
    double took = now_us() - asked_at;
    best_hop = best_hop == 0 || took < best_hop ? took : best_hop;
    if (--left > 0)
        ask();
    else
        event_base_loopbreak(base);
}

static void ask(void)
{
    static const struct offload_work work = {nothing, on_done, nothing};
    asked_at = now_us();
    CHECK(offload_start(offload, OFFLOAD_GZIP, &work, NULL) != NULL);
    spent_us = now_us() - asked_at;
    best_loop = best_loop == 0 || spent_us < best_loop ? spent_us : best_loop;
}

static void observe(void *arg, enum offload_kind kind, int64_t wait_us, int64_t run_us)
{
    (void)arg, (void)kind, (void)wait_us, (void)run_us;
}

static void measure_hop(void)
{
    const struct offload_settings settings = {1, 10, observe, NULL};
    base = event_base_new();
    offload = offload_create(base, &settings);
    CHECK(offload != NULL);
    left = 2000;
    ask();
    event_base_dispatch(base);
    printf("thread: %.1f us there and back, %.1f of them in the loop before it\n", best_hop, best_loop);
    offload_destroy(&offload);
    event_base_free(base);
}

/* ---- gzip ---- */

static void measure_gzip(size_t bytes)
{
    static const int levels[] = {1, 2, 3, 4, 5, 6};
    struct buf body = make_body(bytes);
    char *room = xmalloc(body.len);
    printf("gzip %8zu bytes:", body.len);
    for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
        struct gzip *g = gzip_create(levels[i]);
        double best = 0;
        struct slice out = {0};
        for (int round = 0; round < ROUNDS; round++) {
            double began = now_us();
            out = gzip_whole(g, buf_slice(&body), room);
            double took = now_us() - began;
            best = best == 0 || took < best ? took : best;
        }
        printf("  level %d %8.0f us %4.1f %%", levels[i], best, 100.0 * (double)out.len / (double)body.len);
        gzip_destroy(&g);
    }
    putchar('\n');
    free(room);
    buf_deinit(&body);
}

/* ---- bodies ---- */

static void measure_json(size_t bytes)
{
    struct buf body = make_body(bytes);
    double best = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct arena *arena = arena_create();
        struct json_field *fields;
        struct json_error error;
        int count;
        double began = now_us();
        CHECK(json_scan_object(buf_slice(&body), arena, &fields, &count, &error));
        double took = now_us() - began;
        best = best == 0 || took < best ? took : best;
        arena_destroy(&arena);
    }
    printf("json %8zu bytes: %8.0f us, %.0f MB/s\n", body.len, best, (double)body.len / best);
    buf_deinit(&body);
}

int main(void)
{
    static const size_t sizes[] = {1 << 10, 4 << 10, 8 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20};
    measure_hop();
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        measure_gzip(sizes[i]);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        measure_json(sizes[i]);
    return 0;
}
