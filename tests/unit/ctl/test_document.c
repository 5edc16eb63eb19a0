#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "master/ctl/ctl.h"
#include "tests/unit/ctl/captured.h"

static void is_printed(enum ctl_output output, cJSON *document, const char *wanted)
{
    const struct ctl ctl = {.command = "test", .output = output};
    struct captured captured;
    capture_begin(&captured);
    assert_int_equal(document_print(&ctl, &document), CTL_OK);
    assert_string_equal(capture_take(&captured), wanted);
    capture_end(&captured);
    assert_null(document);
}

static void put_row(cJSON *list, const char *name, int64_t n, const char *state)
{
    cJSON *row = document_row(list), *of = cJSON_AddObjectToObject(row, "of");
    document_text(row, "name", name);
    document_int(of, "n", n);
    document_ratio(of, "ratio", 1, n);
    document_text(row, "state", state);
}

/* RFC 4180: quotes where they must be, CR LF. What is not known is empty, whatever it is. */
static void csv_has_the_rows_of_the_first_list(void **state)
{
    (void)state;
    cJSON *document = cJSON_CreateObject();
    cJSON_AddStringToObject(document, "schema", "perfctl.test/1");
    cJSON *list = cJSON_AddArrayToObject(document, "rows");
    put_row(list, "GET /a,\"b\"", 4, NULL);
    put_row(list, "two\nlines", 0, "x");
    put_row(cJSON_AddArrayToObject(document, "others"), "not here", 1, NULL);
    is_printed(OUTPUT_CSV, document,
               "of.n,of.ratio,name,state\r\n"
               "4,0.250000,\"GET /a,\"\"b\"\"\",\r\n"
               "0,,\"two\nlines\",x\r\n");
}

static void csv_has_names_and_values_where_there_is_no_list(void **state)
{
    (void)state;
    cJSON *document = cJSON_CreateObject();
    document_int(document, "at_us", INT64_C(1700000000000001));
    document_int(cJSON_AddObjectToObject(document, "of"), "n", -1);
    is_printed(OUTPUT_CSV, document, "name,value\r\nat_us,1700000000000001\r\nof.n,-1\r\n");
}

static void integers_are_exact(void **state)
{
    (void)state;
    cJSON *document = cJSON_CreateObject();
    document_int(document, "n", INT64_MAX);
    document_ratio(document, "r", 1, 0);
    is_printed(OUTPUT_JSON, document, "{\n\t\"n\":\t9223372036854775807,\n\t\"r\":\tnull\n}\n");
}

static void a_histogram_without_values_has_no_quantiles(void **state)
{
    (void)state;
    struct histogram h = {0};
    cJSON *document = cJSON_CreateObject();
    document_histogram(document, &h);
    is_printed(OUTPUT_CSV, document,
               "name,value\r\ncount,0\r\np50_us,\r\np95_us,\r\np99_us,\r\np999_us,\r\nmax_us,\r\n");
    document = cJSON_CreateObject();
    h.buckets[histogram_bucket(7)] = 1000;
    h.buckets[histogram_bucket(63)] = 1;
    document_histogram(document, &h);
    is_printed(OUTPUT_CSV, document,
               "name,value\r\ncount,1001\r\np50_us,7\r\np95_us,7\r\np99_us,7\r\np999_us,7\r\nmax_us,63\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csv_has_the_rows_of_the_first_list),
        cmocka_unit_test(csv_has_names_and_values_where_there_is_no_list),
        cmocka_unit_test(integers_are_exact),
        cmocka_unit_test(a_histogram_without_values_has_no_quantiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
