#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "master/ctl/snapshot_file.h"

/* Figures of a file with two slots and two routes, as text. */
static int setup(void **state)
{
    struct err err;
    char path[] = "/tmp/perfd-snapshot-file.XXXXXX";
    char *text = NULL;
    size_t bytes;
    close(mkstemp(path));
    struct stats *stats = stats_create(path, 2, 3, &err);
    int row = stats_route_row(stats, "GET /a\"{id}");
    stats_add(stats, 1, STAT_requests, INT64_C(1700000000000007));
    stats_set(stats, STATS_KEEPER, STAT_pid, 42);
    stats_observe(stats, 0, HIST_database, 200);
    stats_observe(stats, 0, HIST_database, 70000000);
    stats_route_add(stats, 1, row, ROUTE_STAT_requests, 3);
    stats_route_observe(stats, 1, row, ROUTE_HIST_hit, 5);
    struct stats_view *view = stats_view_open(path, &err);
    struct snapshot *s = snapshot_take(view, 1700000000000000);
    FILE *out = open_memstream(&text, &bytes);
    bool ok = snapshot_file_write(s, out) && fclose(out) == 0;
    snapshot_destroy(&s);
    stats_view_close(&view);
    stats_close(&stats);
    unlink(path);
    *state = text;
    return !ok;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static void what_is_written_is_read(void **state)
{
    struct err err = {""};
    struct histogram h;
    struct snapshot *s = snapshot_file_parse(*state, strlen(*state), &err);
    if (s == NULL)
        fail_msg("%s", err.text);
    assert_int_equal(s->slots, 2);
    assert_int_equal(s->routes, 2);
    assert_int_equal(s->at_us, INT64_C(1700000000000000));
    assert_int_equal(s->master_pid, getpid());
    assert_string_equal(s->version, PERFD_VERSION);
    assert_string_equal(s->names[1], "GET /a\"{id}");
    assert_int_equal(snapshot_get(s, 1, STAT_requests), INT64_C(1700000000000007));
    assert_int_equal(snapshot_get(s, STATS_KEEPER, STAT_pid), 42);
    assert_int_equal(snapshot_route(s, 1, ROUTE_STAT_requests), 3);
    assert_int_equal(histogram_quantile_us(snapshot_route_hist(s, 1, ROUTE_HIST_hit), 1), 5);
    snapshot_hist(s, HIST_database, &h);
    assert_int_equal(h.buckets[histogram_bucket(200)], 1);
    assert_int_equal(h.buckets[HISTOGRAM_BUCKETS - 1], 1);
    for (int scope = 0; scope < STATS_SCOPES; scope++)
        for (int i = 0; i < stat_lists[scope].count; i++) {
            const struct stat_info *info = &s->lists[scope].infos[i], *ours = &stat_lists[scope].infos[i];
            assert_string_equal(info->name, ours->name);
            assert_string_equal(info->unit, ours->unit);
            assert_int_equal(info->counter, ours->counter);
            assert_int_equal(info->sum, ours->sum);
        }
    snapshot_destroy(&s);
}

static void a_window_may_begin_with_one_that_was_kept(void **state)
{
    struct err err = {""};
    struct snapshot *earlier = snapshot_file_parse(*state, strlen(*state), &err);
    struct snapshot *later = snapshot_file_parse(*state, strlen(*state), &err);
    later->at_us += 5;
    later->values[0] += 7;
    struct snapshot *window = snapshot_between(earlier, later, &err);
    assert_non_null(window);
    assert_int_equal(window->span_us, 5);
    assert_int_equal(snapshot_get_at(window, STATS_KEEPER, 0), 7);
    assert_int_equal(snapshot_sum(window, STAT_requests), 7);
    snapshot_destroy(&window);
    later->started_us++;
    assert_null(snapshot_between(earlier, later, &err));
    assert_non_null(strstr(err.text, "two lives"));
    snapshot_destroy(&earlier);
    snapshot_destroy(&later);
}

/* The text with the first `from` behind `behind` replaced. */
static char *changed(const char *text, const char *behind, const char *from, const char *to)
{
    char *out = NULL;
    const char *at = strstr(text, behind);
    assert_non_null(at);
    at = strstr(at, from);
    assert_non_null(at);
    assert_true(asprintf(&out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) > 0);
    return out;
}

static void what_is_damaged_is_named(void **state)
{
    static const struct {
        const char *behind, *from, *to, *named;
    } cases[] = {
        {"", "perfctl.snapshot/1", "perfctl.stats/1", "schema: is not that of a snapshot"},
        {"", "perfctl.snapshot/1", "perfctl.snapshot/2", "schema: another version's: perfctl.snapshot/2"},
        {"", "\"at_us\"", "\"at\"", "at_us: is missing"},
        {"", "\"at_us\":\t", "\"at_us\":\t-", "at_us: -1700000000000000 is out of bounds"},
        {"", "\"slots\":\t2", "\"slots\":\t3", "metrics[0].values: has 3 elements, not 4"},
        {"", "\"slots\":\t2", "\"slots\":\t2.5", "slots: is no whole number"},
        {"\"metrics\"", "counter", "counting", "metrics[0].kind: is neither counter nor gauge"},
        {"\"metrics\"", "1700000000000007", "\"many\"", "metrics[0].values[2]: is no whole number"},
        {"\"histograms\"", "[201, 1]", "[200, 1]", "].values[1][0]: 200 is not the largest"},
        {"\"histograms\"", "[201, 1]", "[201, 1], [199, 1]",
         "].values[1][1]: 199 is not the largest value of a bucket"},
        {"\"histograms\"", "[201, 1]", "[201, 0]", "].values[1][0]: 0 is out of bounds"},
        {"\"histograms\"", "[201, 1]", "[201]", "].values[1][0]: is not a pair"},
        {"\"routes\"", "\"histograms\"", "\"histogram\"", "routes[0].histograms: is missing, or no list"},
        {"\"routes\"", "\"(other)\"", "7", "routes[0].route: is missing, or no text"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = {""};
        char *text = changed(*state, cases[i].behind, cases[i].from, cases[i].to);
        assert_null(snapshot_file_parse(text, strlen(text), &err));
        if (strstr(err.text, cases[i].named) == NULL)
            fail_msg("\"%s\" does not name \"%s\"", err.text, cases[i].named);
        free(text);
    }
}

/* Nothing but blanks may be missing at its end. */
static void what_is_cut_short_is_refused(void **state)
{
    size_t bytes = strlen(*state);
    for (size_t left = 0; left < bytes - 2; left += 1 + left / 50) {
        struct err err = {""};
        assert_null(snapshot_file_parse(*state, left, &err));
        assert_non_null(strstr(err.text, "cut short"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_window_may_begin_with_one_that_was_kept),
        cmocka_unit_test(what_is_damaged_is_named),
        cmocka_unit_test(what_is_cut_short_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
