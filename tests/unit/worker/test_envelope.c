#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "common/clock.h"
#include "worker/envelope.h"

static const uint32_t tags[] = {7, 9};
static const struct redis_key key = {{"the whole key", 13}, tags, 2};
static const struct redis_versions versions = {true, {11, 22, 33}};

/* Written at 100 s of the monotonic and 1,000 s of the wall clock, fresh for 60 s. */
static struct buf written(void)
{
    struct buf out = {0};
    struct cache_entry entry = {.body = slice_str("{\"a\":1}"),
                                .created_us = 90 * US_PER_S,
                                .fresh_until_us = 160 * US_PER_S,
                                .status = 200,
                                .head = slice_str("Content-Type: application/json\r\n"),
                                .etag = "\"e\""};
    envelope_write(&out, &key, &versions, &entry, 100 * US_PER_S, 1000 * US_PER_S);
    return out;
}

/* Another machine, whose monotonic clock began elsewhere. */
static bool reads(struct slice bytes, const struct redis_key *k, const struct redis_versions *v, int64_t wall_s,
                  struct cache_entry *entry)
{
    return envelope_read(bytes, k, v, entry, 5000 * US_PER_S, wall_s * US_PER_S);
}

static void what_was_written_is_read_on_another_machine(void **state)
{
    (void)state;
    struct buf bytes = written();
    struct cache_entry entry;
    assert_true(reads(buf_slice(&bytes), &key, &versions, 1010, &entry));
    assert_true(slice_is(entry.body, "{\"a\":1}"));
    assert_int_equal(entry.status, 200);
    assert_string_equal(entry.etag, "\"e\"");
    assert_true(slice_is(entry.head, "Content-Type: application/json\r\n") && !entry.own_head);
    assert_int_equal(entry.created_us, 4980 * US_PER_S);
    assert_int_equal(entry.fresh_until_us, 5050 * US_PER_S);
    assert_int_equal(entry.tag_count, 2);
    assert_int_equal(entry.tag_slots[1], 9);
    buf_deinit(&bytes);
}

static void a_head_of_its_own_comes_back_as_such(void **state)
{
    (void)state;
    static char room[CACHE_OWN_HEAD_BYTES + 1];
    memset(room, 'h', sizeof room);
    for (size_t len = CACHE_OWN_HEAD_BYTES; len <= sizeof room; len++) {
        struct buf bytes = {0};
        struct cache_entry entry = {.head = slice_of(room, len),
                                    .own_head = true,
                                    .status = 200,
                                    .fresh_until_us = 160 * US_PER_S},
                           back;
        envelope_write(&bytes, &key, &versions, &entry, 100 * US_PER_S, 1000 * US_PER_S);
        assert_int_equal(reads(buf_slice(&bytes), &key, &versions, 1010, &back), len == CACHE_OWN_HEAD_BYTES);
        assert_true(len > CACHE_OWN_HEAD_BYTES || (back.own_head && slice_eq(back.head, entry.head)));
        buf_deinit(&bytes);
    }
}

static void notes_come_back_beside_the_head(void **state)
{
    (void)state;
    static char room[CACHE_OWN_HEAD_BYTES + 1];
    memset(room, 'n', sizeof room);
    for (size_t len = CACHE_OWN_HEAD_BYTES; len <= sizeof room; len++) {
        struct buf bytes = {0};
        struct cache_entry entry = {.notes = slice_of(room, len),
                                    .head = SLICE("A: 1\r\n"),
                                    .body = SLICE("body"),
                                    .status = 200,
                                    .fresh_until_us = 160 * US_PER_S},
                           back;
        envelope_write(&bytes, &key, &versions, &entry, 100 * US_PER_S, 1000 * US_PER_S);
        assert_int_equal(reads(buf_slice(&bytes), &key, &versions, 1010, &back), len == CACHE_OWN_HEAD_BYTES);
        assert_true(len > CACHE_OWN_HEAD_BYTES || (slice_eq(back.notes, entry.notes) &&
                                                   slice_eq(back.head, entry.head) && slice_is(back.body, "body")));
        buf_deinit(&bytes);
    }
}

static void its_life_ends(void **state)
{
    (void)state;
    struct buf bytes = written();
    struct cache_entry entry;
    assert_true(reads(buf_slice(&bytes), &key, &versions, 1059, &entry));
    assert_false(reads(buf_slice(&bytes), &key, &versions, 1060, &entry));
    buf_deinit(&bytes);
}

static void another_version_or_key_is_a_miss(void **state)
{
    (void)state;
    struct buf bytes = written();
    struct cache_entry entry;
    struct redis_versions raised = versions;
    struct redis_key other = key;
    raised.at[2]++;
    assert_false(reads(buf_slice(&bytes), &key, &raised, 1010, &entry));
    raised = versions;
    raised.at[0]++;
    assert_false(reads(buf_slice(&bytes), &key, &raised, 1010, &entry));
    raised = versions;
    raised.known = false;
    assert_false(reads(buf_slice(&bytes), &key, &raised, 1010, &entry));
    other.key = slice_str("the whole kez");
    assert_false(reads(buf_slice(&bytes), &other, &versions, 1010, &entry));
    other = key;
    other.tag_count = 1;
    assert_false(reads(buf_slice(&bytes), &other, &versions, 1010, &entry));
    buf_deinit(&bytes);
}

static void no_damaged_byte_passes(void **state)
{
    (void)state;
    struct buf bytes = written();
    struct cache_entry entry;
    for (size_t i = 0; i < bytes.len; i++) {
        bytes.at[i] ^= 0x40;
        assert_false(reads(buf_slice(&bytes), &key, &versions, 1010, &entry));
        bytes.at[i] ^= 0x40;
    }
    for (size_t len = 0; len < bytes.len; len++)
        assert_false(reads(slice_of(bytes.at, len), &key, &versions, 1010, &entry));
    buf_deinit(&bytes);
}

/* XXH3 of all behind itself: what a program that knows the format could write. */
static void sign(struct buf *bytes)
{
    uint64_t sum = XXH3_64bits(bytes->at + sizeof sum, bytes->len - sizeof sum);
    memcpy(bytes->at, &sum, sizeof sum);
}

static void another_format_or_status_is_a_miss(void **state)
{
    (void)state;
    static const size_t format_at = 12, status_at = 16;
    struct buf bytes = written();
    struct cache_entry entry;
    sign(&bytes);
    assert_true(reads(buf_slice(&bytes), &key, &versions, 1010, &entry));
    bytes.at[format_at]++;
    sign(&bytes);
    assert_false(reads(buf_slice(&bytes), &key, &versions, 1010, &entry));
    bytes.at[format_at]--;
    bytes.at[status_at] ^= 0x40; /* 136 */
    sign(&bytes);
    assert_false(reads(buf_slice(&bytes), &key, &versions, 1010, &entry));
    buf_deinit(&bytes);
}

/* Whatever the bytes are, what is read lies within them. */
static void any_bytes_are_read_within_their_bounds(void **state)
{
    (void)state;
    enum { ROUNDS = 200000 };
    struct buf good = written();
    int read = 0;
    srandom(1);
    for (int round = 0; round < ROUNDS; round++) {
        size_t len = round % 4 ? good.len : (size_t)random() % (good.len + 64);
        struct buf bytes = {0};
        struct cache_entry entry;
        for (size_t i = 0; i < len; i++)
            buf_addc(&bytes, round % 4 && i < good.len ? good.at[i] : (char)random());
        for (int changes = (int)(random() % 3); len > 8 && changes > 0; changes--)
            bytes.at[8 + (size_t)random() % (len - 8)] = (char)random();
        if (len > 8)
            sign(&bytes);
        if (reads(buf_slice(&bytes), &key, &versions, 1010, &entry)) {
            read++;
            assert_true(entry.head.at >= bytes.at && entry.body.at >= entry.head.at + entry.head.len);
            assert_true(entry.body.at + entry.body.len == bytes.at + bytes.len);
            assert_true(strlen(entry.etag) < sizeof entry.etag);
        }
        buf_deinit(&bytes);
    }
    assert_true(read > ROUNDS / 10 && read < ROUNDS);
    buf_deinit(&good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_on_another_machine),
        cmocka_unit_test(a_head_of_its_own_comes_back_as_such),
        cmocka_unit_test(notes_come_back_beside_the_head),
        cmocka_unit_test(its_life_ends),
        cmocka_unit_test(another_version_or_key_is_a_miss),
        cmocka_unit_test(no_damaged_byte_passes),
        cmocka_unit_test(another_format_or_status_is_a_miss),
        cmocka_unit_test(any_bytes_are_read_within_their_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
