#include "shm/flight.h"
#include "tests/unit/shm/caches.h"
#include "tests/unit/shm/meet.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CHILDREN = 4, SMALL_BYTES = 200, PATIENCE_MS = 5000 };

/* ---- processes: the parent has row 0, a child another one ---- */

static pid_t child_of(int row)
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        cache_attach(cache, row);
    }
    return pid;
}

static void pause_us(int64_t us)
{
    nanosleep(&(struct timespec){us / US_PER_S, us % US_PER_S * 1000}, NULL);
}

static void ends_well(pid_t child, int row)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    cache_reap(cache, row);
}

static void is_killed(pid_t child)
{
    int status;
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* A word from one process to another. */
static int said[2];

static void say(void)
{
    CHECK(write(said[1], "", 1) == 1);
}

static void wait_for_word(void)
{
    char byte;
    struct pollfd fd = {.fd = said[0], .events = POLLIN};
    assert_int_equal(poll(&fd, 1, PATIENCE_MS), 1);
    assert_int_equal(read(said[0], &byte, 1), 1);
}

static int set_up_words(void **state)
{
    return pipe(said) != 0 ? -1 : set_up(state);
}

static int tear_down_words(void **state)
{
    close(said[0]);
    close(said[1]);
    return tear_down(state);
}

#define with_words(test) cmocka_unit_test_setup_teardown(test, set_up_words, tear_down_words)

static void everything_is_free_in_the_end(void)
{
    sound();
    let_go_of_everything();
    struct cache_audit a = at_rest();
    assert_int_equal(a.limbo, 0);
    assert_int_equal(a.free, usage().segments);
}

/* ---- one child ---- */

static void what_one_process_puts_another_has(void **state)
{
    (void)state;
    pid_t child = child_of(1);
    if (child == 0)
        _exit(put_number(1, SMALL_BYTES) && put_number(2, 60000) ? 0 : 1);
    ends_well(child, 1);
    assert_true(has_number(1, SMALL_BYTES));
    assert_true(has_number(2, 60000));
}

static void what_the_dead_had_put_is_had_and_its_segment_is_sealed(void **state)
{
    (void)state;
    pid_t child = child_of(1);
    if (child == 0) {
        if (put_number(1, SMALL_BYTES))
            say();
        pause();
    }
    wait_for_word();
    is_killed(child);
    assert_true(has_number(1, SMALL_BYTES));
    assert_int_equal(sound().open, 1);
    cache_reap(cache, 1);
    assert_int_equal(at_rest().open, 0);
    assert_int_equal(at_rest().sealed, 1);
    assert_int_equal(usage().recovered, 1);
    assert_true(has_number(1, SMALL_BYTES));
}

static void what_the_dead_held_is_free_after_the_reap_and_not_before(void **state)
{
    (void)state;
    struct cache_entry e;
    assert_true(put_number(1, SMALL_BYTES));
    pid_t child = child_of(1);
    if (child == 0) {
        if (borrow(name_of(1), &e) == CACHE_FRESH)
            say();
        pause();
    }
    wait_for_word();
    is_killed(child);
    let_go_of_everything();
    assert_int_equal(sound().limbo, 1);
    assert_int_equal(sound().pins, 1);
    cache_reap(cache, 1);
    (void)cache_keep(cache, now_us);
    assert_int_equal(at_rest().limbo, 0);
    assert_int_equal(usage().segments_free, usage().segments);
}

static void what_a_process_holds_stays_whatever_the_others_do(void **state)
{
    (void)state;
    struct cache_entry small, large;
    assert_true(put_number(1, SMALL_BYTES));
    assert_true(put_number(2, 60000));
    pid_t child = child_of(1);
    if (child == 0) {
        bool held = borrow(name_of(1), &small) == CACHE_FRESH && borrow(name_of(2), &large) == CACHE_FRESH;
        say();
        raise(SIGSTOP);
        held = held && slice_eq(small.body, body_of(1, SMALL_BYTES)) && slice_eq(large.body, body_of(2, 60000));
        cache_release(&small);
        cache_release(&large);
        _exit(held ? 0 : 1);
    }
    wait_for_word();
    let_go_of_everything();
    for (int i = 0; i < 3 * ENTRIES; i++)
        assert_true(put_number(10 + i, 3000));
    int status;
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    if (!WIFSTOPPED(status))
        fail_msg("the child ended with status %#x", (unsigned)status);
    kill(child, SIGCONT);
    ends_well(child, 1);
    everything_is_free_in_the_end();
}

/* Wherever it stopped. */
static void a_stopped_process_makes_nobody_wait(void **state)
{
    (void)state;
    enum { ROUNDS = 30, WORK = 100 };
    for (int round = 0; round < ROUNDS; round++) {
        pid_t child = child_of(1);
        if (child == 0)
            for (int i = 0;; i++)
                if (!has_number(i % 50, 30000 * (size_t)(i % 2) + 100))
                    put_number(i % 50, 30000 * (size_t)(i % 2) + 100);
        pause_us(500 + round * 100);
        int status;
        kill(child, SIGSTOP);
        assert_int_equal(waitpid(child, &status, WUNTRACED), child);
        if (!WIFSTOPPED(status))
            fail_msg("the child ended with status %#x", (unsigned)status);
        int64_t start_us = clock_mono_us();
        for (int i = 0; i < WORK; i++) {
            assert_true(put_number(100 + i, 8000));
            assert_true(has_number(100 + i, 8000));
        }
        assert_true(clock_mono_us() - start_us < 10 * US_PER_S); /* the machine may be busy */
        sound();
        is_killed(child);
        cache_reap(cache, 1);
    }
    everything_is_free_in_the_end();
}

/* made_us: apart, since of two that are made in the same microsecond both may stay. */
static void put_new_keys(_Atomic uint64_t *arrived, const char *body, int64_t made_us)
{
    enum { ROUNDS = 20000, FOR_MS = 300, FEW = 10 };
    const int64_t end_us = clock_mono_us() + FOR_MS * US_PER_MS;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        meet(arrived, round);
        struct cache_entry e = text(body);
        e.created_us += made_us;
        put(name_of((int)round), e);
        if (round % FEW == 0 && clock_mono_us() > end_us)
            break;
    }
    *arrived = UINT64_MAX / 2; /* the other one is free to go on alone */
}

static void a_key_that_two_put_at_once_has_one_value(void **state)
{
    (void)state;
    pid_t children[2];
    _Atomic uint64_t *arrived = mmap(NULL, sizeof *arrived, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    make(2 * SIZE, 40000);
    for (int i = 0; i < 2; i++) {
        children[i] = child_of(1 + i);
        if (children[i] == 0) {
            put_new_keys(arrived, i == 0 ? "one" : "two", i);
            _exit(0);
        }
    }
    ends_well(children[0], 1);
    ends_well(children[1], 2);
    assert_int_equal(sound().duplicates, 0);
    assert_true(sound().words > 0);
    munmap(arrived, sizeof *arrived);
}

/* ---- a storm: writers commit a new version, raise its tag and acknowledge it; readers check every byte, and that what
 * was acknowledged before they asked is never older. One of them is killed every few milliseconds. ---- */

enum {
    KEYS = 400,
    STORM_MS = 1000,
    STORM_KILLS = 15,
    HOLD_SHARE = 16,
    WRITE_SHARE = 16,
    LARGE_SHARE = 16,
    MOST_BYTES = 60000
};

static struct storm {
    _Atomic uint64_t committed[KEYS], acknowledged[KEYS];
    _Atomic uint64_t hits, stored, waited;
    _Atomic uint64_t mixed, outdated, forgotten; /* each must stay 0 */
} * storm;
static int wake_fd[BOARD_ROWS];
static uint64_t dice;

static uint64_t throw(uint64_t sides)
{
    dice = mixed(dice + 1);
    return (dice >> 16) % sides;
}

static void raise_to(_Atomic uint64_t *number, uint64_t to)
{
    uint64_t old = *number;
    while (old < to && !atomic_compare_exchange_weak(number, &old, to)) {
    }
}

static uint32_t tag_of(int key)
{
    return tags_slot(slice_str(name_of(key)));
}

/* version, key, then bytes of both. */
static struct slice version_body(int key, uint64_t version)
{
    uint64_t number = version * KEYS + (uint64_t)key, chance = mixed(number + 17);
    size_t len = chance % LARGE_SHARE == 0 ? 17000 + chance / LARGE_SHARE % 43000 : 16 + chance % 3000;
    struct slice body = body_of(number, len);
    memcpy((char *)(uintptr_t)body.at, &number, sizeof number);
    return body;
}

/* 0: wrong bytes. */
static uint64_t version_of(int key, struct slice body)
{
    uint64_t number;
    if (body.len < sizeof number)
        return 0;
    memcpy(&number, body.at, sizeof number);
    uint64_t version = number / KEYS;
    return number % KEYS == (uint64_t)key && slice_eq(body, version_body(key, version)) ? version : 0;
}

struct borrowed {
    struct cache_entry entry;
    int key;
    bool is;
};

static void give_back(struct borrowed *b)
{
    if (b->is && version_of(b->key, b->entry.body) == 0)
        storm->mixed++;
    if (b->is)
        cache_release(&b->entry);
    b->is = false;
}

/* True: answered. */
static bool storm_get(int key, uint64_t least_version, uint64_t least_born_seq)
{
    static struct borrowed kept;
    struct borrowed b = {.key = key};
    if (borrow(name_of(key), &b.entry) == CACHE_MISS)
        return false;
    b.is = true;
    uint64_t version = version_of(key, b.entry.body);
    bool fits = b.entry.born_seq >= least_born_seq;
    storm->hits++;
    storm->mixed += version == 0;
    storm->outdated += version != 0 && version < least_version;
    if (b.entry.gzip.len == 0 && throw(8) == 0)
        cache_want_gzip(cache, &b.entry);
    if (throw(HOLD_SHARE) == 0) {
        give_back(&kept);
        kept = b;
    } else {
        give_back(&b);
    }
    if (kept.is && cache_is_waited_for(cache, &kept.entry))
        give_back(&kept);
    return fits;
}

static void storm_put(int key, uint64_t born_seq)
{
    struct cache_entry e = answer(version_body(key, storm->committed[key]));
    e.born_seq = born_seq;
    e.tag_slots[e.tag_count++] = tag_of(key);
    storm->stored += put(name_of(key), e);
}

static void storm_write(int key)
{
    uint64_t version = ++storm->committed[key];
    uint32_t tag = tag_of(key);
    tags_raise(control.tags, &tag, 1);
    raise_to(&storm->acknowledged[key], version);
}

static void wait_for_flight(struct flight_ticket *t, int row)
{
    int status;
    uint64_t times;
    struct pollfd fd = {.fd = wake_fd[row], .events = POLLIN};
    storm->waited++;
    while (flight_look(control.flights, t, &status) == FLIGHT_RUNNING) {
        if (poll(&fd, 1, PATIENCE_MS) != 1) {
            storm->forgotten++;
            break;
        }
        CHECK(read(wake_fd[row], &times, sizeof times) == sizeof times);
    }
    flight_leave(control.flights, t, row);
}

static void storm_read(int key, int row)
{
    uint64_t least_version = storm->acknowledged[key], born_seq = 0;
    uint32_t tag = tag_of(key);
    struct cache_key k = cache_key(cache, slice_str(name_of(key)));
    const struct flight_key flight = {k.hash, cache_key_check(cache, &k)};
    while (!storm_get(key, least_version, born_seq)) {
        struct flight_ticket t = flight_join(control.flights, flight, row, control.tags, &tag, 1, true);
        switch (t.role) {
        case FLIGHT_OWNER:
            if (!storm_get(key, least_version, 0))
                storm_put(key, t.born_seq);
            flight_finish(control.flights, &t, row, FLIGHT_VALUE, 0, wake_fd);
            return;
        case FLIGHT_WAITER:
            wait_for_flight(&t, row);
            born_seq = t.born_seq;
            break;
        case FLIGHT_UNSHARED:
            storm_put(key, tags_now(control.tags));
            return;
        }
    }
}

static pid_t storm_child(int row, uint64_t seed)
{
    pid_t child = child_of(row);
    if (child != 0)
        return child;
    dice = seed;
    for (;; now_us++) {
        int key = (int)(throw(2) == 0 ? throw(KEYS / 10) : throw(KEYS));
        if (throw(WRITE_SHARE) == 0)
            storm_write(key);
        else
            storm_read(key, row);
    }
}

/* As the master does. */
static void bury(pid_t child, int row)
{
    const uint64_t one = 1;
    is_killed(child);
    cache_reap(cache, row);
    flight_reap(control.flights, row);
    for (int i = 1; i <= CHILDREN; i++)
        assert_int_equal(write(wake_fd[i], &one, sizeof one), sizeof one);
}

static void storm_begins(pid_t children[static CHILDREN + 1])
{
    storm = mmap(NULL, sizeof *storm, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(storm != MAP_FAILED);
    for (int key = 0; key < KEYS; key++)
        storm->committed[key] = storm->acknowledged[key] = 1;
    for (int row = 1; row <= CHILDREN; row++) {
        wake_fd[row] = eventfd(0, EFD_CLOEXEC);
        children[row] = storm_child(row, (uint64_t)row);
    }
}

static void storm_ends(const pid_t children[static CHILDREN + 1])
{
    for (int row = 1; row <= CHILDREN; row++)
        bury(children[row], row);
    for (int row = 1; row <= CHILDREN; row++)
        close(wake_fd[row]);
}

static void nobody_flies(void)
{
    for (uint64_t hash = 0; hash < 4096; hash++) {
        const struct flight_key key = {hash, hash};
        assert_int_equal(flight_join(control.flights, key, 0, control.tags, NULL, 0, true).role, FLIGHT_OWNER);
    }
}

static void whoever_is_killed_no_byte_is_wrong_no_value_old_and_nothing_lost(void **state)
{
    (void)state;
    pid_t children[CHILDREN + 1];
    int kills = 0;
    storm_begins(children);
    const int64_t end_us = clock_mono_us() + STORM_MS * US_PER_MS;
    for (; clock_mono_us() < end_us || kills < STORM_KILLS; kills++) {
        pause_us((int64_t) throw(8000));
        (void)cache_keep(cache, now_us++);
        int row = 1 + (int) throw(CHILDREN);
        bury(children[row], row);
        children[row] = storm_child(row, mixed((uint64_t)kills));
    }
    storm_ends(children);
    print_message("             %d killed, %lu hits, %lu stored, %lu waited\n", kills, storm->hits, storm->stored,
                  storm->waited);
    assert_int_equal(storm->mixed, 0);
    assert_int_equal(storm->outdated, 0);
    assert_int_equal(storm->forgotten, 0);
    assert_true(storm->hits > 0 && storm->stored > 0);
    struct cache_audit a = sound();
    assert_int_equal(a.pins, 0);
    assert_int_equal(a.reclaim, 0);
    nobody_flies();
    everything_is_free_in_the_end();
    munmap(storm, sizeof *storm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_words(what_one_process_puts_another_has),
        with_words(what_the_dead_had_put_is_had_and_its_segment_is_sealed),
        with_words(what_the_dead_held_is_free_after_the_reap_and_not_before),
        with_words(what_a_process_holds_stays_whatever_the_others_do),
        with_words(a_stopped_process_makes_nobody_wait),
        with_words(a_key_that_two_put_at_once_has_one_value),
        with_words(whoever_is_killed_no_byte_is_wrong_no_value_old_and_nothing_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
