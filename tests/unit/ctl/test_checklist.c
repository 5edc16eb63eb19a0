#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "master/ctl/check/checklist.h"
#include "shm/slow.h"

static char path[64];
static struct stats *stats;
static struct stats_view *view;
static struct snapshot *now;
static struct facts facts;

static int setup(void **state)
{
    struct err err;
    (void)state;
    snprintf(path, sizeof path, "/tmp/perfd-checklist.XXXXXX");
    close(mkstemp(path));
    stats = stats_create(path, 1, 2, &err);
    view = stats_view_open(path, &err);
    facts = (struct facts){.has_database = true, .has_survey = true};
    return stats == NULL || view == NULL;
}

static int teardown(void **state)
{
    (void)state;
    snapshot_destroy(&now);
    stats_view_close(&view);
    stats_close(&stats);
    return unlink(path);
}

/* The item, of what the file has by now, a hundred seconds after the start. */
static struct finding found(enum checklist_item item)
{
    struct finding finding;
    snapshot_destroy(&now);
    now = snapshot_take(view, stats_view_started_us(view) + 100 * US_PER_S);
    facts.s = now;
    checklist_find(item, &facts, &finding);
    assert_int_equal(finding.verdict == FINDING_OK, *finding.todo == '\0');
    return finding;
}

static void is(enum checklist_item item, enum finding_verdict verdict, const char *state)
{
    struct finding finding = found(item);
    if (finding.verdict != verdict || strstr(finding.state, state) == NULL)
        fail_msg("%d \"%s\", not %d \"%s\"", (int)finding.verdict, finding.state, (int)verdict, state);
}

static void hits_are_a_share_of_enough_lookups(void **state)
{
    (void)state;
    stats_add(stats, 0, STAT_cache_hits, 99);
    is(CHECKLIST_hits, FINDING_LOOK, "only 99 lookups");
    stats_add(stats, 0, STAT_cache_misses, 11);
    is(CHECKLIST_hits, FINDING_OK, "90.0 % of 110 lookups");
    stats_add(stats, 0, STAT_cache_misses, 55);
    is(CHECKLIST_hits, FINDING_LOOK, "60.0 % of 165");
    stats_add(stats, 0, STAT_cache_misses, 88);
    is(CHECKLIST_hits, FINDING_BAD, "39.1 % of 253");
}

static void observe(enum stat_hist hist, int count, int64_t us)
{
    for (int i = 0; i < count; i++)
        stats_observe(stats, 0, hist, us);
}

static void queries_are_judged_by_their_percentiles(void **state)
{
    (void)state;
    is(CHECKLIST_queries, FINDING_LOOK, "no queries");
    observe(HIST_database, 970, 5000);
    is(CHECKLIST_queries, FINDING_OK, "of 970 queries");
    observe(HIST_database, 30, 900000); /* one in 33: the p99 alone */
    is(CHECKLIST_queries, FINDING_LOOK, "p95 5.");
    observe(HIST_database, 200, 900000);
    is(CHECKLIST_queries, FINDING_BAD, "p95 9");
    facts.has_database = false;
    is(CHECKLIST_queries, FINDING_OK, "no database");
}

static void the_pool_is_as_busy_as_it_ever_was(void **state)
{
    (void)state;
    stats_set(stats, 0, STAT_pool_max, 10);
    stats_set(stats, 0, STAT_pool_active, 6);
    is(CHECKLIST_pool, FINDING_OK, "at most 60 % busy, 0 waiting");
    facts.points[0] = (struct history_point){.pool_max = 10, .pool_active = 8, .pool_waiting = 3};
    facts.points[1] = (struct history_point){.pool_max = 10, .pool_active = 1};
    facts.point_count = 2;
    is(CHECKLIST_pool, FINDING_LOOK, "at most 80 % busy, 3 waiting");
    facts.points[1].pool_active = 9;
    is(CHECKLIST_pool, FINDING_BAD, "at most 90 % busy");
    facts.point_count = 0;
    stats_add(stats, 0, STAT_pool_timeouts, 1);
    is(CHECKLIST_pool, FINDING_LOOK, "1 waited too long or were refused");
}

static void memory_is_short_or_grows(void **state)
{
    (void)state;
    facts.points[0].private_bytes = 100 << 20;
    facts.points[1].private_bytes = 115 << 20;
    facts.point_count = 2;
    is(CHECKLIST_memory, FINDING_OK, "calm");
    facts.points[1].private_bytes = 140 << 20;
    is(CHECKLIST_memory, FINDING_LOOK, "and growing");
    facts.points[0].private_bytes = 1 << 20; /* twenty times as much of nearly nothing */
    facts.points[1].private_bytes = 12 << 20;
    is(CHECKLIST_memory, FINDING_OK, "calm");
    stats_set(stats, STATS_KEEPER, STAT_memory_level, 1);
    is(CHECKLIST_memory, FINDING_LOOK, "alert");
    stats_set(stats, STATS_KEEPER, STAT_memory_level, 2);
    is(CHECKLIST_memory, FINDING_BAD, "shrink");
    stats_set(stats, STATS_KEEPER, STAT_memory_level, 0);
    stats_add(stats, 0, STAT_memory_replaced, 1);
    is(CHECKLIST_memory, FINDING_LOOK, "1 replaced, 0 killed");
    stats_add(stats, 0, STAT_memory_killed, 1);
    is(CHECKLIST_memory, FINDING_BAD, "1 replaced, 1 killed");
}

static void slow_queries_are_told_with_the_slowest(void **state)
{
    (void)state;
    is(CHECKLIST_slow, FINDING_OK, "none");
    facts.slow_count = 3;
    facts.slowest_us = 2500000;
    snprintf(facts.slowest_route, sizeof facts.slowest_route, "GET /x");
    is(CHECKLIST_slow, FINDING_LOOK, "3; the slowest took 2.50 s: GET /x");
    facts.slow_count = SLOW_ENTRIES;
    is(CHECKLIST_slow, FINDING_BAD, "at least 256");
}

/* Whichever is used more: the CPUs at the busiest time, or connections on average, by Little's law. */
static void headroom_is_that_of_the_scarcest(void **state)
{
    (void)state;
    is(CHECKLIST_headroom, FINDING_LOOK, "no history");
    stats_set(stats, 0, STAT_pid, 7); /* one worker: it can use one CPU */
    facts.points[0] = (struct history_point){.span_us = 10 * US_PER_S, .cpu_us = 3 * US_PER_S};
    facts.point_count = 1;
    is(CHECKLIST_headroom, FINDING_OK, "at most 30 % of the CPUs");
    facts.points[0].cpu_us = 6 * US_PER_S;
    is(CHECKLIST_headroom, FINDING_LOOK, "at most 60 % of the CPUs");
    facts.points[0].cpu_us = 9 * US_PER_S;
    is(CHECKLIST_headroom, FINDING_BAD, "at most 90 % of the CPUs");
    facts.points[0].cpu_us = 0;
    stats_set(stats, 0, STAT_pool_max, 4);
    observe(HIST_database, 1000, 240000); /* 240 s of work in 100 s */
    is(CHECKLIST_headroom, FINDING_LOOK, "2.4 of 4 connections");
}

static void volumes_are_those_of_analyzed_tables(void **state)
{
    (void)state;
    struct survey_table tables[] = {{"items", 90000}, {"users", 9000}};
    facts.survey = (struct survey){tables, 2};
    is(CHECKLIST_volumes, FINDING_LOOK, "99,000 rows in 2 tables, 90,000 in the largest, items; 0 never");
    tables[1].rows = 10000;
    is(CHECKLIST_volumes, FINDING_OK, "100,000 rows");
    tables[1].rows = -1;
    tables[0].rows = 100000;
    is(CHECKLIST_volumes, FINDING_LOOK, "1 never analyzed");
    facts.has_database = facts.has_survey = false;
    is(CHECKLIST_volumes, FINDING_OK, "no database");
    facts.has_database = true;
    err_set(&facts.database_err, "nobody listens");
    is(CHECKLIST_volumes, FINDING_LOOK, "cannot be asked: nobody listens");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(hits_are_a_share_of_enough_lookups, setup, teardown),
        cmocka_unit_test_setup_teardown(queries_are_judged_by_their_percentiles, setup, teardown),
        cmocka_unit_test_setup_teardown(the_pool_is_as_busy_as_it_ever_was, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_is_short_or_grows, setup, teardown),
        cmocka_unit_test_setup_teardown(slow_queries_are_told_with_the_slowest, setup, teardown),
        cmocka_unit_test_setup_teardown(headroom_is_that_of_the_scarcest, setup, teardown),
        cmocka_unit_test_setup_teardown(volumes_are_those_of_analyzed_tables, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
