#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "common/buf.h"
#include "common/json_scan.h"

struct bad {
    const char *text;
    size_t offset;
    const char *what;
};

static void refusals_name_the_byte(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {"", 0, "the body is empty"},
        {" \n", 0, "the body is empty"},
        {"[1]", 0, "the body must be a JSON object"},
        {"{\"a\":1", 6, "a comma or } was expected"},
        {"{\"a\":1,}", 7, "a string was expected"},
        {"{\"a\" 1}", 5, "a colon was expected"},
        {"{\"a\":}", 5, "a value was expected"},
        {"{\"a\":01}", 5, "a number does not begin with 0"},
        {"{\"a\":+1}", 5, "a value was expected"},
        {"{\"a\":1.}", 7, "a digit was expected"},
        {"{\"a\":1e}", 7, "a digit was expected"},
        {"{\"a\":NaN}", 5, "a value was expected"},
        {"{\"a\":truth}", 5, "a value was expected"},
        {"{\"a\":[1 2]}", 8, "a comma or ] was expected"},
        {"{\"a\":\"x}", 5, "the string has no end"},
        {"{\"a\":\"\t\"}", 6, "a control character must be escaped"},
        {"{\"a\":\"\\x\"}", 6, "there is no such escape"},
        {"{\"a\":\"\\u12g4\"}", 6, "\\u needs four hexadecimal digits"},
        {"{\"a\":\"\\ud800\"}", 6, "half of a surrogate pair stands alone"},
        {"{\"a\":\"\\ud800\\u0041\"}", 6, "half of a surrogate pair stands alone"},
        {"{\"a\":\"\\udc00\\ud800\"}", 6, "half of a surrogate pair stands alone"},
        {"{\"a\":1,\"\\u0061\":2}", 7, "this name stands twice"},
        {"{\"o\":{\"a\":1,\"a\":2}}", 12, "this name stands twice"},
        {"{\"a\":1}x", 7, "something stands behind the object"},
        {"{\"a\":\"\xff\"}", 6, "this byte is not UTF-8"},
        {"{\"a\":\"\xed\xa0\x80\"}", 6, "this byte is not UTF-8"},
        {"{\"a\":\"\xc0\x80\"}", 6, "this byte is not UTF-8"},
        {"{\"a\":\"\xf4\x90\x80\x80\"}", 6, "this byte is not UTF-8"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena *arena = arena_create();
        struct json_field *fields;
        struct json_error error;
        int count;
        assert_false(json_scan_object(slice_str(cases[i].text), arena, &fields, &count, &error));
        assert_string_equal(error.what, cases[i].what);
        assert_int_equal(error.offset, cases[i].offset);
        arena_destroy(&arena);
    }
}

static const char whole[] =
    " { \"id\" : 9007199254740993 , \"t\":true,\"n\":null,\"f\":-1.50e+3,"
    "\"s\":\"a\\n\\u00e9\\ud83d\\ude00\\\"\xc3\xa9\",\"list\":[ 1, \"x,]\", [], {} ],\"o\":{\"a\":{}} } ";

static void fields_keep_the_bytes_as_they_were_written(void **state)
{
    (void)state;
    struct arena *arena = arena_create();
    struct json_field *f, *e;
    struct json_error error;
    int count;
    assert_true(json_scan_object(slice_str(whole), arena, &f, &count, &error));
    assert_int_equal(count, 7);
    assert_true(slice_is(f[0].name, "id") && slice_is(f[0].raw, "9007199254740993") && f[0].type == JSON_NUMBER);
    assert_true(f[1].type == JSON_TRUE && f[2].type == JSON_NULL && slice_is(f[3].raw, "-1.50e+3"));
    assert_true(slice_is(json_decode_string(f[4].raw, arena), "a\n\xc3\xa9\xf0\x9f\x98\x80\"\xc3\xa9"));
    assert_int_equal(json_scan_elements(f[5].raw, arena, &e), 4);
    assert_true(slice_is(e[0].raw, "1") && slice_is(e[1].raw, "\"x,]\"") && slice_is(e[2].raw, "[]"));
    assert_int_equal(json_scan_elements(e[2].raw, arena, &e), 0);
    assert_true(f[6].type == JSON_OBJECT && slice_is(f[6].raw, "{\"a\":{}}"));
    arena_destroy(&arena);
}

static void every_beginning_of_a_body_is_refused(void **state)
{
    (void)state;
    for (size_t len = 0; len + 2 < sizeof whole - 1; len++) {
        struct arena *arena = arena_create();
        char *copy = malloc(len + 1); /* of the exact size, so that ASan sees a read beyond it */
        struct json_field *fields;
        struct json_error error;
        int count;
        memcpy(copy, whole, len);
        assert_false(json_scan_object(slice_of(copy, len), arena, &fields, &count, &error));
        assert_true(error.offset <= len);
        free(copy);
        arena_destroy(&arena);
    }
}

static void nested(struct buf *text, int depth)
{
    buf_adds(text, "{\"a\":");
    for (int i = 1; i < depth; i++)
        buf_addc(text, '[');
    for (int i = 1; i < depth; i++)
        buf_addc(text, ']');
    buf_addc(text, '}');
}

static void depth_ends_at_64(void **state)
{
    (void)state;
    for (int depth = 64; depth <= 65; depth++) {
        struct arena *arena = arena_create();
        struct buf text = {0};
        struct json_field *fields;
        struct json_error error;
        int count;
        nested(&text, depth);
        assert_int_equal(json_scan_object(buf_slice(&text), arena, &fields, &count, &error), depth == 64);
        buf_deinit(&text);
        arena_destroy(&arena);
    }
}

static void an_object_has_at_most_1024_names(void **state)
{
    (void)state;
    for (int names = 1024; names <= 1025; names++) {
        struct arena *arena = arena_create();
        struct buf text = {0};
        struct json_field *fields;
        struct json_error error;
        int count;
        for (int i = 0; i < names; i++)
            buf_printf(&text, "%c\"n%d\":1", i == 0 ? '{' : ',', i);
        buf_addc(&text, '}');
        assert_int_equal(json_scan_object(buf_slice(&text), arena, &fields, &count, &error), names == 1024);
        buf_deinit(&text);
        arena_destroy(&arena);
    }
}

static void a_name_among_many_stands_once(void **state)
{
    (void)state;
    enum { NAMES = 1000 };
    for (int twice = 0; twice <= NAMES; twice += twice < 40 ? 1 : 96) {
        struct arena *arena = arena_create();
        struct buf text = {0};
        struct json_field *fields;
        struct json_error error;
        int count;
        for (int i = 0; i < NAMES; i++)
            buf_printf(&text, "%c\"n%d\":1", i == 0 ? '{' : ',', i);
        size_t offset = text.len + 1;
        buf_printf(&text, ",\"n%d\":1}", twice);
        assert_int_equal(json_scan_object(buf_slice(&text), arena, &fields, &count, &error), twice == NAMES);
        if (twice == NAMES)
            assert_true(count == NAMES + 1 && slice_is(fields[NAMES].name, "n1000"));
        else
            assert_true(error.offset == offset && strcmp(error.what, "this name stands twice") == 0);
        buf_deinit(&text);
        arena_destroy(&arena);
    }
}

static bool scan_items(const char *text, struct arena *arena, struct json_object **objects, int *count,
                       struct json_error *error)
{
    return json_scan_objects(slice_str(text), 3, arena, objects, count, error);
}

static void an_array_of_objects(void **state)
{
    (void)state;
    struct arena *arena = arena_create();
    struct json_object *o;
    struct json_error error;
    int count;
    assert_true(scan_items(" [ ] ", arena, &o, &count, &error) && count == 0);
    assert_true(scan_items(" [ {} ,{\"a\":1,\"b\":[{}]}\n,{\"a\":2} ] ", arena, &o, &count, &error));
    assert_true(count == 3 && o[0].field_count == 0 && o[1].field_count == 2 && o[2].field_count == 1);
    assert_true(o[0].offset == 3 && o[1].offset == 7 && o[2].offset == 25);
    assert_true(slice_is(o[1].fields[1].name, "b") && slice_is(o[1].fields[1].raw, "[{}]"));
    assert_true(slice_is(o[2].fields[0].raw, "2"));
    arena_destroy(&arena);
}

static void refusals_of_an_array_name_the_byte(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {"", 0, "the body is empty"},
        {"{}", 0, "the body must be a JSON array"},
        {"[", 1, "an object was expected"},
        {"[{}", 3, "a comma or ] was expected"},
        {"[{},]", 4, "an object was expected"},
        {"[{}{}]", 3, "a comma or ] was expected"},
        {"[{},[]]", 4, "an object was expected"},
        {"[{}] 1", 5, "something stands behind the array"},
        {"[{\"a\":1},{\"a\":1,\"a\":1}]", 16, "this name stands twice"},
        {"[{\"a\":1},{\"a\":01}]", 14, "a number does not begin with 0"},
        {"[{\"a\":\"\xff\"}]", 7, "this byte is not UTF-8"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena *arena = arena_create();
        struct json_object *objects;
        struct json_error error;
        int count;
        assert_false(scan_items(cases[i].text, arena, &objects, &count, &error));
        assert_string_equal(error.what, cases[i].what);
        assert_int_equal(error.offset, cases[i].offset);
        arena_destroy(&arena);
    }
}

static void of_too_many_only_that_is_told(void **state)
{
    (void)state;
    struct arena *arena = arena_create();
    struct json_object *objects;
    struct json_error error;
    int count;
    assert_true(scan_items("[{},{},{}]", arena, &objects, &count, &error) && count == 3);
    assert_true(scan_items("[{},{},{},{},?", arena, &objects, &count, &error) && count == 4);
    arena_destroy(&arena);
}

static void an_array_nests_64_deep_too(void **state)
{
    (void)state;
    for (int depth = 63; depth <= 64; depth++) {
        struct arena *arena = arena_create();
        struct buf text = {0};
        struct json_object *objects;
        struct json_error error;
        int count;
        buf_addc(&text, '[');
        nested(&text, depth);
        buf_addc(&text, ']');
        assert_int_equal(json_scan_objects(buf_slice(&text), 9, arena, &objects, &count, &error), depth == 63);
        buf_deinit(&text);
        arena_destroy(&arena);
    }
}

static void a_text_is_one_value(void **state)
{
    (void)state;
    static const char *const texts[] = {"1", " null\n", "\"a\"", "[1,{\"a\":[]}]", "{}", "{\"a\":1,\"a\":2}"};
    static const char *const others[] = {
        "", " ", "1 2", "{} x", "<html>", "[1,]", "\"\xff\"", "{\"a\":1,\"a\":}", "{\"a\",}"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        assert_true(json_is_text(slice_str(texts[i])));
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        assert_false(json_is_text(slice_str(others[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals_name_the_byte),
        cmocka_unit_test(fields_keep_the_bytes_as_they_were_written),
        cmocka_unit_test(every_beginning_of_a_body_is_refused),
        cmocka_unit_test(depth_ends_at_64),
        cmocka_unit_test(an_object_has_at_most_1024_names),
        cmocka_unit_test(a_name_among_many_stands_once),
        cmocka_unit_test(an_array_of_objects),
        cmocka_unit_test(refusals_of_an_array_name_the_byte),
        cmocka_unit_test(of_too_many_only_that_is_told),
        cmocka_unit_test(an_array_nests_64_deep_too),
        cmocka_unit_test(a_text_is_one_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
