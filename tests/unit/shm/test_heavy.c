#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/shm/views.h"

enum { KEYS = 3000, WRITERS = 3, SLOT = 0 };

static struct stats *stats;
static struct heavy_summary found, earlier;
static uint64_t came[KEYS], came_before[KEYS];
static char folder[64], path[96];

static int setup(void **state)
{
    struct err err;
    snprintf(folder, sizeof folder, "/tmp/perfd-heavy.XXXXXX");
    if (mkdtemp(folder) == NULL)
        return 1;
    snprintf(path, sizeof path, "%s/perfd.stats", folder);
    stats = stats_create(path, 3, 3, &err);
    memset(came, 0, sizeof came);
    srandom(1);
    (void)state;
    return stats == NULL;
}

static int teardown(void **state)
{
    (void)state;
    stats_close(&stats);
    unlink(path);
    return rmdir(folder);
}

static struct heavy *of(int slot)
{
    return stats_slot_section(stats, slot, SLOT_SECTION_keys);
}

static void name_of(int key, char name[HEAVY_TEXT_BYTES])
{
    snprintf(name, HEAVY_TEXT_BYTES, "/api/users/%d", key);
}

static void add(int slot, int proc, int key, uint64_t times)
{
    char name[HEAVY_TEXT_BYTES];
    name_of(key, name);
    heavy_add(of(slot), proc, key % 7, slice_str(name), times);
}

/* Few keys come often, many seldom. */
static int draw(void)
{
    double uniform = (double)random() / RAND_MAX;
    return (int)(pow(KEYS, uniform) - 1) % KEYS;
}

static void come(int slots, int requests)
{
    for (int i = 0; i < requests; i++) {
        int key = draw();
        uint64_t times = 1 + (uint64_t)random() % 4;
        came[key] += times;
        add((int)(random() % slots), 0, key, times);
    }
}

static int key_of(const struct heavy_item *item)
{
    int key = -1;
    assert_int_equal(sscanf(item->text, "/api/users/%d", &key), 1);
    assert_int_equal(item->row, key % 7);
    assert_false(item->cut);
    return key;
}

/* Each is bounded by its count and error, and what is not there by floor, which is also the most that an error is. */
static void assert_bounds(const struct heavy_item *items, int count, uint64_t floor, const uint64_t *before)
{
    bool there[KEYS] = {false};
    for (int i = 0; i < count; i++) {
        int key = key_of(&items[i]);
        uint64_t true_count = came[key] - before[key];
        assert_true(true_count <= items[i].count);
        assert_true(true_count >= items[i].count - items[i].error);
        assert_true(items[i].error <= floor);
        assert_false(there[key]);
        there[key] = true;
    }
    for (int key = 0; key < KEYS; key++)
        if (!there[key])
            assert_true(came[key] - before[key] <= floor);
}

static const uint64_t none[KEYS];

static void what_is_told_bounds_what_came(void **state)
{
    (void)state;
    for (int turn = 0; turn < 20; turn++) {
        come(1, 2000);
        heavy_read(of(SLOT), &found);
        assert_int_equal(found.count, HEAVY_ENTRIES);
        assert_bounds(found.items, found.count, found.floor, none);
        assert_true(found.floor <= found.total / HEAVY_ENTRIES);
    }
    /* What comes more often than floor is there: the ten first, which have a half of all. */
    for (int key = 0; key < 10; key++) {
        bool there = false;
        for (int i = 0; i < found.count; i++)
            there |= key_of(&found.items[i]) == key;
        assert_true(there);
    }
}

static void few_are_counted_exactly(void **state)
{
    (void)state;
    for (int i = 0; i < 5 * HEAVY_ENTRIES; i++)
        add(SLOT, 0, i % HEAVY_ENTRIES, 2);
    heavy_read(of(SLOT), &found);
    assert_int_equal(found.count, HEAVY_ENTRIES);
    assert_int_equal(found.floor, 0);
    assert_int_equal(found.total, 10 * HEAVY_ENTRIES);
    for (int i = 0; i < found.count; i++) {
        assert_int_equal(found.items[i].count, 10);
        assert_int_equal(found.items[i].error, 0);
    }
}

static void a_window_bounds_what_came_in_it(void **state)
{
    (void)state;
    for (int turn = 0; turn < 10; turn++) {
        come(1, 1500);
        heavy_read(of(SLOT), &earlier);
        memcpy(came_before, came, sizeof came);
        uint64_t total = earlier.total;
        come(1, 500);
        heavy_read(of(SLOT), &found);
        assert_true(found.total > total);
        heavy_subtract(&found, &earlier);
        assert_bounds(found.items, found.count, found.floor, came_before);
    }
}

/* Not counted exactly: it came into a full summary. */
static int key_with_error(const struct heavy_summary *s)
{
    for (int i = 0; i < s->count; i++)
        if (s->items[i].error > 0)
            return key_of(&s->items[i]);
    fail();
    return -1;
}

/* What is asked for most is told as it came: its entry stayed. */
static void what_stays_is_exact_in_a_window(void **state)
{
    (void)state;
    come(1, 3000);
    heavy_read(of(SLOT), &earlier);
    int key = key_with_error(&earlier);
    for (int i = 0; i < 50; i++)
        add(SLOT, 0, key, 16);
    heavy_read(of(SLOT), &found);
    heavy_subtract(&found, &earlier);
    for (int i = 0; i < found.count; i++) {
        bool mine = key_of(&found.items[i]) == key;
        assert_int_equal(found.items[i].count - found.items[i].error, mine ? 50 * 16 : 0);
        assert_true(!mine || found.items[i].error == 0);
    }
}

static void several_workers_are_one(void **state)
{
    (void)state;
    come(3, 20000);
    struct snapshot *s = snapshot_of(path);
    struct heavy_list *list = snapshot_heavy(s, SLOT_SECTION_keys), *others = snapshot_heavy(s, SLOT_SECTION_consumers);
    uint64_t floors = 0;
    for (int slot = 0; slot < 3; slot++)
        floors += s->heavy[SLOT_SECTION_keys][slot - STATS_KEEPER].floor;
    assert_bounds(list->items, list->count, floors, none);
    for (int i = 1; i < list->count; i++)
        assert_true(list->items[i - 1].count - list->items[i - 1].error >= list->items[i].count - list->items[i].error);
    assert_int_equal(key_of(&list->items[0]), 0);
    assert_int_equal(others->count, 0);
    assert_int_equal(others->total, 0);
    free(list);
    free(others);
    snapshot_destroy(&s);
}

static void a_snapshots_window_has_what_came_in_it(void **state)
{
    struct err err;
    (void)state;
    struct stats_view *view = stats_view_open(path, &err);
    assert_non_null(view);
    come(3, 10000);
    struct snapshot *before = snapshot_take(view, 1000);
    for (int i = 0; i < 40; i++)
        add(i % 3, 0, 1, 10);
    struct snapshot *after = snapshot_take(view, 2000), *window = snapshot_between(before, after, &err);
    struct heavy_list *list = snapshot_heavy(window, SLOT_SECTION_keys);
    assert_int_equal(key_of(&list->items[0]), 1);
    assert_int_equal(list->items[0].count, 400);
    assert_int_equal(list->items[0].error, 0);
    assert_int_equal(list->total, 400);
    free(list);
    snapshot_destroy(&before);
    snapshot_destroy(&after);
    snapshot_destroy(&window);
    stats_view_close(&view);
}

/* Two that begin alike are two. */
static void a_long_text_is_cut(void **state)
{
    char text[300];
    (void)state;
    memset(text, 'x', sizeof text);
    heavy_add(of(SLOT), 0, 1, slice_of(text, HEAVY_TEXT_BYTES - 1), 3);
    heavy_add(of(SLOT), 0, 1, slice_of(text, HEAVY_TEXT_BYTES), 2);
    heavy_add(of(SLOT), 0, 1, slice_of(text, sizeof text), 1);
    heavy_add(of(SLOT), 0, 2, slice_of(text, 0), 1);
    heavy_read(of(SLOT), &found);
    assert_int_equal(found.count, 4);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(strlen(found.items[i].text), HEAVY_TEXT_BYTES - 1);
        assert_int_equal(found.items[i].cut, i > 0);
        assert_int_equal(found.items[i].count, 3 - i);
    }
    assert_string_equal(found.items[3].text, "");
}

/* ---- deaths ---- */

/* Each key's text and row tell which it is, and most entries change all the time. */
static pid_t writer(int proc)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves it behind */
    for (int i = proc;; i += WRITERS)
        add(SLOT, proc, (int)((uint32_t)i * 2654435761u % KEYS), 1);
}

static void read_for(int turns)
{
    for (int i = 0; i < turns; i++) {
        heavy_read(of(SLOT), &found);
        for (int j = 0; j < found.count; j++) {
            key_of(&found.items[j]);
            assert_true(found.items[j].error <= found.items[j].count);
        }
    }
}

/* Killed wherever they are: nobody sees half an entry, and all entries are of use again when they were reaped. */
static void writers_are_killed_in_the_middle(void **state)
{
    pid_t pids[WRITERS];
    (void)state;
    for (int i = 0; i < WRITERS; i++)
        pids[i] = writer(i);
    for (int turn = 0; turn < 100; turn++) {
        int proc = turn % WRITERS;
        read_for(200);
        kill(pids[proc], SIGKILL);
        assert_int_equal(waitpid(pids[proc], NULL, 0), pids[proc]);
        heavy_reap(stats, proc);
        pids[proc] = writer(proc);
    }
    for (int i = 0; i < WRITERS; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
        heavy_reap(stats, i);
    }
    for (int key = 0; key < HEAVY_ENTRIES; key++)
        add(SLOT, 0, key, 1000000);
    heavy_read(of(SLOT), &found);
    assert_int_equal(found.count, HEAVY_ENTRIES);
    read_for(1);
}

/* As a writer of row 5 leaves the first entry that dies over it. */
static void an_entry_whose_writer_died_is_no_entry_until_it_is_reaped(void **state)
{
    (void)state;
    for (int key = 0; key < HEAVY_ENTRIES; key++)
        add(SLOT, 0, key, 10);
    uint64_t *word = (uint64_t *)(void *)((char *)of(SLOT) + 64 + 3 * HEAVY_ENTRIES * sizeof(uint64_t));
    *word |= 5 + 1;
    heavy_read(of(SLOT), &found);
    assert_int_equal(found.count, HEAVY_ENTRIES - 1);
    heavy_reap(stats, 4);
    assert_int_equal(*word % 256, 5 + 1); /* of another row, which may be at it */
    heavy_read(of(SLOT), &found);
    assert_int_equal(found.count, HEAVY_ENTRIES - 1);
    heavy_reap(stats, 5);
    add(SLOT, 0, KEYS - 1, 1);
    heavy_read(of(SLOT), &found);
    assert_int_equal(found.count, HEAVY_ENTRIES);
    assert_int_equal(found.floor, 10);
    assert_int_equal(found.items[0].count, 11); /* it may have come before, and been lost with the entry */
    assert_int_equal(found.items[0].error, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_told_bounds_what_came, setup, teardown),
        cmocka_unit_test_setup_teardown(few_are_counted_exactly, setup, teardown),
        cmocka_unit_test_setup_teardown(a_window_bounds_what_came_in_it, setup, teardown),
        cmocka_unit_test_setup_teardown(what_stays_is_exact_in_a_window, setup, teardown),
        cmocka_unit_test_setup_teardown(several_workers_are_one, setup, teardown),
        cmocka_unit_test_setup_teardown(a_snapshots_window_has_what_came_in_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_long_text_is_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(writers_are_killed_in_the_middle, setup, teardown),
        cmocka_unit_test_setup_teardown(an_entry_whose_writer_died_is_no_entry_until_it_is_reaped, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
