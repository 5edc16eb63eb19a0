/* common/json_scan.h: request bodies. cJSON, which is laxer, reads what the scanner accepts, and finds the same names,
 * types and values in it, down to the deepest element. */
#include "common/json_scan.h"
#include "tests/fuzz/fuzz.h"

#include <cjson/cJSON.h>
#include <regex.h>
#include <stdlib.h>

enum { DEPTH_MAX = 64 };
enum { CJSON_NUMBER_MAX = 63 }; /* cJSON copies no more bytes of a number and stumbles over the rest */

/* cJSON ends a decoded string at a NUL, and the scanner lets \u0000 pass. Bodies with one, or with a number that is too
 * long for cJSON, are not compared. */
static bool cjson_can(struct slice text)
{
    size_t digits = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (starts_with(slice_of(text.at + i, text.len - i), "u0000"))
            return false;
        digits = text.at[i] != '\0' && strchr("+-.0123456789Ee", text.at[i]) != NULL ? digits + 1 : 0;
        if (digits > CJSON_NUMBER_MAX)
            return false;
    }
    return true;
}

static bool same_type(enum json_type type, const cJSON *item)
{
    switch (type) {
    case JSON_NULL:
        return cJSON_IsNull(item);
    case JSON_FALSE:
        return cJSON_IsFalse(item);
    case JSON_TRUE:
        return cJSON_IsTrue(item);
    case JSON_NUMBER:
        return cJSON_IsNumber(item);
    case JSON_STRING:
        return cJSON_IsString(item);
    case JSON_ARRAY:
        return cJSON_IsArray(item);
    case JSON_OBJECT:
        return cJSON_IsObject(item);
    }
    return false;
}

/* cJSON also takes 01 and 1. for numbers. */
static void check_number(struct slice raw, double value)
{
    static const char grammar[] = "^-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?$"; /* RFC 8259, section 6 */
    static regex_t number;
    static bool compiled;
    char text[CJSON_NUMBER_MAX + 1] = "";
    compiled = compiled || regcomp(&number, grammar, REG_EXTENDED | REG_NOSUB) == 0;
    CHECK(compiled && raw.len <= CJSON_NUMBER_MAX);
    memcpy(text, raw.at, raw.len);
    CHECK(regexec(&number, text, 0, NULL, 0) == 0);
    CHECK(strtod(text, NULL) == value);
}

static void check_members(struct slice raw, const cJSON *object, struct arena *arena);
static void check_elements(struct slice raw, const cJSON *array, struct arena *arena);

static void check_value(const struct json_field *field, const cJSON *item, struct arena *arena)
{
    CHECK(item != NULL && same_type(field->type, item));
    if (field->type == JSON_NUMBER)
        check_number(field->raw, item->valuedouble);
    else if (field->type == JSON_STRING)
        CHECK(slice_is(json_decode_string(field->raw, arena), item->valuestring));
    else if (field->type == JSON_ARRAY)
        check_elements(field->raw, item, arena);
    else if (field->type == JSON_OBJECT)
        check_members(field->raw, item, arena);
}

static void check_elements(struct slice raw, const cJSON *array, struct arena *arena)
{
    struct json_field *elements;
    int count = json_scan_elements(raw, arena, &elements);
    CHECK(count == cJSON_GetArraySize(array));
    for (const cJSON *item = array->child; item != NULL; item = item->next)
        check_value(elements++, item, arena);
}

/* An object inside is an object that would be accepted alone. */
static void check_members(struct slice raw, const cJSON *object, struct arena *arena)
{
    struct json_field *fields;
    struct json_error error;
    int count;
    CHECK(json_scan_object(raw, arena, &fields, &count, &error));
    CHECK(count == cJSON_GetArraySize(object));
    for (const cJSON *item = object->child; item != NULL; item = item->next) {
        CHECK(slice_is(fields->name, item->string));
        check_value(fields++, item, arena);
    }
}

static void compare_with_cjson(struct slice text, struct arena *arena)
{
    const char *end = NULL;
    cJSON *body = cJSON_ParseWithLengthOpts(text.at, text.len, &end, false);
    CHECK(body != NULL && cJSON_IsObject(body));
    for (; end < text.at + text.len; end++)
        CHECK(*end != '\0' && strchr(" \t\r\n", *end) != NULL);
    check_members(text, body, arena);
    cJSON_Delete(body);
}

/* How deep brackets and braces nest outside strings. */
static int depth_of(struct slice text)
{
    int depth = 0, deepest = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (c == '"')
            quoted = !quoted;
        else if (quoted)
            i += c == '\\';
        else if (c == '{' || c == '[')
            depth++;
        else if (c == '}' || c == ']')
            depth--;
        deepest = MAX(deepest, depth);
    }
    CHECK(depth == 0 && !quoted);
    return deepest;
}

static void check_fields(struct slice text, const struct json_field *fields, int count)
{
    const char *from = text.at; /* of what no field has covered */
    for (int i = 0; i < count; i++) {
        const struct json_field *f = &fields[i];
        CHECK(is_utf8(f->name));
        CHECK(f->raw.len > 0 && f->raw.at > from && f->raw.at + f->raw.len < text.at + text.len);
        from = f->raw.at + f->raw.len;
        for (int j = 0; j < i; j++)
            CHECK(!slice_eq(fields[j].name, f->name));
        if (f->type == JSON_STRING)
            CHECK(f->raw.len >= 2 && f->raw.at[0] == '"' && from[-1] == '"');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_create();
    struct slice text = slice_of((const char *)data, size);
    struct json_field *fields;
    struct json_error error = {SIZE_MAX, NULL};
    int count;
    if (json_scan_object(text, arena, &fields, &count, &error)) {
        CHECK(is_utf8(text) && depth_of(text) <= DEPTH_MAX);
        check_fields(text, fields, count);
        if (cjson_can(text))
            compare_with_cjson(text, arena);
    } else {
        CHECK(error.offset <= size && error.what != NULL && error.what[0] != '\0');
    }
    arena_destroy(&arena);
    return 0;
}
