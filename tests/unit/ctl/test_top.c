#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"
#include "master/ctl/chart.h"
#include "master/ctl/top/grid.h"
#include "master/ctl/top/series.h"

#include <locale.h>
#include <string.h>

/* ---- pages ---- */

static void assert_row(const struct page *page, int row, const wchar_t *wanted)
{
    for (int i = 0; i < page->columns; i++) {
        wchar_t glyph = i < (int)wcslen(wanted) ? wanted[i] : L' ';
        assert_int_equal(page->cells[row * page->columns + i].glyph, glyph);
    }
}

static void nothing_steers_the_terminal(void **state)
{
    (void)state;
    struct page *page = page_create(5, 10);
    page_put(page, 0, 0, STYLE_plain, "a\x1b[2J\nb\x7f");
    page_put(page, 1, 0, STYLE_plain, "\xc3\xa9\xff\x80\xe2\x82");
    page_put(page, 2, 0, STYLE_plain, "\xe6\xbc\xa2\xcc\x81x");
    page_put(page, 3, 7, STYLE_plain, "over the end");
    assert_int_equal(page_put(page, 9, 0, STYLE_plain, "nowhere"), 0);
    page_field(page, 4, 0, 4, false, STYLE_plain, "abcdef");
    page_field(page, 4, 5, 4, true, STYLE_plain, "xy");
    assert_row(page, 0, L"a?[2J?b?");
    assert_row(page, 1, L"\u00e9??");
    assert_row(page, 2, L"??x");
    assert_row(page, 3, L"       ove");
    assert_row(page, 4, L"abc\u2026   xy");
    page_destroy(&page);
}

/* ---- charts ---- */

static void a_line_has_gaps_and_shows_all_that_is_not_nothing(void **state)
{
    (void)state;
    const double values[] = {0, CHART_NOTHING, 0.001, 4, 8};
    struct page *page = page_create(1, 5);
    chart_line(page, 0, 0, STYLE_line, values, 5, 0);
    assert_row(page, 0, L"\u2581 \u2582\u2584\u2588");
    page_destroy(&page);
}

static void a_histogram_has_every_answer_in_its_step(void **state)
{
    (void)state;
    struct histogram by_kind[ROUTE_HIST_COUNT] = {0};
    struct page *page = page_create(20, 80);
    by_kind[ROUTE_HIST_hit].buckets[histogram_bucket(900)] = 1000;
    by_kind[ROUTE_HIST_hit].buckets[histogram_bucket(5)] = 1;
    by_kind[ROUTE_HIST_miss].buckets[histogram_bucket(60 * US_PER_S)] = 7;
    int rows = chart_histograms(page, 0, 20, by_kind);
    assert_in_range(rows, 3, 20);
    int counts = 0;
    for (int row = 2; row < rows; row++) {
        char text[81] = "";
        for (int i = 0; i < 80; i++)
            text[i] = (char)MIN(page->cells[row * 80 + i].glyph, L'~');
        counts += strstr(text, "1,000") != NULL && strstr(text, "1.00 ms") != NULL;
        counts += strstr(text, " 7 p99") != NULL && strstr(text, "100 s") != NULL;
    }
    assert_int_equal(counts, 2);
    page_destroy(&page);
}

static bool same_glyphs(const struct page *page, int row, int other, int columns)
{
    for (int i = 0; i < columns; i++)
        if (page->cells[row * page->columns + i].glyph != page->cells[other * page->columns + i].glyph)
            return false;
    return true;
}

/* Below 4 us a fine step is shorter than a microsecond: no two rows may go by the same name. */
static void steps_of_a_microsecond_have_their_own_names(void **state)
{
    (void)state;
    struct histogram by_kind[ROUTE_HIST_COUNT] = {0};
    struct page *page = page_create(40, 80);
    for (int us = 1; us <= 9; us++)
        by_kind[ROUTE_HIST_hit].buckets[histogram_bucket(us)] = 10;
    int rows = chart_histograms(page, 0, 40, by_kind);
    for (int row = 3; row < rows; row++)
        assert_false(same_glyphs(page, row, row - 1, 9));
    page_destroy(&page);
}

/* ---- series ---- */

static void samples_fall_into_columns(void **state)
{
    (void)state;
    double out[4];
    struct series *series = series_create();
    series_begin(series, 20 * US_PER_S, 20 * US_PER_S); /* of two columns */
    series_set(series, 3, 5);
    series_begin(series, 35 * US_PER_S, 5 * US_PER_S); /* behind a gap; two in one column */
    series_set(series, 3, 2);
    series_begin(series, 40 * US_PER_S, 5 * US_PER_S);
    series_set(series, 3, 4);
    series_columns(series, 3, false, 10 * US_PER_S, 4, out);
    assert_true(out[0] == 5 && out[1] == 5 && isnan(out[2]) && out[3] == 3);
    series_columns(series, 3, true, 10 * US_PER_S, 4, out);
    assert_true(out[3] == 4);
    series_forget(series, 3);
    series_columns(series, 3, true, 10 * US_PER_S, 4, out);
    assert_true(isnan(out[0]) && isnan(out[3]));
    series_destroy(&series);
}

static void a_long_series_keeps_its_end(void **state)
{
    (void)state;
    double out[2];
    struct series *series = series_create();
    for (int i = 1; i <= 5000; i++) {
        series_begin(series, i * US_PER_S, US_PER_S);
        series_set(series, 0, i);
    }
    series_columns(series, 0, false, US_PER_S, 2, out);
    assert_true(out[0] == 4999 && out[1] == 5000);
    series_destroy(&series);
}

/* ---- grids ---- */

static const struct grid_column columns[] = {
    {.title = "NAME", .left = true, .stretch = true},
    {.title = "N"},
    {.title = "MORE", .rank = 1},
};

static struct grid *fill(const char *const *names, const double *keys, int count)
{
    struct grid *grid = grid_create(columns, ARRAY_LEN(columns));
    for (int i = 0; i < count; i++) {
        grid_row(grid, names[i]);
        grid_text(grid, STYLE_plain, "%s", names[i]);
        grid_figure(grid, STYLE_plain, keys[i], "12");
        grid_figure(grid, STYLE_plain, 0, "more");
    }
    return grid;
}

static void the_chosen_row_stays_chosen(void **state)
{
    (void)state;
    const char *const names[] = {"one", "two", "three"};
    struct grid_state chosen = {.sort = 1, .down = true};
    struct grid *grid = fill(names, (const double[]){1, 2, 3}, 3);
    grid_arrange(grid, &chosen);
    assert_string_equal(grid_chosen(grid, &chosen), "three");
    grid_destroy(&grid);
    chosen.moved = true;
    grid = fill(names, (const double[]){9, 2, 3}, 3); /* three is the second now */
    grid_arrange(grid, &chosen);
    assert_string_equal(grid_chosen(grid, &chosen), "three");
    assert_int_equal(chosen.row, 1);
    strcpy(chosen.filter, "TW"); /* and now it is hidden */
    grid_arrange(grid, &chosen);
    assert_int_equal(grid_rows(grid), 1);
    assert_string_equal(grid_chosen(grid, &chosen), "two");
    strcpy(chosen.filter, "nothing");
    grid_arrange(grid, &chosen);
    assert_null(grid_chosen(grid, &chosen));
    grid_destroy(&grid);
}

/* Whoever sorts by a column wants to see it. */
static void what_is_sorted_by_stays(void **state)
{
    (void)state;
    const char *const names[] = {"GET /api/a-rather-long-name/{id}/posts"};
    struct grid_state chosen = {.sort = 2, .down = true};
    struct grid *grid = fill(names, (const double[]){1}, 1);
    struct page *page = page_create(3, 30);
    grid_arrange(grid, &chosen);
    grid_draw(grid, &chosen, page, 0, 3, false);
    assert_row(page, 0, L"NAME                  N  \u25bcMORE");
    page_destroy(&page);
    grid_destroy(&grid);
}

/* A detail has its rows and no more: the keys stand below it. What is no UTF-8 has its end, too. */
static void a_detail_wraps_and_ends(void **state)
{
    (void)state;
    const char *const names[] = {"0123456789\xc3\xa9\x80\x80\x80"};
    struct grid_state chosen = {0};
    struct grid *grid = fill(names, (const double[]){1}, 1);
    struct page *page = page_create(4, 15);
    grid_arrange(grid, &chosen);
    grid_draw_chosen(grid, &chosen, page, 0, 3);
    assert_row(page, 0, L" NAME  01234567");
    assert_row(page, 1, L"       89\u00e9???");
    assert_row(page, 2, L" N     12");
    assert_row(page, 3, L"");
    page_destroy(&page);
    page = page_create(4, 15);
    grid_draw_chosen(grid, &chosen, page, 0, 1);
    assert_row(page, 0, L" NAME  01234567");
    assert_row(page, 1, L"");
    page_destroy(&page);
    grid_destroy(&grid);
}

static void a_name_is_cut_in_its_middle(void **state)
{
    (void)state;
    static const struct grid_column only[] = {{.title = "ROUTE", .left = true, .stretch = true, .both_ends = true}};
    static const char *const names[] = {"GET /\xc3\xa9\xc3\xa9\xc3\xa9/posts",
                                        "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80"};
    struct grid_state chosen = {0};
    struct grid *grid = grid_create(only, 1);
    struct page *page = page_create(3, 10);
    for (int i = 0; i < 2; i++) {
        grid_row(grid, names[i]);
        grid_text(grid, STYLE_plain, "%s", names[i]);
    }
    grid_arrange(grid, &chosen);
    grid_draw(grid, &chosen, page, 0, 3, false);
    assert_row(page, 1, L"GET\u2026/posts");
    assert_row(page, 2, L"???\u2026??????");
    page_destroy(&page);
    grid_destroy(&grid);
}

static void what_there_is_no_room_for_goes(void **state)
{
    (void)state;
    const char *const names[] = {"GET /api/a-rather-long-name/{id}/posts"};
    struct grid_state chosen = {.sort = 1};
    struct grid *grid = fill(names, (const double[]){1}, 1);
    struct page *page = page_create(3, 60);
    grid_arrange(grid, &chosen);
    grid_draw(grid, &chosen, page, 0, 3, false);
    assert_row(page, 0, L"NAME                                        \u25b2N    MORE");
    assert_row(page, 1, L"GET /api/a-rather-long-name/{id}/posts      12    more");
    page_destroy(&page);
    page = page_create(3, 30);
    grid_draw(grid, &chosen, page, 0, 3, false);
    assert_row(page, 1, L"GET /api/a-rather-lon\u2026      12");
    page_destroy(&page);
    grid_destroy(&grid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_steers_the_terminal),
        cmocka_unit_test(a_line_has_gaps_and_shows_all_that_is_not_nothing),
        cmocka_unit_test(a_histogram_has_every_answer_in_its_step),
        cmocka_unit_test(steps_of_a_microsecond_have_their_own_names),
        cmocka_unit_test(samples_fall_into_columns),
        cmocka_unit_test(a_long_series_keeps_its_end),
        cmocka_unit_test(the_chosen_row_stays_chosen),
        cmocka_unit_test(what_there_is_no_room_for_goes),
        cmocka_unit_test(what_is_sorted_by_stays),
        cmocka_unit_test(a_detail_wraps_and_ends),
        cmocka_unit_test(a_name_is_cut_in_its_middle),
    };
    setlocale(LC_CTYPE, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
