#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/control.h"

static struct control control;
static struct tags *tags;

static int set_up(void **state)
{
    struct err err;
    (void)state;
    if (!control_create(&control, &err))
        return -1;
    tags = control.tags;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    control_destroy(&control);
    return 0;
}

static void a_raise_drops_what_was_born_before_it_and_nothing_else(void **state)
{
    (void)state;
    uint32_t user = tags_slot(slice_str("user:1")), posts = tags_slot(slice_str("posts"));
    assert_int_not_equal(user, posts);
    uint64_t before = tags_now(tags);
    tags_raise(tags, &user, 1);
    uint64_t after = tags_now(tags);
    uint32_t both[] = {posts, user};
    assert_false(tags_valid(tags, before, &user, 1));
    assert_false(tags_valid(tags, before, both, 2));
    assert_true(tags_valid(tags, before, &posts, 1));
    assert_true(tags_valid(tags, after, both, 2));
}

static void the_epoch_drops_everything_even_without_tags(void **state)
{
    (void)state;
    uint64_t before = tags_now(tags);
    tags_raise_epoch(tags);
    assert_false(tags_valid(tags, before, NULL, 0));
    assert_true(tags_valid(tags, tags_now(tags), NULL, 0));
}

static void what_was_heard_is_never_unheard(void **state)
{
    (void)state;
    assert_int_equal(tags_heard_us(tags), 0);
    tags_set_heard(tags, 7000);
    tags_set_heard(tags, 5000);
    assert_int_equal(tags_heard_us(tags), 7000);
}

static void a_tag_that_reaches_the_same_slot_drops_too_much_and_never_too_little(void **state)
{
    (void)state;
    enum { SLOTS = 1 << 20 };
    const uint32_t slot = 5, beyond = 5 + SLOTS;
    for (int i = 0; i < 1000; i++)
        assert_true(tags_slot(slice_of((const char *)&i, sizeof i)) < SLOTS);
    uint64_t before = tags_now(tags);
    tags_raise(tags, &beyond, 1);
    assert_false(tags_valid(tags, before, &slot, 1));
}

static void a_neighbour_of_a_raised_slot_stays(void **state)
{
    (void)state;
    const uint32_t first = 64, second = 65, last = 127;
    uint64_t before = tags_now(tags);
    tags_raise(tags, &second, 1);
    assert_true(tags_valid(tags, before, &first, 1));
    assert_true(tags_valid(tags, before, &last, 1));
    tags_raise(tags, &first, 1);
    assert_false(tags_valid(tags, before, &second, 1));
    assert_false(tags_valid(tags, before, &first, 1));
    assert_true(tags_valid(tags, before, &last, 1));
}

static void one_raise_has_one_number_for_all_its_tags(void **state)
{
    (void)state;
    const uint32_t slots[] = {1, 2, 3};
    uint64_t before = tags_now(tags);
    tags_raise(tags, slots, 3);
    assert_int_equal(tags_now(tags), before + 1);
    for (int i = 0; i < 3; i++) {
        assert_false(tags_valid(tags, before, &slots[i], 1));
        assert_true(tags_valid(tags, before + 1, &slots[i], 1));
    }
}

static void raises_of_other_processes_are_all_seen(void **state)
{
    (void)state;
    enum { PROCESSES = 4, RAISES = 50000 };
    uint32_t slot = 7;
    for (int i = 0; i < PROCESSES; i++) {
        if (fork() == 0) {
            for (int k = 0; k < RAISES; k++) {
                uint64_t born = tags_now(tags);
                tags_raise(tags, &slot, 1);
                if (tags_valid(tags, born, &slot, 1))
                    _exit(1);
            }
            _exit(0);
        }
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    assert_int_equal(tags_now(tags), PROCESSES * RAISES);
    assert_true(tags_valid(tags, PROCESSES * RAISES, &slot, 1));
    assert_false(tags_valid(tags, PROCESSES * RAISES - 1, &slot, 1));
}

static void suspended_nothing_is_valid_until_it_is_resumed(void **state)
{
    (void)state;
    const uint32_t slot = 3;
    tags_suspend(tags);
    assert_true(tags_suspended(tags));
    uint64_t born = tags_now(tags);
    assert_false(tags_valid(tags, born, NULL, 0));
    tags_raise_epoch(tags);
    tags_raise(tags, &slot, 1);
    born = tags_now(tags);
    assert_true(tags_suspended(tags));
    assert_false(tags_valid(tags, born, &slot, 1));
    tags_resume(tags);
    assert_false(tags_suspended(tags));
    assert_false(tags_valid(tags, born, NULL, 0)); /* what was born meanwhile stays invalid */
    assert_true(tags_valid(tags, tags_now(tags), &slot, 1));
}

static void a_doubt_is_ended_once_and_not_before_the_latest(void **state)
{
    (void)state;
    tags_set_doubt(tags, 7000);
    tags_set_doubt(tags, 5000);
    assert_int_equal(tags_doubt_us(tags), 7000);
    assert_false(tags_end_doubt(tags, 5000));
    assert_true(tags_end_doubt(tags, 7000));
    assert_false(tags_end_doubt(tags, 7000));
    assert_int_equal(tags_doubt_us(tags), 0);
}

enum { HERE = 7, THERE = 9 };

static void pay(uint32_t server, uint32_t debt)
{
    tags_redis_paid(tags, tags_redis_receipt(tags), server, debt);
}

static void a_server_that_was_never_paid_is_not_clean(void **state)
{
    (void)state;
    assert_int_equal(tags_redis_debt(tags), 0);
    assert_false(tags_redis_clean(tags, HERE));
    assert_false(tags_redis_is_paid(tags));
    pay(HERE, tags_redis_debt(tags));
    assert_true(tags_redis_clean(tags, HERE));
    assert_true(tags_redis_is_paid(tags));
}

static void a_debt_that_grew_meanwhile_is_not_paid(void **state)
{
    (void)state;
    tags_owe_redis(tags);
    uint32_t seen = tags_redis_debt(tags);
    tags_owe_redis(tags);
    pay(HERE, seen);
    assert_false(tags_redis_clean(tags, HERE));
    assert_false(tags_redis_is_paid(tags));
    pay(HERE, tags_redis_debt(tags));
    assert_true(tags_redis_clean(tags, HERE));
}

static void a_payment_of_long_ago_clears_nothing_newer(void **state)
{
    (void)state;
    tags_owe_redis(tags);
    uint32_t slow = tags_redis_debt(tags);
    pay(HERE, tags_redis_debt(tags));
    tags_owe_redis(tags);
    pay(HERE, slow);
    assert_false(tags_redis_clean(tags, HERE));
}

static void what_one_server_was_told_another_one_is_owed(void **state)
{
    (void)state;
    pay(HERE, tags_redis_debt(tags));
    assert_false(tags_redis_clean(tags, THERE));
    pay(THERE, tags_redis_debt(tags));
    assert_true(tags_redis_clean(tags, THERE));
    assert_false(tags_redis_clean(tags, HERE));
    assert_int_equal(tags_redis_server(tags), THERE);
}

static void a_late_payment_does_not_bring_the_old_server_back(void **state)
{
    (void)state;
    uint64_t receipt = tags_redis_receipt(tags);
    pay(THERE, tags_redis_debt(tags));
    tags_redis_paid(tags, receipt, HERE, tags_redis_debt(tags));
    assert_false(tags_redis_clean(tags, HERE));
    assert_true(tags_redis_clean(tags, THERE));
}

static void who_is_relied_on_and_who_speaks_stay(void **state)
{
    (void)state;
    uint64_t sender = tags_sender(tags);
    assert_true(sender != 0);
    assert_true(tags_sender(tags) == sender);
    assert_false(tags_relied(tags, TAGS_DATABASE) || tags_relied(tags, TAGS_REDIS));
    tags_rely(tags, TAGS_REDIS);
    assert_true(tags_relied(tags, TAGS_REDIS));
    assert_false(tags_relied(tags, TAGS_DATABASE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_raise_drops_what_was_born_before_it_and_nothing_else, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_epoch_drops_everything_even_without_tags, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_heard_is_never_unheard, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_tag_that_reaches_the_same_slot_drops_too_much_and_never_too_little, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_neighbour_of_a_raised_slot_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_raise_has_one_number_for_all_its_tags, set_up, tear_down),
        cmocka_unit_test_setup_teardown(suspended_nothing_is_valid_until_it_is_resumed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_doubt_is_ended_once_and_not_before_the_latest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(raises_of_other_processes_are_all_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_server_that_was_never_paid_is_not_clean, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_debt_that_grew_meanwhile_is_not_paid, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_one_server_was_told_another_one_is_owed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_late_payment_does_not_bring_the_old_server_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_is_relied_on_and_who_speaks_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_payment_of_long_ago_clears_nothing_newer, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
