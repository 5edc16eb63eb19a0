#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "master/ctl/table.h"
#include "tests/unit/ctl/captured.h"

static void is_printed(struct table **table, const char *wanted)
{
    struct captured captured;
    capture_begin(&captured);
    table_print(table);
    assert_string_equal(capture_take(&captured), wanted);
    capture_end(&captured);
    assert_null(*table);
}

static void columns_are_as_wide_as_what_is_in_them(void **state)
{
    (void)state;
    struct table *table = table_create("<NAME|COUNT|<WHAT");
    const char *const names[] = {"a", "longer than its title", "m\xc3\xbcller"};
    for (int i = 0; i < 3; i++) {
        table_cell(table, "%s", names[i]);
        table_cell(table, "%d", i * 5000000);
        table_cell(table, i == 1 ? "" : "x y");
    }
    is_printed(&table, "NAME                      COUNT  WHAT\n"
                       "a                             0  x y\n"
                       "longer than its title   5000000  \n"
                       "m\xc3\xbcller                 10000000  x y\n");
}

static void a_table_without_rows_has_its_titles(void **state)
{
    (void)state;
    struct table *table = table_create("NUMBER|<ROUTE");
    is_printed(&table, "NUMBER  ROUTE\n");
}

/* Names and parameters come from others. U+009B is the escape of a control sequence in one character. */
static void nothing_steers_the_terminal(void **state)
{
    (void)state;
    struct table *table = table_create("<A|<B");
    table_cell(table, "\x1b[2J\n\x7f");
    table_cell(table, "\xc2\x9b"
                      "2J \xc2\xa0\xc3\x9b");
    is_printed(&table, "A       B\n?[2J??  ??2J \xc2\xa0\xc3\x9b\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_as_wide_as_what_is_in_them),
        cmocka_unit_test(a_table_without_rows_has_its_titles),
        cmocka_unit_test(nothing_steers_the_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
