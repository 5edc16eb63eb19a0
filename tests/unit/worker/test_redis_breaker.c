#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"
#include "worker/redis_breaker.h"

static void probes_that_fail_come_at_least_each_second(void **state)
{
    (void)state;
    struct redis_breaker b = {0};
    static const int64_t pauses_ms[] = {100, 200, 400, 800, 1000, 1000};
    for (size_t i = 0; i < ARRAY_LEN(pauses_ms); i++)
        assert_int_equal(redis_breaker_down(&b, i % 2 == 0, US_PER_S), pauses_ms[i] * US_PER_MS);
    redis_breaker_up(&b, US_PER_S);
    assert_int_equal(redis_breaker_down(&b, false, 2 * US_PER_S), 100 * US_PER_MS);
}

static void a_server_that_is_slow_again_and_again_is_left_alone_for_longer(void **state)
{
    (void)state;
    struct redis_breaker b = {0};
    static const int64_t pauses_ms[] = {100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000};
    int64_t now_us = US_PER_S;
    for (size_t i = 0; i < ARRAY_LEN(pauses_ms); i++) {
        redis_breaker_up(&b, now_us);
        now_us += 50 * US_PER_MS;
        assert_int_equal(redis_breaker_down(&b, true, now_us), pauses_ms[i] * US_PER_MS);
    }
    redis_breaker_up(&b, now_us);
    assert_int_equal(redis_breaker_down(&b, true, now_us + 10 * US_PER_S), 100 * US_PER_MS);
}

static void ends_are_not_slow(void **state)
{
    (void)state;
    struct redis_breaker b = {0};
    for (int i = 0; i < 5; i++) {
        redis_breaker_up(&b, US_PER_S);
        assert_int_equal(redis_breaker_down(&b, false, US_PER_S), 100 * US_PER_MS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probes_that_fail_come_at_least_each_second),
        cmocka_unit_test(a_server_that_is_slow_again_and_again_is_left_alone_for_longer),
        cmocka_unit_test(ends_are_not_slow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
