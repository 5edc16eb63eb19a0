#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "worker/recall.h"

static char one, other, place;

static struct recalled meaning(char *route, const char *key, uint64_t hash)
{
    return (struct recalled){
        (struct route *)(void *)route, (const struct router_place *)(const void *)&place, {slice_str(key), hash}};
}

static void a_target_means_what_it_meant(void **state)
{
    (void)state;
    struct recall *recall = recall_create();
    struct recalled kept = meaning(&one, "key of 7", 77), is;
    assert_false(recall_find(recall, slice_str("/users/7"), &is));
    recall_keep(recall, slice_str("/users/7"), &kept);
    assert_true(recall_find(recall, slice_str("/users/7"), &is));
    assert_true(is.route == kept.route && is.place == kept.place && is.key.hash == 77);
    assert_true(slice_is(is.key.bytes, "key of 7") && is.key.bytes.at != kept.key.bytes.at);
    assert_false(recall_find(recall, slice_str("/users/8"), &is));
    assert_false(recall_find(recall, slice_str("/users/7?"), &is));
    assert_false(recall_find(recall, slice_of("/users/7", 7), &is));
    kept = meaning(&other, "", 78);
    recall_keep(recall, slice_str("/users/7"), &kept);
    assert_true(recall_find(recall, slice_str("/users/7"), &is));
    assert_true(is.route == kept.route && is.key.hash == 78 && is.key.bytes.len == 0);
    recall_destroy(&recall);
}

/* More than there is room for: some are forgotten, none is taken for another. */
static void many_targets_are_forgotten_and_never_mistaken(void **state)
{
    (void)state;
    enum { MANY = 20000 };
    struct recall *recall = recall_create();
    int found = 0;
    char target[64], key[64];
    for (int i = 0; i < MANY; i++) {
        snprintf(target, sizeof target, "/items/%d", i);
        snprintf(key, sizeof key, "key %d", i);
        const struct recalled kept = meaning(&one, key, (uint64_t)i);
        recall_keep(recall, slice_str(target), &kept);
    }
    for (int i = 0; i < MANY; i++) {
        struct recalled is;
        snprintf(target, sizeof target, "/items/%d", i);
        snprintf(key, sizeof key, "key %d", i);
        if (!recall_find(recall, slice_str(target), &is))
            continue;
        found++;
        assert_true(is.key.hash == (uint64_t)i && slice_is(is.key.bytes, key));
    }
    assert_in_range(found, 900, 1024);
    recall_destroy(&recall);
}

static void what_is_too_long_is_not_kept(void **state)
{
    (void)state;
    struct recall *recall = recall_create();
    char target[300];
    memset(target, 'x', sizeof target);
    for (size_t bytes = 1; bytes < sizeof target; bytes++) {
        const struct recalled kept = meaning(&one, "a key", bytes);
        struct recalled is;
        recall_keep(recall, slice_of(target, bytes), &kept);
        assert_true(recall_find(recall, slice_of(target, bytes), &is) == (bytes <= 211));
        assert_true(bytes > 211 || (is.key.hash == bytes && slice_is(is.key.bytes, "a key")));
    }
    recall_destroy(&recall);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_target_means_what_it_meant),
        cmocka_unit_test(many_targets_are_forgotten_and_never_mistaken),
        cmocka_unit_test(what_is_too_long_is_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
