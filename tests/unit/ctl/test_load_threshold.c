#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"
#include "master/ctl/load/meter.h"
#include "master/ctl/load/threshold.h"

/* 100 requests of 1 to 100 ms in 10 s; five whose answer broke off behind a good head, five with 500, ten with a status
 * that is not expected. */
static struct tally hundred(void)
{
    struct tally t = {0};
    for (int i = 1; i <= 100; i++) {
        enum outcome outcome = i <= 5 ? OUTCOME_lost : OUTCOME_answered;
        tally_add(&t, outcome, i > 5 && i <= 10 ? 500 : 200, i <= 5 || i > 20, i * US_PER_MS, 7);
    }
    return t;
}

static struct verdict check(const char *metric, const char *text)
{
    struct threshold t;
    struct err err;
    struct tally tally = hundred();
    if (!threshold_parse_metric(metric, &t, &err) || !threshold_parse(text, &t, &err))
        fail_msg("%s", err.text);
    return threshold_check(&t, &tally, 10);
}

static void figures_are_those_of_the_requests(void **state)
{
    static const struct {
        const char *metric, *text;
        double least, most;
    } cases[] = {
        {"http_req_duration", "avg<1", 50.5, 50.5},
        {"http_req_duration", "min<1", 1, 1},
        {"http_req_duration", "max<1", 100, 100},
        {"http_req_duration", "med<1", 50, 50.8},
        {"http_req_duration", "p(95)<1", 95, 96.5},
        {"http_req_duration", "p(99.5)<1", 100, 100},
        {"http_req_duration", "p(0)<1", 1, 1},
        {"http_req_failed", "rate<1", 0.1, 0.1},
        {"checks", "rate<1", 0.8, 0.8},
        {"http_reqs", "count<1", 100, 100},
        {"http_reqs", "rate<1", 10, 10},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct verdict v = check(cases[i].metric, cases[i].text);
        assert_true(v.measured);
        if (v.value < cases[i].least || v.value > cases[i].most)
            fail_msg("%s %s is %g", cases[i].metric, cases[i].text, v.value);
    }
}

static void each_comparison_compares(void **state)
{
    static const struct {
        const char *text;
        bool holds;
    } cases[] = {{"count<100", false}, {"count < 100.5", true}, {"count<=100", true},  {"count<=99", false},
                 {"count>100", false}, {"count>99", true},      {"count>=100", true},  {"count>=1e3", false},
                 {"count==100", true}, {"count==99", false},    {"count===100", true}, {"count!=100", false},
                 {"count!= 5 ", true}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (check("http_reqs", cases[i].text).holds != cases[i].holds)
            fail_msg("%s", cases[i].text);
}

static void mistakes_are_told(void **state)
{
    static const struct {
        const char *metric, *text, *error;
    } cases[] = {
        {"http_req_durations", "", "metrics are http_req_duration, http_req_failed, checks and http_reqs"},
        {"checks{tag:x}", "", "behind the metric may stand {name:...}, not \"{tag:x}\""},
        {"checks{name:}", "", "behind the metric may stand {name:...}, not \"{name:}\""},
        {"checks", "p(95)<1", "checks has rate"},
        {"http_reqs", "avg<1", "http_reqs has count or rate"},
        {"http_req_duration", "", "http_req_duration has avg, min, med, max or p(N)"},
        {"http_req_duration", "p95<1", "p needs a number from 0 to 100, as in p(95)"},
        {"http_req_duration", "p(0x10)<1", "p needs a number from 0 to 100, as in p(95)"},
        {"http_req_duration", "avg 5", "one of < <= > >= == != was expected at \"5\""},
        {"http_req_duration", "p(95<1", "p needs a number from 0 to 100, as in p(95)"},
        {"http_req_duration", "p(101)<1", "p needs a number from 0 to 100, as in p(95)"},
        {"http_req_duration", "p(-1)<1", "p needs a number from 0 to 100, as in p(95)"},
        {"http_req_duration", "p(95)=1", "one of < <= > >= == != was expected at \"=1\""},
        {"http_req_duration", "p(95)<", "a number was expected at \"\""},
        {"http_req_duration", "p(95)<nan", "a number was expected at \"nan\""},
        {"http_req_duration", "p(95)<0x10", "a number was expected at \"0x10\""},
        {"http_req_duration", "p(95)<500ms", "nothing was expected at \"ms\""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct threshold t;
        struct err err = {""};
        assert_false(threshold_parse_metric(cases[i].metric, &t, &err) && threshold_parse(cases[i].text, &t, &err));
        assert_string_equal(err.text, cases[i].error);
    }
}

/* Each as k6 1.8 has it of a request that never came. */
static void of_no_requests_shares_hold_and_all_else_is_nothing(void **state)
{
    static const struct {
        const char *metric, *text;
        bool holds, measured;
    } cases[] = {{"http_reqs{name:GET /x}", "count>=1", false, true},
                 {"http_reqs{name:GET /x}", "rate>=1", false, true},
                 {"http_reqs{name:GET /x}", "count<5", true, true},
                 {"http_req_duration{name:GET /x}", "p(95)>5", false, false},
                 {"http_req_duration{name:GET /x}", "min>5", false, false},
                 {"http_req_duration{name:GET /x}", "p(95)<5", true, false},
                 {"http_req_failed{name:GET /x}", "rate>0.5", true, false},
                 {"checks{name:GET /x}", "rate>0.5", true, false}};
    const struct tally nothing = {0};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct threshold t;
        struct err err;
        assert_true(threshold_parse_metric(cases[i].metric, &t, &err) && threshold_parse(cases[i].text, &t, &err));
        assert_true(slice_is(t.name, "GET /x"));
        struct verdict verdict = threshold_check(&t, &nothing, 1);
        if (verdict.holds != cases[i].holds || verdict.measured != cases[i].measured)
            fail_msg("%s %s", cases[i].metric, cases[i].text);
    }
}

static void tallies_add_up(void **state)
{
    struct tally sum = {0}, one = hundred(), slow = {0};
    const struct tally nothing = {0};
    (void)state;
    tally_add(&slow, OUTCOME_timed_out, 0, false, 200 * US_PER_S, 0);
    tally_sum(&sum, &nothing);
    tally_sum(&sum, &one);
    tally_sum(&sum, &slow);
    assert_int_equal(sum.requests, 101);
    assert_int_equal(sum.min_us, US_PER_MS);
    assert_int_equal(sum.max_us, 200 * US_PER_S); /* exact, though the histogram ends before it */
    assert_int_equal(sum.failed, 11);
    assert_int_equal(sum.outcomes[OUTCOME_lost], 5);
    assert_int_equal(sum.outcomes[OUTCOME_timed_out], 1);
    assert_int_equal(sum.bytes, 700);
}

/* A queue of minutes: what is beyond the histogram is not told as its end. */
static void quantiles_beyond_the_histogram_are_the_maximum(void **state)
{
    struct tally t = {0};
    (void)state;
    for (int i = 0; i < 100; i++)
        tally_add(&t, OUTCOME_answered, 200, true, i < 50 ? US_PER_S : 300 * US_PER_S, 0);
    assert_in_range(tally_quantile_us(&t, 0.5), US_PER_S, US_PER_S + US_PER_S / 64);
    assert_int_equal(tally_quantile_us(&t, 0.95), 300 * US_PER_S);
    const struct tally nothing = {0};
    assert_int_equal(tally_quantile_us(&nothing, 0.5), -1);
}

static void a_late_timer_is_of_its_second_alone(void **state)
{
    struct meter m;
    (void)state;
    meter_begin(&m, 0, 0);
    meter_late(&m, 25 * US_PER_MS);
    meter_look(&m, US_PER_S, US_PER_MS, false);
    meter_look(&m, 2 * US_PER_S, US_PER_MS, false);
    assert_int_equal(m.seconds, 2);
    assert_int_equal(m.saturated, 1);
}

/* All of what is left of the last second went into ending. */
static void a_short_rest_is_no_second(void **state)
{
    struct meter m;
    (void)state;
    meter_begin(&m, 0, 0);
    meter_look(&m, US_PER_S, US_PER_MS, false);
    meter_look(&m, US_PER_S + 50, US_PER_MS + 50, true);
    assert_int_equal(m.seconds, 1);
    assert_int_equal(m.saturated, 0);
    assert_int_equal(m.cpu_us, US_PER_MS + 50);
    meter_begin(&m, 0, 0);
    meter_look(&m, 50, 50, true);
    assert_int_equal(m.seconds, 1);
}

static void the_meter_knows_when_the_generator_is_the_limit(void **state)
{
    struct meter m;
    (void)state;
    meter_begin(&m, 0, 0);
    for (int s = 1; s <= 39; s++) {
        meter_late(&m, 15 * US_PER_MS);
        meter_look(&m, s * US_PER_S, s * 850 * US_PER_MS, false);
    }
    assert_int_equal(m.seconds, 39);
    assert_false(meter_is_saturated(&m));
    meter_look(&m, 40 * US_PER_S, 39 * 850 * US_PER_MS + 950 * US_PER_MS, false);
    assert_false(meter_is_saturated(&m)); /* one second of forty */
    meter_late(&m, 25 * US_PER_MS);
    meter_look(&m, 40 * US_PER_S + 1, 39 * 850 * US_PER_MS + 950 * US_PER_MS, false);
    assert_int_equal(m.seconds, 40);
    meter_look(&m, 40 * US_PER_S + 5000, 39 * 850 * US_PER_MS + 950 * US_PER_MS, true);
    assert_int_equal(m.saturated, 2);
    assert_false(meter_is_saturated(&m)); /* two of 41 */
    meter_late(&m, 25 * US_PER_MS);
    meter_look(&m, 42 * US_PER_S, 0, true);
    assert_true(meter_is_saturated(&m));
    assert_int_equal(m.worst_us, 25 * US_PER_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_those_of_the_requests),
        cmocka_unit_test(each_comparison_compares),
        cmocka_unit_test(mistakes_are_told),
        cmocka_unit_test(of_no_requests_shares_hold_and_all_else_is_nothing),
        cmocka_unit_test(tallies_add_up),
        cmocka_unit_test(quantiles_beyond_the_histogram_are_the_maximum),
        cmocka_unit_test(a_late_timer_is_of_its_second_alone),
        cmocka_unit_test(a_short_rest_is_no_second),
        cmocka_unit_test(the_meter_knows_when_the_generator_is_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
