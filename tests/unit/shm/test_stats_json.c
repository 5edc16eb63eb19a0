#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/events.h"
#include "shm/slow.h"
#include "shm/stats_json.h"
#include "tests/unit/shm/stats_viewed.h"

static cJSON *document_of(int64_t now_us)
{
    struct buf text = {0};
    const char *end = NULL;
    struct snapshot *s = snapshot_take(view, now_us);
    stats_json_write(&text, s, view);
    snapshot_destroy(&s);
    buf_addc(&text, '\0');
    cJSON *document = cJSON_ParseWithOpts(text.at, &end, true);
    if (document == NULL)
        fail_msg("no JSON at: %.60s", end);
    buf_deinit(&text);
    return document;
}

static cJSON *in(const cJSON *object, const char *name)
{
    cJSON *member = cJSON_GetObjectItemCaseSensitive(object, name);
    if (member == NULL)
        fail_msg("no %s", name);
    return member;
}

static void it_has_what_was_counted(void **state)
{
    struct stats *stats = *state;
    int row = stats_route_row(stats, "GET /a");
    stats_add(stats, 0, STAT_requests, 10);
    stats_add(stats, 1, STAT_requests, 5);
    stats_route_add(stats, 1, row, ROUTE_STAT_requests, 3);
    for (int us = 100; us <= 300; us += 100)
        stats_route_observe(stats, 1, row, ROUTE_HIST_miss, us);
    cJSON *document = document_of(1000);
    assert_string_equal(in(document, "schema")->valuestring, "perfd.stats/1");
    assert_int_equal(in(document, "at_us")->valueint, 1000);
    assert_int_equal(in(in(document, "metrics"), "requests")->valueint, 15);
    cJSON *slots = in(document, "slots"), *routes = in(document, "routes"), *first = cJSON_GetArrayItem(routes, 0);
    assert_int_equal(cJSON_GetArraySize(slots), 3);
    assert_int_equal(in(cJSON_GetArrayItem(slots, 0), "slot")->valueint, STATS_KEEPER);
    assert_int_equal(in(cJSON_GetArrayItem(slots, 2), "requests")->valueint, 5);
    assert_null(cJSON_GetObjectItem(cJSON_GetArrayItem(slots, 2), "streams"));
    assert_string_equal(in(first, "route")->valuestring, "GET /a");
    assert_int_equal(in(first, "requests")->valueint, 3);
    assert_int_equal(in(first, "max_us")->valueint, histogram_upper_us(histogram_bucket(300)));
    cJSON *miss = in(first, "miss"), *edges = in(miss, "le_us"), *counts = in(miss, "counts");
    assert_int_equal(cJSON_GetArraySize(edges), 3);
    assert_int_equal(cJSON_GetArraySize(counts), 3);
    assert_int_equal(cJSON_GetArrayItem(edges, 1)->valueint, histogram_upper_us(histogram_bucket(200)));
    assert_int_equal(cJSON_GetArrayItem(counts, 1)->valueint, 1);
    assert_true(cJSON_IsNull(in(in(first, "hit"), "p99_us")));
    assert_string_equal(in(cJSON_GetArrayItem(routes, 1), "route")->valuestring, "(other)");
    cJSON_Delete(document);
}

static void slow_queries_come_without_their_parameters(void **state)
{
    struct stats *stats = *state;
    struct slow_query query = {.at_us = 5, .run_us = 700000, .rows = 2, .fingerprint = 0xabc, .has_params = 1};
    snprintf(query.route, sizeof query.route, "GET /slow");
    assert_true(slow_param_add(&query, "secret"));
    for (int i = 0; i < STATS_JSON_SLOW + 5; i++)
        assert_int_not_equal(slow_add(stats_slow(stats), 0, &query), 0);
    cJSON *document = document_of(1000), *slow = in(document, "slow"), *last = cJSON_GetArrayItem(slow, 0);
    assert_int_equal(cJSON_GetArraySize(slow), STATS_JSON_SLOW);
    assert_int_equal(in(last, "number")->valueint, STATS_JSON_SLOW + 5);
    assert_string_equal(in(last, "fingerprint")->valuestring, "0000000000000abc");
    assert_true(cJSON_IsNull(in(last, "state")));
    char *text = cJSON_PrintUnformatted(document);
    assert_null(strstr(text, "secret"));
    cJSON_free(text);
    cJSON_Delete(document);
}

/* A text that is cut within a character would make the whole document unreadable. */
static void texts_are_always_utf8(void **state)
{
    struct stats *stats = *state;
    event_note(stats_events(stats), 0, EVENT_started, 1, 77, "\"torn\": \xc3");
    cJSON *document = document_of(1000), *event = cJSON_GetArrayItem(in(document, "events"), 0);
    assert_string_equal(in(event, "text")->valuestring, "\"torn\": ?");
    assert_string_equal(in(event, "kind")->valuestring, event_names[EVENT_started]);
    assert_int_equal(in(event, "pid")->valueint, 77);
    cJSON_Delete(document);
}

static void a_new_file_has_no_history(void **state)
{
    (void)state;
    struct buf text = {0};
    stats_json_write_history(&text, view);
    buf_addc(&text, '\0');
    cJSON *document = cJSON_Parse(text.at);
    assert_non_null(document);
    assert_string_equal(in(document, "schema")->valuestring, "perfd.history/1");
    assert_int_equal(cJSON_GetArraySize(in(document, "seconds")), 0);
    assert_int_equal(cJSON_GetArraySize(in(document, "minutes")), 0);
    cJSON_Delete(document);
    buf_deinit(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_has_what_was_counted, make_viewed, remove_viewed),
        cmocka_unit_test_setup_teardown(slow_queries_come_without_their_parameters, make_viewed, remove_viewed),
        cmocka_unit_test_setup_teardown(texts_are_always_utf8, make_viewed, remove_viewed),
        cmocka_unit_test_setup_teardown(a_new_file_has_no_history, make_viewed, remove_viewed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
