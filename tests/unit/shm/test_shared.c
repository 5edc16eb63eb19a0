#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/cache.h"
#include "shm/flight.h"
#include "shm/shared.h"
#include "shm/stats.h"
#include "shm/tags.h"
#include "tests/unit/shm/views.h"

static char folder[64], run_dir[96], stats_path[128];
static struct conf conf;
static struct shared shared;

static int setup_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/perfd-shared.XXXXXX");
    if (mkdtemp(folder) == NULL)
        return 1;
    snprintf(run_dir, sizeof run_dir, "%s/new/run", folder);
    snprintf(stats_path, sizeof stats_path, "%s/perfd.stats", run_dir);
    conf = (struct conf){.run_dir = run_dir, .workers = 2, .route_count = 3};
    conf.cache.size_bytes = 4 << 20;
    conf.cache.entries = 1000;
    return 0;
}

static int setup(void **state)
{
    struct err err;
    return setup_folder(state) != 0 || !shared_create(&shared, &conf, &err);
}

static int remove_folder(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static int teardown(void **state)
{
    shared_destroy(&shared);
    return remove_folder(state);
}

static struct flight_ticket join(uint64_t hash, int proc)
{
    const struct flight_key key = {hash, hash};
    return flight_join(shared.flights, key, proc, shared.tags, NULL, 0, true);
}

static bool woken(int fd)
{
    uint64_t times;
    return read(fd, &times, sizeof times) == sizeof times;
}

/* A process in row proc that owns the flight of key, begins `begun` writes, ends `ended` of them, and is killed. */
static void die_inside(int proc, uint64_t key, int begun, int ended)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        (void)join(key, proc);
        for (int i = 0; i < begun; i++)
            board_write_begin(shared.board, proc);
        for (int i = 0; i < ended; i++)
            board_write_end(shared.board, proc);
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}

static void who_died_inside_a_write_leaves_doubt(void **state)
{
    (void)state;
    int proc = board_take(shared.board, 0, 1);
    uint64_t born_seq = tags_now(shared.tags);
    die_inside(proc, 1, 2, 1);
    assert_true(tags_valid(shared.tags, born_seq, NULL, 0));
    assert_true(shared_reap(&shared, proc, 0));
    assert_false(tags_valid(shared.tags, born_seq, NULL, 0));
    assert_true(tags_valid(shared.tags, tags_now(shared.tags), NULL, 0));
    assert_int_not_equal(tags_redis_debt(shared.tags), 0);
    assert_int_equal(board_state(shared.board, proc), PROC_FREE);
}

static void who_died_between_writes_costs_no_entry(void **state)
{
    (void)state;
    int proc = board_take(shared.board, 0, 1);
    uint64_t born_seq = tags_now(shared.tags);
    die_inside(proc, 1, 2, 2);
    assert_false(shared_reap(&shared, proc, 0));
    assert_true(tags_valid(shared.tags, born_seq, NULL, 0));
    assert_int_equal(tags_redis_debt(shared.tags), 0);
    assert_int_equal(board_take(shared.board, 0, 2), proc);
}

static void its_flights_are_orphans_and_all_are_woken(void **state)
{
    (void)state;
    int status, proc = board_take(shared.board, 0, 1), other = board_take(shared.board, 1, 1);
    die_inside(proc, 42, 0, 0);
    struct flight_ticket waiter = join(42, other);
    assert_int_equal(waiter.role, FLIGHT_WAITER);
    assert_int_equal(flight_look(shared.flights, &waiter, &status), FLIGHT_RUNNING);
    (void)shared_reap(&shared, proc, 0);
    assert_int_equal(flight_look(shared.flights, &waiter, &status), FLIGHT_GONE);
    for (int i = 0; i < BOARD_ROWS; i++)
        assert_true(woken(shared.wake_fd[i]));
    assert_int_equal(join(42, other).role, FLIGHT_OWNER);
}

/* A process in the row puts an entry, borrows it, and is killed. */
static void die_reading(int proc, const struct cache_key *key)
{
    int status;
    const struct cache_rules rules = {0};
    pid_t child = fork();
    if (child == 0) {
        struct cache_entry e = {.body = slice_str("x"), .head = slice_str("a: b\r\n"), .fresh_until_us = 1000};
        cache_attach(shared.cache, proc);
        if (cache_put(shared.cache, key, &rules, &e, 0) && cache_get(shared.cache, key, &rules, 0, &e) == CACHE_FRESH)
            kill(getpid(), SIGKILL);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}

static void its_part_of_the_cache_is_given_back(void **state)
{
    (void)state;
    struct cache_audit a;
    int proc = board_take(shared.board, 0, 1);
    const struct cache_key key = cache_key(shared.cache, slice_str("a"));
    die_reading(proc, &key);
    cache_audit(shared.cache, &a);
    assert_int_equal(a.pins, 1);
    assert_int_equal(a.open, 1);
    (void)shared_reap(&shared, proc, 0);
    cache_audit(shared.cache, &a);
    assert_int_equal(a.pins, 0);
    assert_int_equal(a.open, 0);
    assert_int_equal(a.words, 1);
}

static void the_folder_and_a_row_for_each_route_are_made(void **state)
{
    (void)state;
    char name[] = "GET /0";
    struct snapshot *s = snapshot_of(stats_path);
    assert_int_equal(s->slots, conf.workers);
    for (int i = 0; i < conf.route_count; i++, name[5]++)
        assert_int_equal(stats_route_row(shared.stats, name), i + 1);
    snapshot_destroy(&s);
}

static void a_cache_beyond_the_memory_is_refused_with_both_figures(void **state)
{
    (void)state;
    struct err err = {""};
    struct stat file;
    struct rlimit before, small = {1 << 30, 0};
    conf.cache.size_bytes = INT64_C(1) << 50;
    /* So that a check that fails to refuse fails this test, and does not fill the machine's memory. */
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_false(shared_create(&shared, &conf, &err));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_non_null(strstr(err.text, "1073741824 MB"));
    assert_non_null(strstr(err.text, "left to take"));
    assert_int_equal(stat(stats_path, &file), -1);
}

static void a_run_dir_that_cannot_be_made_is_named(void **state)
{
    (void)state;
    struct err err = {""};
    conf.run_dir = "/dev/null/run";
    assert_false(shared_create(&shared, &conf, &err));
    assert_non_null(strstr(err.text, "/dev/null"));
    conf.run_dir = run_dir;
    assert_true(shared_create(&shared, &conf, &err));
    shared_destroy(&shared);
}

/* ---- from one master to the next ---- */

enum { REDIS = 77 };

/* Copies, as a process that was started with them has. */
static struct shared_handed hand(void)
{
    struct shared_handed handed;
    shared_hand(&shared, &handed);
    handed.control_fd = dup(handed.control_fd);
    handed.cache_fd = dup(handed.cache_fd);
    handed.stats_fd = dup(handed.stats_fd);
    for (int i = 0; i < BOARD_ROWS; i++)
        handed.wake_fd[i] = dup(handed.wake_fd[i]);
    return handed;
}

static void put(const struct shared *in, const char *text)
{
    const struct cache_key key = cache_key(in->cache, slice_str(text));
    const struct cache_rules rules = {0};
    struct cache_entry entry = {.body = slice_str("body"), .created_us = 1, .fresh_until_us = INT64_MAX, .status = 200};
    entry.born_seq = tags_now(in->tags);
    assert_true(cache_put(in->cache, &key, &rules, &entry, 1));
}

static bool has(struct cache *cache, const char *text)
{
    const struct cache_key key = cache_key(cache, slice_str(text));
    const struct cache_rules rules = {0};
    struct cache_entry entry;
    bool found = cache_get(cache, &key, &rules, 2, &entry) == CACHE_FRESH;
    if (found)
        cache_release(&entry);
    return found;
}

static void the_next_master_finds_what_this_one_has(void **state)
{
    (void)state;
    struct shared next;
    struct err err;
    char why[SHARED_WHY_BYTES];
    put(&shared, "kept");
    stats_add(shared.stats, 0, STAT_requests, 5);
    struct shared_handed handed = hand();
    assert_true(shared_attach(&next, &conf, &handed, 0, why, &err));
    assert_string_equal(why, "");
    assert_false(next.cold);
    assert_true(has(next.cache, "kept"));
    assert_int_equal(sum_in(stats_path, STAT_requests), 5);
    int proc = board_take(next.board, 0, 1);
    assert_int_equal(board_state(shared.board, proc), PROC_STARTING);
    (void)shared_reap(&next, proc, 0);
    assert_true(woken(shared.wake_fd[3]));
    assert_int_not_equal(next.master_fd, shared.master_fd);
    shared_destroy(&next);
}

static void another_size_of_the_cache_is_empty_and_shares_its_tags(void **state)
{
    (void)state;
    struct shared next;
    struct err err;
    char why[SHARED_WHY_BYTES];
    put(&shared, "kept");
    struct shared_handed handed = hand();
    conf.cache.size_bytes *= 2;
    assert_true(shared_attach(&next, &conf, &handed, 0, why, &err));
    assert_string_equal(why, "cache: its size is another");
    assert_false(next.cold || has(next.cache, "kept"));
    put(&next, "new");
    assert_true(has(next.cache, "new"));
    tags_raise_epoch(shared.tags);
    assert_false(has(next.cache, "new"));
    shared_destroy(&next);
}

/* Writes through the other perfd's workers raise nothing there. */
static void what_starts_cold_answers_nothing_until_it_is_warm(void **state)
{
    (void)state;
    struct shared next;
    struct err err;
    char why[SHARED_WHY_BYTES];
    put(&shared, "kept");
    struct shared_handed handed = hand();
    assert_true(shared_attach(&next, &conf, &handed, REDIS, why, &err));
    assert_string_equal(why, "control segment: it belongs to another Redis");
    assert_true(next.cold && tags_suspended(next.tags));
    assert_ptr_not_equal(next.tags, shared.tags);
    put(&next, "new");
    assert_false(has(next.cache, "new"));
    assert_int_equal(sum_in(stats_path, STAT_requests), 0);
    shared_warm(&next, 7000);
    assert_false(has(next.cache, "new"));
    put(&next, "new");
    assert_true(has(next.cache, "new"));
    assert_int_equal(tags_redis_debt(next.tags), 1);
    (void)shared_settle(&next, 7000);
    assert_false(has(next.cache, "new"));
    shared_destroy(&next);
    assert_true(has(shared.cache, "kept"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_died_inside_a_write_leaves_doubt, setup, teardown),
        cmocka_unit_test_setup_teardown(who_died_between_writes_costs_no_entry, setup, teardown),
        cmocka_unit_test_setup_teardown(its_flights_are_orphans_and_all_are_woken, setup, teardown),
        cmocka_unit_test_setup_teardown(its_part_of_the_cache_is_given_back, setup, teardown),
        cmocka_unit_test_setup_teardown(the_folder_and_a_row_for_each_route_are_made, setup, teardown),
        cmocka_unit_test_setup_teardown(the_next_master_finds_what_this_one_has, setup, teardown),
        cmocka_unit_test_setup_teardown(another_size_of_the_cache_is_empty_and_shares_its_tags, setup, teardown),
        cmocka_unit_test_setup_teardown(what_starts_cold_answers_nothing_until_it_is_warm, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cache_beyond_the_memory_is_refused_with_both_figures, setup_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(a_run_dir_that_cannot_be_made_is_named, setup_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
