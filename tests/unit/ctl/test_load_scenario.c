#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"
#include "master/ctl/load/scenario.h"
#include "tests/unit/arena_fixture.h"

#define GOOD_URL "\"base_url\": \"http://h:81/v1/\", "
#define GOOD_USERS "\"users\": [{\"duration\": \"1s\", \"target\": 2}], "
#define GOOD_REQUESTS "\"requests\": [{\"name\": \"r\", \"path\": \"/p\"}]"
#define WITH_REQUEST(members) "{" GOOD_URL GOOD_USERS "\"requests\": [{\"name\": \"r\", " members "}]}"
#define WITH(members) "{" GOOD_URL GOOD_USERS members ", " GOOD_REQUESTS "}"

static const struct scenario_choice plain = {.duration_scale = 1, .scale = 1};

static struct scenario parse(const char *text, const struct scenario_choice *choice)
{
    struct err err;
    struct scenario s;
    if (!scenario_parse("f", slice_str(text), choice, arena, &s, &err))
        fail_msg("%s", err.text);
    return s;
}

/* The request of that number, without the head's fields. */
static const char *written(const struct scenario *s, uint64_t number)
{
    struct buf buf = {0};
    scenario_write(s, 1, number, 7 * US_PER_MS, &buf);
    const char *text = arena_str(arena, buf_slice(&buf));
    buf_deinit(&buf);
    return text;
}

static void mistakes_are_told_with_their_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"{", "f:1:2: a string was expected"},
        {"{\n \"users\" 1}", "f:2:10: a colon was expected"},
        {"{" GOOD_USERS GOOD_REQUESTS "}", "f:1:1: \"base_url\" is missing"},
        {"{" GOOD_URL GOOD_REQUESTS "}", "f:1:1: needs stages of either \"users\" or \"rate\""},
        {"{" GOOD_URL GOOD_USERS "\"rate\": [], " GOOD_REQUESTS "}",
         "f:1:1: needs stages of either \"users\" or \"rate\", not of both"},
        {"{" GOOD_URL "\"users\": [{\"duration\": \"1s\"}], " GOOD_REQUESTS "}",
         "f:1:43: users[0]: \"target\" is missing"},
        {"{" GOOD_URL "\"users\": [{\"duration\": \"1x\", \"target\": 1}]}",
         "f:1:56: users[0].duration: \"1x\" is not a duration such as 250ms, 3s, 5m, 1h or 1d"},
        {"{" GOOD_URL "\"users\": [{\"duration\": \"366d\", \"target\": 1}]}",
         "f:1:56: users[0].duration: must be up to 365d"},
        {"{" GOOD_URL "\"users\": [{\"duration\": \"1s\", \"target\": 1.5}]}",
         "f:1:72: users[0].target: must be a whole number"},
        {"{" GOOD_URL "\"rate\": [{\"duration\": \"1s\", \"target\": 0}]}",
         "f:1:41: rate: nothing would be sent: a stage must last and one must have a target"},
        {"{\n\"base_url\": \"https://h\"}", "f:2:13: base_url: \"https://h\" does not begin with http://"},
        {"{\"base_url\": \"http://h:0\"}",
         "f:1:14: base_url: \"http://h:0\" is not a URL such as http://127.0.0.1:8080 or http://host/prefix"},
        {WITH("\"think_time\": [\"2s\", \"1s\"]"),
         "f:1:91: think_time: must be two durations up to 1h, the shorter first"},
        {WITH("\"timeout\": \"61s\""), "f:1:88: timeout: must be up to 60s"},
        {WITH("\"thinktime\": 1"), "f:1:90: thinktime: is not known here"},
        {WITH("\"variables\": {\"User\": {}}"), "f:1:99: variables.User: a variable's name is of a to z and _"},
        {WITH("\"variables\": {\"u\": {\"kind\": \"zipf\"}}"),
         "f:1:105: variables.u.kind: must be uniform, log_uniform, counter or time_ms"},
        {WITH("\"variables\": {\"u\": {\"kind\": \"log_uniform\", \"from\": 0, \"to\": 5}}"),
         "f:1:128: variables.u.from: must be from 1 to 9007199254740992"},
        {WITH("\"variables\": {\"u\": {\"kind\": \"uniform\", \"from\": 2, \"to\": 1}}"),
         "f:1:133: variables.u.to: must be from 2 to 9007199254740992"},
        {WITH("\"variables\": {\"u\": {\"kind\": \"time_ms\", \"from\": 2}}"),
         "f:1:124: variables.u.from: is not known here"},
        {WITH("\"headers\": {\"Host\": \"x\"}"), "f:1:97: headers.Host: is written by perfctl itself"},
        {WITH("\"headers\": {\"A\": \"x\\r\\n\"}"),
         "f:1:94: headers.A: must be of visible ASCII characters and blanks"},
        {WITH_REQUEST("\"path\": \"p\""),
         "f:1:112: requests[0].path: must begin with / and be of visible ASCII characters without #"},
        {WITH_REQUEST("\"path\": \"/{nobody}\""), "f:1:112: requests[0].path: there is no variable \"nobody\""},
        {WITH_REQUEST("\"path\": \"/p\", \"method\": \"get\""),
         "f:1:128: requests[0].method: must be GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS"},
        {WITH_REQUEST("\"path\": \"/p\", \"weight\": -1"), "f:1:128: requests[0].weight: must be from 0 to 1000000"},
        {WITH_REQUEST("\"path\": \"/p\", \"weight\": 0"), "f:1:89: requests: one must have a weight above 0"},
        {WITH_REQUEST("\"path\": \"/p\", \"status\": [200, 100]"),
         "f:1:134: requests[0].status[1]: must be from 200 to 599"},
        {WITH_REQUEST("\"path\": \"/p\", \"json\": 1, \"body\": \"\""),
         "f:1:137: requests[0].body: stands beside \"json\""},
        {"{" GOOD_URL GOOD_USERS "\"requests\": []}", "f:1:89: requests: must be from 1 to 64 requests"},
        {"{" GOOD_URL GOOD_USERS
         "\"requests\": [{\"name\": \"a\", \"path\": \"/\"}, {\"name\": \"a\", \"path\": \"/\"}]}",
         "f:1:89: requests: two have the name \"a\""},
        {WITH("\"thresholds\": {\"latency\": []}"), NULL},
        {WITH("\"thresholds\": {\"checks\": [\"p(95)<1\"]}"), NULL},
        {WITH("\"thresholds\": {\"checks{name:x}\": [\"rate<1\"]}"), NULL},
    };
    static const char *const threshold_errors[] = {
        "thresholds.latency: metrics are http_req_duration, http_req_failed, checks and http_reqs",
        "thresholds.checks[0]: checks has rate", "thresholds.checks{name:x}: no request has this name"};
    size_t others = 0;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct scenario s;
        struct err err = {""};
        assert_false(scenario_parse("f", slice_str(cases[i].text), &plain, arena, &s, &err));
        if (cases[i].error != NULL)
            assert_string_equal(err.text, cases[i].error);
        else
            assert_non_null(strstr(err.text, threshold_errors[others++]));
    }
}

static void a_request_is_written_as_it_goes_out(void **state)
{
    (void)state;
    struct scenario s = parse("{" GOOD_URL GOOD_USERS "\"headers\": {\"X-All\": \"{n}\"},"
                              "\"variables\": {\"n\": {\"kind\": \"counter\", \"from\": 5, \"step\": 2},"
                              "                \"now\": {\"kind\": \"time_ms\"}},"
                              "\"requests\": [{\"name\": \"r\", \"method\": \"POST\", \"path\": \"/a/{n}?x={n}\","
                              "  \"json\": {\"id\": \"{n}\", \"t\": \"at {now}\", \"o\": {}, \"q\": \"\\\"{n}\"}}]}",
                              &plain);
    assert_string_equal(written(&s, 3),
                        "POST /v1/a/11?x=11 HTTP/1.1\r\nHost: h:81\r\nUser-Agent: perfctl-load/" PERFD_VERSION "\r\n"
                        "X-All: 11\r\nContent-Type: application/json\r\nContent-Length: 45\r\n\r\n"
                        "{\"id\": 11, \"t\": \"at 7\", \"o\": {}, \"q\": \"\\\"11\"}");
}

/* A text is no JSON, whose strings become numbers. */
static void a_text_keeps_its_quotes(void **state)
{
    (void)state;
    struct scenario s = parse("{" GOOD_URL GOOD_USERS "\"variables\": {\"n\": {\"kind\": \"counter\", \"from\": 5}},"
                              "\"requests\": [{\"name\": \"r\", \"path\": \"/\", \"body\": \"\\\"{n}\\\"\"}]}",
                              &plain);
    assert_non_null(strstr(written(&s, 0), "\r\nContent-Length: 3\r\n\r\n\"5\""));
}

static void a_request_depends_on_the_seed_and_its_number_alone(void **state)
{
    (void)state;
    struct scenario s = parse(
        "{" GOOD_URL GOOD_USERS "\"variables\": {\"u\": {\"kind\": \"uniform\", \"from\": 0, \"to\": 1000000000}},"
        "\"requests\": [{\"name\": \"a\", \"path\": \"/a{u}\"}, {\"name\": \"b\", \"path\": \"/b{u}\"}]}",
        &plain);
    int same = 0;
    for (uint64_t i = 0; i < 100; i++) {
        const char *first = written(&s, i);
        assert_string_equal(first, written(&s, i));
        assert_int_equal(scenario_choose(&s, 1, i), first[8] - 'a');
        same += strcmp(first, written(&s, i + 100)) == 0;
    }
    assert_int_equal(same, 0);
}

static void requests_come_as_often_as_they_weigh(void **state)
{
    (void)state;
    struct scenario s =
        parse("{" GOOD_URL GOOD_USERS "\"requests\": [{\"name\": \"a\", \"path\": \"/\", \"weight\": 1},"
              "{\"name\": \"b\", \"path\": \"/\", \"weight\": 0}, {\"name\": \"c\", \"path\": \"/\", \"weight\": 3},"
              "{\"name\": \"d\", \"path\": \"/\", \"weight\": 4}]}",
              &plain);
    int counts[4] = {0}, same = 0;
    for (uint64_t i = 0; i < 40000; i++)
        counts[scenario_choose(&s, 9, i)]++;
    assert_in_range(counts[0], 4700, 5300);
    assert_int_equal(counts[1], 0);
    assert_in_range(counts[2], 14600, 15400);
    assert_in_range(counts[3], 19600, 20400);
    for (uint64_t i = 0; i < 1000; i++)
        same += scenario_choose(&s, 9, i) == scenario_choose(&s, 10, i);
    assert_in_range(same, 300, 500); /* as often as by chance: (1 + 9 + 16) / 64 */
}

static void draws_are_where_they_should_be(void **state)
{
    const struct variable uniform = {"", VARIABLE_uniform, 10, 31, 10};
    const struct variable people = {"", VARIABLE_log_uniform, 1, 10000, 1}, two = {"", VARIABLE_log_uniform, 1, 2, 1};
    int second = 0, few = 0, seen[3] = {0}, one = 0;
    (void)state;
    for (uint64_t i = 0; i < 40000; i++) {
        struct dice dice = dice_of(3, i);
        int64_t user = variable_draw(&people, &dice, i, 0), step = variable_draw(&uniform, &dice, i, 0);
        second += variable_draw(&two, &dice, i, 0) == 2;
        assert_in_range(user, 1, 10000);
        few += user < 100;
        one += user == 1;
        assert_true(step == 10 || step == 20 || step == 30);
        seen[step / 10 - 1]++;
    }
    assert_in_range(few, 19500, 20500);    /* half of them: log(100) is half of log(10000) */
    assert_in_range(one, 2700, 3300);      /* log(2) of log(10001) */
    assert_in_range(second, 14200, 15300); /* log(3/2) of log(3) */
    for (int i = 0; i < 3; i++)
        assert_in_range(seen[i], 12800, 13900);
}

static void the_choices_of_a_run_count(void **state)
{
    (void)state;
    const struct scenario_choice choice = {"http://[::1]:8080/x", 0.5, 10};
    struct scenario s = parse("{" GOOD_URL GOOD_USERS "\"variables\": {"
                              "\"a\": {\"kind\": \"uniform\", \"from\": 0, \"to\": 7, \"scales\": true},"
                              "\"b\": {\"kind\": \"uniform\", \"from\": 0, \"to\": 7}}, " GOOD_REQUESTS "}",
                              &choice);
    assert_string_equal(s.url.host, "::1");
    assert_string_equal(s.url.port, "8080");
    assert_true(slice_is(s.url.authority, "[::1]:8080"));
    assert_int_equal(plan_length_us(&s.plan), US_PER_S / 2);
    assert_int_equal(s.variables.all[0].to, 70);
    assert_int_equal(s.variables.all[1].to, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mistakes_are_told_with_their_place),
        cmocka_unit_test(a_request_is_written_as_it_goes_out),
        cmocka_unit_test(a_text_keeps_its_quotes),
        cmocka_unit_test(a_request_depends_on_the_seed_and_its_number_alone),
        cmocka_unit_test(requests_come_as_often_as_they_weigh),
        cmocka_unit_test(draws_are_where_they_should_be),
        cmocka_unit_test(the_choices_of_a_run_count),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
