#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "sql/param.h"
#include "tests/unit/arena_fixture.h"

enum {
    INT2 = 21,
    INT8 = 20,
    BOOL = 16,
    TEXT = 25,
    NUMERIC = 1700,
    FLOAT8 = 701,
    JSONB = 3802,
    UUID = 2950,
    BYTEA = 17,
    INT8S = 1016,
    TEXTS = 1009,
    JSONBS = 3807
};

static void text_gives(const char *text, uint32_t oid, const char *expected)
{
    struct param_value value;
    const char *wrong = param_from_text(slice_str(text), oid, arena, &value);
    if (wrong != NULL)
        print_error("%s: %s\n", text, wrong);
    assert_null(wrong);
    assert_false(value.null);
    assert_string_equal(value.text.at, expected);
}

static void text_is_refused(struct slice text, uint32_t oid, const char *words)
{
    struct param_value value;
    const char *wrong = param_from_text(text, oid, arena, &value);
    assert_non_null(wrong);
    assert_non_null(strstr(wrong, words));
}

/* json is the value of one field. */
static const char *from_json(const char *json, uint32_t oid, struct param_value *value)
{
    struct json_field *fields;
    struct json_error error;
    int count;
    char *body = arena_printf(arena, "{\"v\":%s}", json);
    assert_true(json_scan_object(slice_str(body), arena, &fields, &count, &error));
    return param_from_json(&fields[0], oid, arena, value);
}

static void json_gives(const char *json, uint32_t oid, const char *expected)
{
    struct param_value value;
    const char *wrong = from_json(json, oid, &value);
    if (wrong != NULL)
        print_error("%s: %s\n", json, wrong);
    assert_null(wrong);
    assert_string_equal(value.text.at, expected);
}

static void json_is_refused(const char *json, uint32_t oid, const char *words)
{
    struct param_value value;
    const char *wrong = from_json(json, oid, &value);
    assert_non_null(wrong);
    assert_non_null(strstr(wrong, words));
}

static void texts_become_canonical(void **state)
{
    (void)state;
    text_gives("+007", INT8, "7");
    text_gives("-9223372036854775808", INT8, "-9223372036854775808");
    text_gives("true", BOOL, "t");
    text_gives("off", BOOL, "f");
    text_gives("1.50", NUMERIC, "1.50");
    text_gives("NaN", FLOAT8, "NaN");
    text_gives("", TEXT, "");
    text_gives("AAH/", BYTEA, "\\x0001ff");
    text_gives("not checked here", UUID, "not checked here");
}

static void a_uuid_has_one_text(void **state)
{
    (void)state;
    static const char text[] = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    text_gives(text, UUID, text);
    text_gives("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", UUID, text);
    text_gives("a0eebc999c0b4ef8bb6d6bb9bd380a11", UUID, text);
    text_gives("{A0EEBC999C0B4EF8BB6D6BB9BD380A11}", UUID, text);
    json_gives("\"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11\"", UUID, text);
    static const char *const strange[] = {
        "",
        "{}",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a111",
        "a0eebc99-9c0b-4ef8-bb6d6-bb9bd380a11",
        "G0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "A0EE-BC99-9C0B-4EF8-BB6D-6BB9-BD38-0A11",
        "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    };
    for (size_t i = 0; i < ARRAY_LEN(strange); i++)
        text_gives(strange[i], UUID, strange[i]); /* PostgreSQL judges */
}

static void wrong_texts_are_refused(void **state)
{
    (void)state;
    text_is_refused(slice_str("abc"), INT8, "an integer");
    text_is_refused(slice_str(""), INT8, "an integer");
    text_is_refused(slice_str("-"), INT8, "an integer");
    text_is_refused(slice_str("1.0"), INT8, "an integer");
    text_is_refused(slice_str("32768"), INT2, "between -32768 and 32767");
    text_is_refused(slice_str("9223372036854775808"), INT8, "between");
    text_is_refused(slice_str("maybe"), BOOL, "true or false");
    text_is_refused(slice_str("1e"), NUMERIC, "a number");
    text_is_refused(slice_str("1e99999999"), FLOAT8, "a number");
    text_is_refused(slice_of("a\0b", 3), TEXT, "NUL");
    text_is_refused(slice_str("\xc3"), TEXT, "UTF-8");
    text_is_refused(slice_str("AB=C"), BYTEA, "base64");
}

static void json_is_typed(void **state)
{
    (void)state;
    struct param_value value;
    json_gives("12", INT8, "12");
    json_gives("\"9007199254740993\"", INT8, "9007199254740993");
    json_gives("true", BOOL, "t");
    json_gives("\"\\u00e9\\n\"", TEXT, "\xc3\xa9\n");
    json_gives("{\"a\":[1, 2]}", JSONB, "{\"a\":[1, 2]}");
    json_gives("\"x\"", JSONB, "\"x\"");
    assert_null(from_json("null", TEXT, &value));
    assert_true(value.null);
    json_is_refused("1.5", INT8, "an integer");
    json_is_refused("1e3", INT8, "an integer");
    json_is_refused("{}", INT8, "an integer");
    json_is_refused("\"true\"", BOOL, "true or false");
    json_is_refused("5", TEXT, "a string");
    json_is_refused("\"a\\u0000b\"", TEXT, "NUL");
}

static void arrays_fill_arrays(void **state)
{
    (void)state;
    const struct slice texts[] = {{"1", 1}, {"02", 2}};
    struct param_value value;
    json_gives("[1,null,\"3\"]", INT8S, "{\"1\",NULL,\"3\"}");
    json_gives("[\"a,b\",\"\\\"\\\\\",\"NULL\",\"\"]", TEXTS, "{\"a,b\",\"\\\"\\\\\",\"NULL\",\"\"}");
    json_gives("[[1,2],[3,4]]", INT8S, "{{\"1\",\"2\"},{\"3\",\"4\"}}");
    json_gives("[[1],{\"a\":2}]", JSONBS, "{\"[1]\",\"{\\\"a\\\":2}\"}");
    json_gives("[]", INT8S, "{}");
    json_is_refused("[1,\"x\"]", INT8S, "element 2 must be an integer");
    json_is_refused("1", INT8S, "an array");
    assert_null(param_from_texts(texts, 2, INT8S, arena, &value));
    assert_string_equal(value.text.at, "{\"1\",\"2\"}");
    assert_null(param_from_texts(texts, 1, INT8S, arena, &value));
    assert_string_equal(value.text.at, "{\"1\"}");
    assert_null(param_from_texts(texts, 1, INT8, arena, &value));
    assert_non_null(param_from_texts(texts, 2, INT8, arena, &value));
}

static void rules_are_checked(void **state)
{
    (void)state;
    const char *colours[] = {"red", "green"};
    const struct conf_param bounds = {.has_min = true, .has_max = true, .min = 1, .max = 200};
    const struct conf_param colour = {.enum_values = {colours, 2}};
    const struct conf_param pattern = {.pattern = "^[a-z]+$", .max_length = 3};
    const struct conf_param required = {.required = true};
    struct param_value value = {.null = true};
    assert_null(param_check(&value, &bounds, arena));
    assert_string_equal(param_check(&value, &required, arena), "is required");
    value = (struct param_value){.text = slice_str("201")};
    assert_string_equal(param_check(&value, &bounds, arena), "must be between 1 and 200");
    value.text = slice_str("200");
    assert_null(param_check(&value, &bounds, arena));
    value.text = slice_str("blue");
    assert_string_equal(param_check(&value, &colour, arena), "must be one of red, green");
    assert_string_equal(param_check(&value, &pattern, arena), "must have at most 3 characters");
    value.text = slice_str("\xc3\xa9\xc3\xa9\xc3\xa9"); /* three characters, six bytes */
    assert_string_equal(param_check(&value, &pattern, arena), "must match ^[a-z]+$");
    value.text = slice_str("abc");
    assert_null(param_check(&value, &pattern, arena));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(texts_become_canonical, setup, teardown),
        cmocka_unit_test_setup_teardown(a_uuid_has_one_text, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_texts_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(json_is_typed, setup, teardown),
        cmocka_unit_test_setup_teardown(arrays_fill_arrays, setup, teardown),
        cmocka_unit_test_setup_teardown(rules_are_checked, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
