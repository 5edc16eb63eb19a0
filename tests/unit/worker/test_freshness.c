#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/clock.h"
#include "tests/unit/arena_fixture.h"
#include "worker/freshness.h"

/* It came at Sun, 06 Nov 1994 08:49:37 GMT. */
#define NOW_S INT64_C(784111777)
#define NOW "Date: Sun, 06 Nov 1994 08:49:37 GMT\n"
#define AGO_100S "Date: Sun, 06 Nov 1994 08:47:57 GMT\n"
#define AHEAD_100S "Date: Sun, 06 Nov 1994 08:51:17 GMT\n"
#define EXPIRES_60S "Expires: Sun, 06 Nov 1994 08:50:37 GMT\n"
#define EXPIRED_60S "Expires: Sun, 06 Nov 1994 08:48:37 GMT\n"
#define CHANGED_1000S "Last-Modified: Sun, 06 Nov 1994 08:32:57 GMT\n"
#define CHANGED_YEARS "Last-Modified: Thu, 06 Nov 1980 08:49:37 GMT\n"
#define CHANGED_LATER "Last-Modified: Sun, 06 Nov 1994 09:49:37 GMT\n"
#define CC "Cache-Control: "
#define ETAG "ETag: \"a\"\n"
#define MOST "2147483648"
#define MOST_S (INT64_C(1) << 31)

/* A row: what came, and what may be done with it: "no", or fresh and stale seconds, the age, and words. */
struct row {
    int status;
    const char *fields, *means;
};

static const char *told(const struct freshness *f)
{
    static char text[200];
    if (!f->storable)
        return "no";
    int len = snprintf(text, sizeof text, "fresh %lld", (long long)(f->fresh_us / US_PER_S));
    if (f->age_us > 0)
        len += snprintf(text + len, sizeof text - (size_t)len, " age %lld", (long long)(f->age_us / US_PER_S));
    if (f->stale_us > 0)
        len += snprintf(text + len, sizeof text - (size_t)len, " stale %lld", (long long)(f->stale_us / US_PER_S));
    if (f->stale_if_error_us > 0)
        len += snprintf(text + len, sizeof text - (size_t)len, " spare %lld",
                        (long long)(f->stale_if_error_us / US_PER_S));
    snprintf(text + len, sizeof text - (size_t)len, "%s%s", f->shareable ? " shared" : "",
             f->has_validator ? " asks" : "");
    return text;
}

static struct freshness of(const struct row *row, const struct freshness_rules *rules, bool with_credentials)
{
    const struct freshness_answer answer = {.status = row->status,
                                            .fields = slice_str(row->fields),
                                            .with_credentials = with_credentials,
                                            .wall_us = NOW_S * US_PER_S + 400 * US_PER_MS};
    return freshness_of(&answer, rules, arena);
}

static void try_all(const struct row *rows, size_t count, const struct freshness_rules *rules, bool with_credentials)
{
    for (size_t i = 0; i < count; i++) {
        const struct freshness f = of(&rows[i], rules, with_credentials);
        if (strcmp(told(&f), rows[i].means) != 0)
            fail_msg("%d %s gave [%s], not [%s]", rows[i].status, rows[i].fields, told(&f), rows[i].means);
    }
}

#define TRY(rows, rules, with_credentials) try_all(rows, ARRAY_LEN(rows), rules, with_credentials)

static const struct freshness_rules no_rules = {.heuristic_us = 3600 * US_PER_S};

static void freshness_is_what_the_upstream_says(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {200, NOW CC "max-age=60\n", "fresh 60"},
        {200, CC "max-age=60\n", "fresh 60"}, /* without Date: made when it came */
        {200, NOW CC "max-age=60, s-maxage=10\n", "fresh 10 shared"},
        {200, NOW CC "s-maxage=10, max-age=60\n", "fresh 10 shared"},
        {200, NOW CC "max-age=0, s-maxage=10\n", "fresh 10 shared"},
        {200, NOW CC "s-maxage=0, max-age=60\n", "no"},
        {200, NOW CC "max-age=60\n" EXPIRED_60S, "fresh 60"}, /* max-age wins over Expires */
        {200, NOW CC "max-age=0\n" EXPIRES_60S, "no"},
        {200, NOW EXPIRES_60S, "fresh 60"},
        {200, EXPIRES_60S, "fresh 59"}, /* from when it came */
        {200, NOW EXPIRED_60S, "no"},
        {200, NOW "Expires: 0\n", "no"},
        {200, NOW "Expires: -1\n", "no"},
        {200, NOW "Expires: \n", "no"},
        {200, NOW "Expires: Sun, 06 Nov 1994 08:50:37 CET\n", "no"},
        {200, NOW "Expires: Sunday, 06-Nov-94 08:50:37 GMT\n", "fresh 60"},
        {200, NOW "Expires: Sun Nov  6 08:50:37 1994\n", "fresh 60"},
        {200, NOW "Expires: Sun, 06 Nov 1994 08:49:37 GMT\n", "no"},
        {200, NOW CC "max-age=60\n" CC "public\n", "fresh 60 shared"}, /* two lines, one list */
        {200, NOW CC "public\n" CC "max-age=60\n", "fresh 60 shared"},
        {200, NOW CC "max-age=99999999999\n", "fresh " MOST},
        {200, NOW CC "max-age=x\n" EXPIRES_60S, "no"},
        {200, NOW CC "max-age=60, max-age=6\n", "fresh 60"},
        {200, NOW CC "x=\"max-age=60\"\n", "no"},
        {200, NOW "Pragma: no-cache\n" CC "max-age=60\n", "fresh 60"}, /* Pragma is of requests: 5.4 */
        {200, NOW "Pragma: no-cache\n" EXPIRES_60S, "fresh 60"},
        {200, NOW, "no"},
        {200, "", "no"},
        {200, NOW ETAG, "fresh 0 asks"},
        {200, NOW CC "max-age=0\n" ETAG, "fresh 0 asks"},
        {200, NOW CC "public\n", "no"}, /* of no use to anybody */
        {200, NOW CC "public\n" ETAG, "fresh 0 shared asks"},
    };
    TRY(rows, &no_rules, false);
}

static void age_counts_from_where_it_was_made(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {200, NOW CC "max-age=60\nAge: 10\n", "fresh 50 age 10"},
        {200, NOW CC "max-age=60\nAge: 0\n", "fresh 60"},
        {200, NOW CC "max-age=60\nAge: 60\n", "no"},
        {200, NOW CC "max-age=60\nAge: 100\n" ETAG, "fresh -40 age 100 asks"},
        {200, NOW CC "max-age=60\nAge: -1\n", "fresh 60"}, /* none: as if it were not there */
        {200, NOW CC "max-age=60\nAge: x\n", "fresh 60"},
        {200, NOW CC "max-age=60\nAge: 1.5\n", "fresh 60"},
        {200, NOW CC "max-age=60\nAge: 10, 20\n", "fresh 50 age 10"},
        {200, NOW CC "max-age=60\nAge: 10\nAge: 20\n", "fresh 50 age 10"},
        {200, NOW CC "max-age=60\nAge: 99999999999999\n", "no"},
        {200, AGO_100S CC "max-age=160\n", "fresh 60 age 100"},
        {200, AGO_100S CC "max-age=160\nAge: 10\n", "fresh 60 age 100"}, /* the larger */
        {200, AGO_100S CC "max-age=160\nAge: 110\n", "fresh 50 age 110"},
        {200, AHEAD_100S CC "max-age=60\n", "fresh 60"}, /* its clock is ahead */
        {200, AGO_100S EXPIRES_60S, "fresh 60 age 100"},
        {200, AHEAD_100S EXPIRES_60S, "no"},
        {200, "Date: yesterday\n" CC "max-age=60\n", "fresh 60"},
        {200, "Date: Sunday, 06-Nov-94 08:47:57 GMT\n" CC "max-age=160\n", "fresh 60 age 100"},
        {200, NOW EXPIRES_60S "Age: 15\n", "fresh 45 age 15"},
        {200, NOW CHANGED_1000S "Age: 15\n", "fresh 85 age 15 asks"},
    };
    TRY(rows, &no_rules, false);
}

static void the_wait_for_an_answer_ages_it(void **state)
{
    (void)state;
    struct freshness_answer answer = {.status = 200,
                                      .fields = SLICE("Cache-Control: max-age=60\r\nAge: 5\r\n"),
                                      .wall_us = NOW_S * US_PER_S,
                                      .delay_us = 3 * US_PER_S};
    const struct freshness f = freshness_of(&answer, &no_rules, arena);
    assert_int_equal(f.age_us, 8 * US_PER_S);
    assert_int_equal(f.fresh_us, 52 * US_PER_S);
}

static void a_guess_is_a_tenth_of_the_time_since_the_change(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {200, NOW CHANGED_1000S, "fresh 100 asks"},
        {200, NOW CHANGED_YEARS, "fresh 3600 asks"}, /* and at most so much */
        {200, NOW CHANGED_LATER, "fresh 0 asks"},
        {200, AGO_100S CHANGED_1000S, "fresh -10 age 100 asks"},
        {200, NOW "Last-Modified: long ago\n", "fresh 0 asks"},
        {200, NOW CHANGED_1000S EXPIRED_60S, "fresh 0 asks"},
        {200, NOW CHANGED_1000S CC "max-age=7\n", "fresh 7 asks"},
        {200, NOW CHANGED_1000S CC "no-cache\n", "fresh 0 asks"},
        {203, NOW CHANGED_1000S, "fresh 100 asks"},
        {204, NOW CHANGED_1000S, "fresh 100 asks"},
        {300, NOW CHANGED_1000S, "fresh 100 asks"},
        {301, NOW CHANGED_1000S, "fresh 100 asks"},
        {308, NOW CHANGED_1000S, "fresh 100 asks"},
        {404, NOW CHANGED_1000S, "fresh 100 asks"},
        {410, NOW CHANGED_1000S, "fresh 100 asks"},
        {201, NOW CHANGED_1000S, "no"},
        {302, NOW CHANGED_1000S, "no"},
        {307, NOW CHANGED_1000S, "no"},
        {400, NOW CHANGED_1000S, "no"},
        {403, NOW CHANGED_1000S, "no"},
        {500, NOW CHANGED_1000S, "no"},
        {503, NOW CHANGED_1000S, "no"},
        {302, NOW CHANGED_1000S CC "public\n", "fresh 100 shared asks"},
    };
    TRY(rows, &no_rules, false);
}

static void a_status_is_kept_by_default_or_when_told_so(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {201, NOW CC "max-age=60\n", "fresh 60"},
        {203, NOW CC "max-age=60\n", "fresh 60"},
        {204, NOW CC "max-age=60\n", "fresh 60"},
        {300, NOW CC "max-age=60\n", "fresh 60"},
        {301, NOW CC "max-age=60\n", "fresh 60"},
        {302, NOW CC "max-age=60\n", "fresh 60"},
        {303, NOW CC "max-age=60\n", "fresh 60"},
        {307, NOW CC "max-age=60\n", "fresh 60"},
        {400, NOW CC "max-age=60\n", "fresh 60"},
        {403, NOW CC "max-age=60\n", "fresh 60"},
        {404, NOW CC "max-age=60\n", "fresh 60"},
        {410, NOW CC "max-age=60\n", "fresh 60"},
        {500, NOW CC "max-age=60\n", "fresh 60"},
        {503, NOW CC "max-age=60\n", "fresh 60"},
        {599, NOW CC "max-age=60\n", "fresh 60"},
        {302, NOW EXPIRES_60S, "fresh 60"},
        {206, NOW CC "max-age=60\n" ETAG, "no"},
        {304, NOW CC "max-age=60\n" ETAG, "no"},
        {100, NOW CC "max-age=60\n", "no"},
        {101, NOW CC "max-age=60\n", "no"},
        {302, NOW ETAG, "no"},
        {404, NOW ETAG, "fresh 0 asks"},
        {206, NOW CC "public, max-age=60\n", "no"},
        {0, NOW CC "max-age=60\n", "no"},
    };
    TRY(rows, &no_rules, false);
}

static void what_must_not_be_stored_is_not(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {200, NOW CC "no-store\n", "no"},
        {200, NOW CC "no-store, max-age=60\n" ETAG, "no"},
        {200, NOW CC "max-age=60\n" CC "no-store\n", "no"},
        {200, NOW CC "NO-STORE, max-age=60\n", "no"},
        {200, NOW CC "private, max-age=60\n" ETAG, "no"},
        {200, NOW CC "private, s-maxage=60\n", "no"},
        {200, NOW CC "private=\"x-user\", max-age=60\n", "no"},
        {200, NOW CC "max-age=60, x=\"open\n", "no"}, /* what comes behind is not known */
        {200, NOW CC "max-age=60, x=\"open, private\n", "no"},
        {200, NOW CC "max-age=60\nVary: *\n" ETAG, "no"},
        {200, NOW CC "max-age=60\nVary: Accept, *\n", "no"},
        {200, NOW CC "max-age=60\nVary: Accept\nVary: *\n", "no"},
        {200, NOW CC "max-age=60\nVary: Accept\n", "fresh 60"},
        {200, NOW CC "max-age=60\nSet-Cookie: a=b\n" ETAG, "no"},
        {200, NOW CC "s-maxage=60\nSet-Cookie: a=b\n", "no"},
        {200, NOW CC "public, max-age=60\nSet-Cookie: a=b\n", "fresh 60 shared"},
        {200, NOW CC "must-understand, no-store, max-age=60\n", "fresh 60"},
        {203, NOW CC "must-understand, no-store, max-age=60\n", "fresh 60"},
        {299, NOW CC "must-understand, no-store, max-age=60\n", "no"},
        {200, NOW CC "must-understand, private, no-store, max-age=60\n", "no"},
    };
    TRY(rows, &no_rules, false);
}

static void no_cache_is_stored_but_never_fresh(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {200, NOW CC "no-cache\n", "no"},
        {200, NOW CC "no-cache\n" ETAG, "fresh 0 asks"},
        {200, NOW CC "no-cache, max-age=60\n" ETAG, "fresh 0 asks"},
        {200, NOW CC "no-cache=\"x-user\", max-age=60\n" ETAG, "fresh 0 asks"},
        {200, NOW CC "no-cache, stale-while-revalidate=60, stale-if-error=60\n" ETAG, "fresh 0 asks"},
        {200, NOW CC "no-cache, max-age=60\n" CHANGED_1000S, "fresh 0 asks"},
        {200, NOW CC "no-cache, max-age=5\nAge: 10\n" ETAG, "fresh -5 age 10 asks"},
    };
    TRY(rows, &no_rules, false);
}

static void stale_is_used_as_far_as_the_upstream_lets(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {200, NOW CC "max-age=60, stale-while-revalidate=30\n", "fresh 60 stale 30"},
        {200, NOW CC "max-age=60, stale-if-error=90\n", "fresh 60 spare 90"},
        {200, NOW CC "max-age=0, stale-while-revalidate=30\n", "fresh 0 stale 30"},
        {200, NOW CC "max-age=60, stale-while-revalidate=x\n", "fresh 60"},
        {200, NOW CC "max-age=60, stale-while-revalidate=30, stale-if-error=90, must-revalidate\n", "fresh 60 shared"},
        {200, NOW CC "max-age=60, stale-while-revalidate=30, stale-if-error=90, proxy-revalidate\n", "fresh 60"},
        {200, NOW CC "s-maxage=60, stale-while-revalidate=30, stale-if-error=90\n", "fresh 60 shared"},
        {200, NOW EXPIRES_60S CC "stale-if-error=90\n", "fresh 60 spare 90"},
        {200, NOW CC "max-age=5, stale-while-revalidate=30\nAge: 10\n", "fresh -5 age 10 stale 30"},
        {200, NOW CC "max-age=5, stale-while-revalidate=30\nAge: 35\n", "no"},
    };
    TRY(rows, &no_rules, false);
}

static void the_routes_own_ttl_takes_the_place_of_how_long(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {200, NOW, "fresh 10"},
        {200, "", "fresh 10"},
        {200, NOW CC "max-age=60\n", "fresh 10"},
        {200, NOW CC "max-age=0\n", "fresh 10"},
        {200, NOW EXPIRED_60S, "fresh 10"},
        {200, NOW CC "max-age=60\nAge: 100\n", "fresh 10 age 100"}, /* from when it came */
        {200, AGO_100S, "fresh 10 age 100"},
        {200, NOW CC "s-maxage=60\n", "fresh 10 shared"},
        {200, NOW CC "max-age=60, must-revalidate\n", "fresh 10 shared"},
        {200, NOW CC "no-cache\n" ETAG, "fresh 10 asks"},
        {200, NOW CC "no-cache, max-age=60\n", "fresh 10"},
        {301, NOW, "fresh 10"},
        /* but not of whether */
        {200, NOW CC "no-store\n", "no"},
        {200, NOW CC "private\n", "no"},
        {200, NOW CC "no-cache, private\n", "no"},
        {200, NOW "Vary: *\n", "no"},
        {200, NOW "Set-Cookie: a=b\n", "no"},
        {206, NOW, "no"},
        /* nor for what is no success, or kept only when the upstream says so */
        {404, NOW, "no"},
        {404, NOW CC "max-age=60\n", "fresh 60"},
        {302, NOW, "no"},
        {302, NOW CC "max-age=60\n", "fresh 60"},
        {500, NOW, "no"},
    };
    const struct freshness_rules own = {.ttl_us = 10 * US_PER_S, .heuristic_us = 3600 * US_PER_S};
    TRY(rows, &own, false);
}

static void the_routes_own_negative_is_for_what_is_missing(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {404, NOW, "fresh 5"},
        {410, NOW, "fresh 5"},
        {404, NOW CC "max-age=60\n", "fresh 5"},
        {404, NOW CC "no-store\n", "no"},
        {200, NOW CC "max-age=60\n", "fresh 60"},
        {200, NOW, "no"},
        {400, NOW, "no"},
        {503, NOW, "no"},
    };
    const struct freshness_rules own = {.negative_us = 5 * US_PER_S};
    TRY(rows, &own, false);
}

static void the_routes_own_stale_gives_way_to_what_is_forbidden(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {200, NOW CC "max-age=60\n", "fresh 60 stale 7 spare 8"},
        {200, NOW CC "max-age=60, stale-while-revalidate=30, stale-if-error=90\n", "fresh 60 stale 7 spare 8"},
        {200, NOW CC "max-age=60, must-revalidate\n", "fresh 60 shared"},
        {200, NOW CC "max-age=60, proxy-revalidate\n", "fresh 60"},
        {200, NOW CC "s-maxage=60\n", "fresh 60 shared"},
        {200, NOW CC "no-cache\n" ETAG, "fresh 0 asks"},
    };
    const struct freshness_rules own = {.stale_us = 7 * US_PER_S, .stale_if_error_us = 8 * US_PER_S};
    TRY(rows, &own, false);
    const struct freshness_rules all = {.ttl_us = 10 * US_PER_S, .stale_us = 7 * US_PER_S};
    static const struct row instead[] = {{200, NOW CC "no-cache\n", "fresh 10 stale 7"},
                                         {200, NOW CC "no-cache, must-revalidate\n", "fresh 10 shared"}};
    TRY(instead, &all, false);
}

static void what_was_asked_with_credentials_is_kept_when_it_may_be_shared(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {200, NOW CC "max-age=60\n", "no"},
        {200, NOW EXPIRES_60S, "no"},
        {200, NOW ETAG, "no"},
        {200, NOW CHANGED_1000S, "no"},
        {200, NOW CC "max-age=60, proxy-revalidate\n", "no"},
        {200, NOW CC "public, max-age=60\n", "fresh 60 shared"},
        {200, NOW CC "s-maxage=60\n", "fresh 60 shared"},
        {200, NOW CC "max-age=60, must-revalidate\n", "fresh 60 shared"},
        {200, NOW CC "public, private, max-age=60\n", "no"},
        {200, NOW CC "public, no-store, max-age=60\n", "no"},
        {200, NOW CC "public\n" ETAG, "fresh 0 shared asks"},
    };
    TRY(rows, &no_rules, true);
    const struct freshness_rules own = {.ttl_us = 10 * US_PER_S};
    static const struct row still[] = {{200, NOW, "no"}, {200, NOW CC "public\n", "fresh 10 shared"}};
    TRY(still, &own, true);
}

static void what_came_together_ends_apart_and_never_late(void **state)
{
    (void)state;
    assert_int_equal(freshness_spread_us(100 * US_PER_S, 1), 95 * US_PER_S);
    assert_in_range(freshness_spread_us(100 * US_PER_S, 1e-9), 100 * US_PER_S - 1, 100 * US_PER_S);
    assert_int_equal(freshness_spread_us(MOST_S * US_PER_S, 0.5), MOST_S * US_PER_S / 40 * 39);
    assert_int_equal(freshness_spread_us(0, 1), 0);
    assert_int_equal(freshness_spread_us(-7, 1), -7);
}

#define with_arena(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_arena(freshness_is_what_the_upstream_says),
        with_arena(age_counts_from_where_it_was_made),
        with_arena(the_wait_for_an_answer_ages_it),
        with_arena(a_guess_is_a_tenth_of_the_time_since_the_change),
        with_arena(a_status_is_kept_by_default_or_when_told_so),
        with_arena(what_must_not_be_stored_is_not),
        with_arena(no_cache_is_stored_but_never_fresh),
        with_arena(stale_is_used_as_far_as_the_upstream_lets),
        with_arena(the_routes_own_ttl_takes_the_place_of_how_long),
        with_arena(the_routes_own_negative_is_for_what_is_missing),
        with_arena(the_routes_own_stale_gives_way_to_what_is_forbidden),
        with_arena(what_was_asked_with_credentials_is_kept_when_it_may_be_shared),
        cmocka_unit_test(what_came_together_ends_apart_and_never_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
