#include "shm/cache_layout.h"
#include "tests/unit/shm/caches.h"

#include <math.h>
#include <string.h>

enum { TTL_MS = 1000 };

static void after_ms(int64_t ms)
{
    now_us += ms * US_PER_MS;
}

/* ---- values ---- */

static void what_was_put_is_had_until_a_later_born_value_replaces_it(void **state)
{
    (void)state;
    struct cache_entry one = text("one"), two = text("two");
    one.born_seq = 5;
    two.born_seq = 6;
    assert_false(has("a", "one"));
    assert_true(put("a", one));
    assert_true(has("a", "one"));
    assert_true(put("a", two));
    assert_true(has("a", "two"));
    assert_true(put("a", one)); /* there is a value, if not this one */
    assert_true(has("a", "two"));
    assert_int_equal(usage().entries, 1);
}

static void of_values_born_at_once_the_one_made_later_stays(void **state)
{
    (void)state;
    struct cache_entry early = text("early"), late = text("late");
    late.created_us = early.created_us + 1;
    assert_true(put("a", late));
    assert_true(put("a", early));
    assert_true(has("a", "late"));
    assert_int_equal(usage().entries, 1);
}

static void of_values_made_at_once_the_last_stays(void **state)
{
    (void)state;
    assert_true(put("a", text("one")));
    assert_true(put("a", text("two")));
    assert_true(has("a", "two"));
    assert_int_equal(usage().entries, 1);
}

static void a_later_born_value_that_was_dropped_refuses_nothing(void **state)
{
    (void)state;
    struct cache_entry before = text("before");
    invalidate("other");
    assert_true(put("a", tagged(text("dropped"), "users")));
    invalidate("users");
    assert_true(put("a", before));
    assert_true(has("a", "before"));
}

static void an_entry_comes_back_whole(void **state)
{
    (void)state;
    struct cache_entry e, in = text("body");
    in.gzip = slice_str("zipped");
    in.head = slice_str("content-type: text/plain\r\nx-rows: 7\r\n");
    in.cost_us = 123456;
    in.status = 404;
    for (int i = 0; i < CACHE_TAGS_MAX; i++)
        in.tag_slots[in.tag_count++] = (uint32_t)i * 1000;
    assert_true(put("a", in));
    assert_int_equal(borrow("a", &e), CACHE_FRESH);
    assert_true(slice_eq(e.body, in.body) && slice_eq(e.gzip, in.gzip) && slice_eq(e.head, in.head));
    assert_int_equal(e.created_us, in.created_us);
    assert_int_equal(e.fresh_until_us, in.fresh_until_us);
    assert_int_equal(e.born_seq, in.born_seq);
    assert_int_equal(e.cost_us, in.cost_us);
    assert_int_equal(e.status, in.status);
    assert_string_equal(e.etag, in.etag);
    assert_false(e.negative || e.uncacheable);
    cache_release(&e);
}

/* ---- time ---- */

static void an_entry_lives_for_its_ttl_and_not_a_microsecond_more(void **state)
{
    (void)state;
    assert_true(put("a", for_ms(text("x"), TTL_MS)));
    now_us += TTL_MS * US_PER_MS - 1;
    assert_int_equal(look("a"), CACHE_FRESH);
    now_us++;
    assert_int_equal(look("a"), CACHE_MISS);
    assert_int_equal(usage().entries, 0);
    assert_int_equal(usage().expired, 1);
}

static void who_is_asked_for_often_enough_is_never_idle(void **state)
{
    (void)state;
    rules.tti_us = 10 * US_PER_MS;
    assert_true(put("a", text("x")));
    for (int i = 0; i < 50; i++) {
        after_ms(3 + i % 5);
        assert_int_equal(look("a"), CACHE_FRESH);
    }
    after_ms(10);
    assert_int_equal(look("a"), CACHE_MISS);
}

static void who_is_asked_for_does_not_outlive_its_ttl(void **state)
{
    (void)state;
    rules.tti_us = 900 * US_PER_MS;
    assert_true(put("a", for_ms(text("x"), TTL_MS)));
    after_ms(600);
    assert_int_equal(look("a"), CACHE_FRESH);
    after_ms(400);
    assert_int_equal(look("a"), CACHE_MISS);
}

/* ---- time while nobody hears of changes ---- */

static void without_a_listener_there_is_nothing_to_cap(void **state)
{
    (void)state;
    rules.unheard_us = 5 * US_PER_S;
    assert_true(put("a", tagged(text("x"), "users")));
    after_ms(600 * 1000);
    assert_int_equal(look("a"), CACHE_FRESH);
}

static void what_has_tags_lives_only_so_long_after_the_last_that_was_heard(void **state)
{
    (void)state;
    rules.unheard_us = 5 * US_PER_S;
    assert_true(put("a", tagged(text("x"), "users")));
    assert_true(put("untagged", text("x")));
    after_ms(60 * 1000);
    tags_set_heard(control.tags, now_us);
    after_ms(4999);
    assert_int_equal(look("a"), CACHE_FRESH);
    now_us += US_PER_MS;
    assert_int_equal(look("a"), CACHE_MISS);
    assert_int_equal(look("untagged"), CACHE_FRESH);
}

static void what_is_stored_unheard_lives_so_long_from_its_reading_on(void **state)
{
    (void)state;
    rules.unheard_us = 5 * US_PER_S;
    tags_set_heard(control.tags, now_us);
    after_ms(60 * 1000);
    struct cache_entry slow = tagged(text("x"), "users");
    slow.cost_us = 2 * US_PER_S;
    assert_int_equal(cache_fresh_until_us(cache, &rules, &slow), now_us + 3 * US_PER_S);
    assert_true(put("a", slow));
    after_ms(2999);
    assert_int_equal(look("a"), CACHE_FRESH);
    now_us += US_PER_MS;
    assert_int_equal(look("a"), CACHE_MISS);
}

static void what_is_heard_in_time_lives_for_its_ttl(void **state)
{
    (void)state;
    rules.unheard_us = 5 * US_PER_S;
    assert_true(put("a", tagged(for_ms(text("x"), 60 * 1000), "users")));
    for (int i = 0; i < 59; i++) {
        tags_set_heard(control.tags, now_us);
        after_ms(1000);
        assert_int_equal(look("a"), CACHE_FRESH);
    }
    after_ms(1000);
    assert_int_equal(look("a"), CACHE_MISS);
}

static void a_capped_life_ends_as_a_ttl_does(void **state)
{
    (void)state;
    rules = (struct cache_rules){.stale_us = 2 * US_PER_S, .stale_if_error_us = 4 * US_PER_S, .unheard_us = US_PER_S};
    tags_set_heard(control.tags, now_us);
    assert_true(put("a", tagged(text("x"), "users")));
    after_ms(1000);
    assert_int_equal(look("a"), CACHE_STALE);
    after_ms(2000);
    assert_int_equal(look("a"), CACHE_SPARE);
    after_ms(2000);
    assert_int_equal(look("a"), CACHE_MISS);
}

/* So a hot item's cache line does not travel; the price is up to an eighth of tti. */
static void an_access_is_written_when_the_last_is_an_eighth_of_tti_old(void **state)
{
    (void)state;
    rules.tti_us = 64 * US_PER_S;
    assert_true(put("early", text("x")));
    assert_true(put("late", text("x")));
    after_ms(7999);
    assert_int_equal(look("early"), CACHE_FRESH);
    after_ms(1);
    assert_int_equal(look("late"), CACHE_FRESH);
    after_ms(56000);
    assert_int_equal(look("early"), CACHE_MISS);
    after_ms(7999);
    assert_int_equal(look("late"), CACHE_FRESH);
}

static void a_value_made_long_ago_is_not_idle_when_it_is_put(void **state)
{
    (void)state;
    rules.tti_us = US_PER_S;
    struct cache_entry from_redis = text("x");
    from_redis.created_us -= 60 * US_PER_S;
    assert_true(put("a", from_redis));
    after_ms(999);
    assert_int_equal(look("a"), CACHE_FRESH);
    after_ms(2000);
    assert_int_equal(look("a"), CACHE_MISS);
}

static void after_its_ttl_an_entry_is_stale_and_then_a_spare(void **state)
{
    (void)state;
    rules.stale_us = 2 * US_PER_S;
    rules.stale_if_error_us = 5 * US_PER_S;
    assert_true(put("a", for_ms(text("x"), TTL_MS)));
    after_ms(TTL_MS);
    assert_int_equal(look("a"), CACHE_STALE);
    now_us += rules.stale_us - 1;
    assert_int_equal(look("a"), CACHE_STALE);
    now_us++;
    assert_int_equal(look("a"), CACHE_SPARE);
    now_us += 3 * US_PER_S - 1;
    assert_int_equal(look("a"), CACHE_SPARE);
    now_us++;
    assert_int_equal(look("a"), CACHE_MISS);
}

static void stale_may_last_longer_than_stale_if_error(void **state)
{
    (void)state;
    rules.stale_us = 5 * US_PER_S;
    rules.stale_if_error_us = 2 * US_PER_S;
    assert_true(put("a", for_ms(text("x"), TTL_MS)));
    after_ms(TTL_MS + 4999);
    assert_int_equal(look("a"), CACHE_STALE);
    after_ms(1);
    assert_int_equal(look("a"), CACHE_MISS);
}

static void an_idle_entry_is_not_even_stale(void **state)
{
    (void)state;
    rules = (struct cache_rules){.tti_us = US_PER_S, .stale_us = US_PER_S, .stale_if_error_us = US_PER_S};
    assert_true(put("a", text("x")));
    after_ms(1000);
    assert_int_equal(look("a"), CACHE_MISS);
}

static void absences_errors_and_markers_are_never_stale(void **state)
{
    (void)state;
    rules.stale_us = rules.stale_if_error_us = 60 * US_PER_S;
    struct cache_entry absence = for_ms(text(""), TTL_MS), marker = absence, e;
    absence.negative = true;
    marker.uncacheable = true;
    assert_true(put("absence", absence));
    assert_true(put("marker", marker));
    assert_int_equal(borrow("absence", &e), CACHE_FRESH);
    assert_true(e.negative && !e.uncacheable);
    cache_release(&e);
    assert_int_equal(borrow("marker", &e), CACHE_FRESH);
    assert_true(e.uncacheable && !e.negative);
    cache_release(&e);
    after_ms(TTL_MS);
    assert_int_equal(look("absence"), CACHE_MISS);
    assert_int_equal(look("marker"), CACHE_MISS);
}

/* ---- tags ---- */

static void an_invalidated_entry_is_gone_and_so_is_one_fetched_before(void **state)
{
    (void)state;
    struct cache_entry old = tagged(text("old"), "users");
    assert_true(put("a", old));
    invalidate("posts");
    assert_true(has("a", "old"));
    invalidate("users");
    assert_int_equal(look("a"), CACHE_MISS);
    put("a", old);
    assert_int_equal(look("a"), CACHE_MISS);
    assert_true(put("a", tagged(text("new"), "users")));
    assert_true(has("a", "new"));
}

static void any_of_an_entrys_tags_drops_it(void **state)
{
    (void)state;
    const char *const names[CACHE_TAGS_MAX] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"};
    for (int i = 0; i < CACHE_TAGS_MAX; i++) {
        struct cache_entry e = text("x");
        for (int k = 0; k < CACHE_TAGS_MAX; k++)
            e = tagged(e, names[k]);
        assert_true(put("a", e));
        invalidate("z");
        assert_true(has("a", "x"));
        invalidate(names[i]);
        assert_int_equal(look("a"), CACHE_MISS);
    }
}

static void the_epoch_drops_everything(void **state)
{
    (void)state;
    assert_true(put("plain", text("x")));
    assert_true(put("tagged", tagged(text("x"), "users")));
    tags_raise_epoch(control.tags);
    assert_int_equal(look("plain"), CACHE_MISS);
    assert_int_equal(look("tagged"), CACHE_MISS);
}

static void what_a_tag_has_dropped_is_neither_stale_nor_a_spare(void **state)
{
    (void)state;
    rules = (struct cache_rules){.stale_us = US_PER_S, .stale_if_error_us = 60 * US_PER_S};
    assert_true(put("a", tagged(for_ms(text("x"), TTL_MS), "users")));
    assert_true(put("b", tagged(for_ms(text("x"), TTL_MS), "users")));
    after_ms(TTL_MS + 1);
    assert_int_equal(look("a"), CACHE_STALE);
    invalidate("users");
    assert_int_equal(look("a"), CACHE_MISS);
    after_ms(10000);
    assert_int_equal(look("b"), CACHE_MISS);
}

/* ---- keys ---- */

static void keys_of_no_byte_and_of_the_most_bytes_are_keys(void **state)
{
    (void)state;
    static char long_key[CACHE_KEY_BYTES_MAX + 1];
    struct slice longest = slice_of(long_key, CACHE_KEY_BYTES_MAX);
    assert_true(put("", text("none")));
    assert_true(put_bytes(slice_of(NULL, 0), text("still none")));
    assert_true(has("", "still none"));
    assert_true(put_bytes(longest, text("a")));
    assert_true(has_bytes(longest, slice_str("a")));
    long_key[CACHE_KEY_BYTES_MAX - 1] = 'b';
    assert_false(has_bytes(longest, slice_str("a")));
    assert_true(put_bytes(longest, text("b")));
    assert_true(has_bytes(longest, slice_str("b")));
    assert_int_equal(usage().entries, 3);
}

static void a_longer_key_is_refused_and_not_cut(void **state)
{
    (void)state;
    static char long_key[CACHE_KEY_BYTES_MAX + 2];
    struct slice key = slice_of(long_key, CACHE_KEY_BYTES_MAX + 1);
    make(64 * MB, ENTRIES); /* so that it is not its value that is too large */
    assert_false(put_bytes(key, text("")));
    assert_false(has_bytes(key, slice_str("")));
    assert_false(has("", ""));
}

struct pair {
    int one, other;
};

/* Two keys that no word of the index tells apart: its tag is the same, and there is one bucket. */
static struct pair keys_with_one_tag(void)
{
    enum { KEYS = 1 << 17, SLOTS = 1 << 19 };
    static struct {
        uint64_t tag;
        int key;
    } seen[SLOTS];
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < KEYS; i++) {
        uint64_t tag = word_tag(cache_key(cache, slice_str(name_of(i))).hash);
        uint64_t slot = mixed(tag) % SLOTS;
        for (; seen[slot].tag != 0; slot = (slot + 1) % SLOTS)
            if (seen[slot].tag == tag)
                return (struct pair){seen[slot].key, i};
        seen[slot].tag = tag;
        seen[slot].key = i;
    }
    fail_msg("no two of %d keys have one tag", KEYS);
    return (struct pair){0, 0};
}

static void keys_of_one_tag_are_told_apart_by_their_bytes(void **state)
{
    (void)state;
    make(SIZE, 4);
    struct pair keys = keys_with_one_tag();
    assert_true(put_number(keys.one, 100));
    assert_false(has_number(keys.other, 100));
    assert_true(put_number(keys.other, 100));
    assert_true(has_number(keys.one, 100));
    assert_true(has_number(keys.other, 100));
}

static void a_keys_two_hashes_are_of_this_cache_and_of_all_its_bytes(void **state)
{
    (void)state;
    struct cache_key a = cache_key(cache, slice_str("key a")), b = cache_key(cache, slice_str("key b"));
    struct cache_key again = cache_key(cache, slice_str("key a"));
    uint64_t check = cache_key_check(cache, &a);
    assert_true(a.hash == again.hash && check == cache_key_check(cache, &again));
    assert_true(a.hash != b.hash && check != cache_key_check(cache, &b));
    assert_true(a.hash != check);
    make(SIZE, ENTRIES);
    assert_true(a.hash != cache_key(cache, slice_str("key a")).hash && check != cache_key_check(cache, &a));
}

/* ---- heads and entity tags ---- */

static struct slice head_of(int number, char room[static CACHE_HEAD_BYTES])
{
    int len = snprintf(room, CACHE_HEAD_BYTES, "x-number: %d\r\n", number);
    return slice_of(room, (size_t)len);
}

static bool has_head(int number, struct slice head)
{
    struct cache_entry e;
    if (borrow(name_of(number), &e) == CACHE_MISS)
        return false;
    bool right = slice_eq(e.head, head);
    cache_release(&e);
    return right;
}

static bool put_with_head(int number, struct slice head)
{
    struct cache_entry e = text("body");
    e.head = head;
    return put(name_of(number), e);
}

static void more_heads_than_the_table_holds_all_come_back(void **state)
{
    (void)state;
    enum { COUNT = CACHE_HEADS + 16 };
    char room[CACHE_HEAD_BYTES];
    for (int i = 0; i < 3 * COUNT; i++)
        assert_true(put_with_head(i, head_of(i % COUNT, room)));
    for (int i = 0; i < 3 * COUNT; i++)
        assert_true(has_head(i, head_of(i % COUNT, room)));
}

static void a_head_of_the_most_bytes_is_kept_and_a_longer_one_refused(void **state)
{
    (void)state;
    char room[CACHE_HEAD_BYTES + 1];
    for (int i = 0; i < CACHE_HEADS + 2; i++) {
        memset(room, 'a' + i % 26, sizeof room);
        room[0] = (char)('A' + i / 26);
        assert_true(put_with_head(i, slice_of(room, CACHE_HEAD_BYTES)));
        assert_true(has_head(i, slice_of(room, CACHE_HEAD_BYTES)));
        assert_false(put_with_head(i, slice_of(room, sizeof room)));
    }
}

static int heads_taken(void)
{
    int count = 0;
    for (int i = 0; i < CACHE_HEADS; i++)
        count += cache->header->heads[i].state != 0;
    return count;
}

static void an_own_head_is_kept_with_its_entry_and_takes_no_place_in_the_table(void **state)
{
    (void)state;
    char room[CACHE_OWN_HEAD_BYTES + 1];
    struct cache_entry e = text("the body"), found;
    int taken = heads_taken();
    e.own_head = true;
    for (size_t len = 0; len <= CACHE_OWN_HEAD_BYTES; len += len < 300 ? 1 : 971) {
        memset(room, 'a' + (int)(len % 26), sizeof room);
        e.head = slice_of(room, len);
        assert_true(put("one", e));
        assert_int_not_equal(borrow("one", &found), CACHE_MISS);
        assert_true(found.own_head && slice_eq(found.head, e.head) && slice_is(found.body, "the body"));
        cache_release(&found);
    }
    e.head = slice_of(room, CACHE_OWN_HEAD_BYTES + 1);
    assert_false(put("one", e));
    assert_int_equal(heads_taken(), taken);
    assert_int_equal(at_rest().wrong, 0);
}

static bool finds_noted(struct slice notes, struct slice head)
{
    struct cache_entry found;
    if (borrow("one", &found) == CACHE_MISS)
        return false;
    bool same = slice_eq(found.notes, notes) && slice_eq(found.head, head) && slice_is(found.body, "the body");
    cache_release(&found);
    return same;
}

static void notes_are_kept_beside_the_head_and_are_no_part_of_it(void **state)
{
    (void)state;
    static char room[CACHE_OWN_HEAD_BYTES + 1];
    struct cache_entry e = text("the body");
    struct slice heads[] = {SLICE(""), SLICE(HEAD)};
    memset(room, 'n', sizeof room);
    for (size_t h = 0; h < ARRAY_LEN(heads); h++)
        for (size_t len = 0; len <= CACHE_OWN_HEAD_BYTES; len += len < 40 ? 1 : 971) {
            e.head = heads[h];
            e.own_head = len % 2 == 0;
            e.notes = slice_of(room, len);
            assert_true(put("one", e));
            assert_true(finds_noted(e.notes, e.head));
        }
    e.notes = slice_of(room, CACHE_OWN_HEAD_BYTES + 1);
    assert_false(put("one", e));
    assert_int_equal(at_rest().wrong, 0);
}

static void a_head_is_no_overhead_wherever_it_is_kept(void **state)
{
    (void)state;
    char room[CACHE_HEAD_BYTES], own[CACHE_HEAD_BYTES] = "x-long: ";
    for (int i = 0; i < CACHE_HEADS; i++)
        assert_true(put_with_head(i, head_of(i, room)));
    uint64_t shared_bytes = at_rest().overhead_bytes;
    assert_true(put_with_head(CACHE_HEADS, slice_of(own, sizeof own)));
    uint64_t one_bytes = shared_bytes / CACHE_HEADS;
    assert_in_range(at_rest().overhead_bytes - shared_bytes, one_bytes - CACHE_ALIGN, one_bytes + CACHE_ALIGN);
}

static void an_entry_needs_no_head(void **state)
{
    (void)state;
    assert_true(put_with_head(0, slice_of(NULL, 0)));
    assert_true(has_head(0, slice_of(NULL, 0)));
    assert_true(put_with_head(1, slice_str("")));
    assert_true(has_head(1, slice_of(NULL, 0)));
}

static void entity_tags_come_back_as_they_were(void **state)
{
    (void)state;
    const char *const etags[] = {HEX_ETAG,
                                 "\"ffffffffffffffff0000000000000000\"",
                                 "\"9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9f\"",
                                 "\"FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF\"",
                                 "\"0123456789abcdef0123456789abcdeg\"",
                                 "\"0123456789abcdef0123456789abcde\"",
                                 "W/\"0123456789abcdef0123456789abcde\"",
                                 "0123456789abcdef0123456789abcdef01",
                                 "\"of thirty-five bytes.............\"",
                                 "\"\"",
                                 ""};
    for (size_t i = 0; i < ARRAY_LEN(etags); i++) {
        struct cache_entry e = text("body");
        snprintf(e.etag, sizeof e.etag, "%s", etags[i]);
        assert_true(put("a", e));
        assert_int_equal(borrow("a", &e), CACHE_FRESH);
        assert_string_equal(e.etag, etags[i]);
        assert_true(slice_is(e.body, "body"));
        cache_release(&e);
    }
}

/* ---- early fetches ---- */

static double drawn;

static double draw(void)
{
    return drawn;
}

static double share_early(const struct cache_entry *e, int64_t at_us)
{
    enum { TRIES = 100000 };
    int early = 0;
    for (int i = 0; i < TRIES; i++) {
        drawn = (i + 0.5) / TRIES;
        early += cache_is_early(e, at_us, draw);
    }
    return (double)early / TRIES;
}

/* now - cost * ln(uniform) >= expiry is so with probability exp(-left / cost). */
static void an_early_fetch_is_the_likelier_the_nearer_the_end_and_the_dearer(void **state)
{
    (void)state;
    struct cache_entry e = for_ms(text("x"), 1000);
    e.cost_us = 100 * US_PER_MS;
    const int64_t left_ms[] = {1000, 500, 200, 100, 50, 10, 1};
    for (size_t i = 0; i < ARRAY_LEN(left_ms); i++) {
        double wanted = exp(-(double)left_ms[i] / 100);
        assert_true(fabs(share_early(&e, e.fresh_until_us - left_ms[i] * US_PER_MS) - wanted) < 0.0001);
    }
    assert_true(share_early(&e, e.fresh_until_us) == 1);
    drawn = 1;
    assert_false(cache_is_early(&e, now_us, draw));
    e.cost_us = 0;
    assert_true(share_early(&e, e.fresh_until_us - 1) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        audited(what_was_put_is_had_until_a_later_born_value_replaces_it),
        audited(of_values_born_at_once_the_one_made_later_stays),
        audited(of_values_made_at_once_the_last_stays),
        audited(a_later_born_value_that_was_dropped_refuses_nothing),
        audited(an_entry_comes_back_whole),
        audited(an_entry_lives_for_its_ttl_and_not_a_microsecond_more),
        audited(who_is_asked_for_often_enough_is_never_idle),
        audited(who_is_asked_for_does_not_outlive_its_ttl),
        audited(without_a_listener_there_is_nothing_to_cap),
        audited(what_has_tags_lives_only_so_long_after_the_last_that_was_heard),
        audited(what_is_stored_unheard_lives_so_long_from_its_reading_on),
        audited(what_is_heard_in_time_lives_for_its_ttl),
        audited(a_capped_life_ends_as_a_ttl_does),
        audited(an_access_is_written_when_the_last_is_an_eighth_of_tti_old),
        audited(a_value_made_long_ago_is_not_idle_when_it_is_put),
        audited(after_its_ttl_an_entry_is_stale_and_then_a_spare),
        audited(stale_may_last_longer_than_stale_if_error),
        audited(an_idle_entry_is_not_even_stale),
        audited(absences_errors_and_markers_are_never_stale),
        audited(an_invalidated_entry_is_gone_and_so_is_one_fetched_before),
        audited(any_of_an_entrys_tags_drops_it),
        audited(the_epoch_drops_everything),
        audited(what_a_tag_has_dropped_is_neither_stale_nor_a_spare),
        audited(keys_of_no_byte_and_of_the_most_bytes_are_keys),
        audited(a_longer_key_is_refused_and_not_cut),
        audited(keys_of_one_tag_are_told_apart_by_their_bytes),
        audited(a_keys_two_hashes_are_of_this_cache_and_of_all_its_bytes),
        audited(more_heads_than_the_table_holds_all_come_back),
        audited(a_head_of_the_most_bytes_is_kept_and_a_longer_one_refused),
        audited(an_own_head_is_kept_with_its_entry_and_takes_no_place_in_the_table),
        audited(notes_are_kept_beside_the_head_and_are_no_part_of_it),
        audited(a_head_is_no_overhead_wherever_it_is_kept),
        audited(entity_tags_come_back_as_they_were),
        audited(an_early_fetch_is_the_likelier_the_nearer_the_end_and_the_dearer),
        audited(an_entry_needs_no_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
