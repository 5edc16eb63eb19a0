/* worker/batch_items.h: the body of a batch. What is accepted is what the scanner of single objects, which cJSON agrees
 * with (fuzz_json.c), reads out of an object that has the array as a member, and the other way round. */
#include "common/buf.h"
#include "common/json_scan.h"
#include "tests/fuzz/fuzz.h"
#include "worker/batch_items.h"

enum { ITEMS_MAX = 20, DEPTH_MAX = 64 };

/* The elements of {"a":text}; -1: it is no such object, or the member no array. */
static int elements_of(struct slice text, struct arena *arena, struct json_field **elements)
{
    struct buf wrapped = {0};
    struct json_field *fields;
    struct json_error error;
    int count;
    buf_adds(&wrapped, "{\"a\":");
    buf_add(&wrapped, text.at, text.len);
    buf_adds(&wrapped, "}");
    struct slice object = arena_copy(arena, buf_slice(&wrapped));
    buf_deinit(&wrapped);
    if (!json_scan_object(object, arena, &fields, &count, &error) || count != 1 || fields[0].type != JSON_ARRAY)
        return -1;
    return json_scan_elements(fields[0].raw, arena, elements);
}

static const struct json_field *field_of(const struct json_field *fields, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (slice_is(fields[i].name, name))
            return &fields[i];
    return NULL;
}

static void check_item(const struct batch_item *item, struct slice raw, struct arena *arena)
{
    struct json_field *fields;
    struct json_error error;
    int count;
    CHECK(json_scan_object(raw, arena, &fields, &count, &error) && count >= 1 && count <= 4);
    const struct json_field *path = field_of(fields, count, "path"), *body = field_of(fields, count, "body");
    const struct json_field *id = field_of(fields, count, "id"), *method = field_of(fields, count, "method");
    CHECK(count == 1 + (body != NULL) + (id != NULL) + (method != NULL));
    CHECK(path != NULL && path->type == JSON_STRING && slice_eq(json_decode_string(path->raw, arena), item->path));
    CHECK(body != NULL ? slice_eq(body->raw, item->body) : item->body.len == 0);
    CHECK(item->id.len > 0 && (id == NULL || slice_eq(id->raw, item->id)));
    CHECK(item->method <= HTTP_OTHER && (method != NULL || item->method == HTTP_GET));
}

static void check_items(struct slice text, const struct batch_item *items, int count, struct arena *arena)
{
    struct json_field *elements;
    int found = elements_of(text, arena, &elements);
    CHECK(is_utf8(text) && json_is_text(text) && count <= ITEMS_MAX);
    if (found < 0)
        return; /* one level deeper it was too deep */
    CHECK(found == count);
    for (int i = 0; i < count; i++)
        check_item(&items[i], elements[i].raw, arena);
}

static void check_objects(struct slice text, struct arena *arena)
{
    struct json_object *objects;
    struct json_field *elements;
    struct json_error error = {SIZE_MAX, NULL};
    int count, found = elements_of(text, arena, &elements);
    bool all = found >= 0;
    for (int i = 0; i < found; i++)
        all = all && elements[i].type == JSON_OBJECT;
    if (json_scan_objects(text, ITEMS_MAX, arena, &objects, &count, &error))
        CHECK(count == ITEMS_MAX + 1 || found < 0 || (all && count == found));
    else
        CHECK(!all && error.offset <= text.len && error.what != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_create();
    struct slice text = slice_of((const char *)data, size);
    struct batch_item *items;
    struct problem problem = {0};
    int count;
    check_objects(text, arena);
    if (batch_items_read(text, ITEMS_MAX, arena, &items, &count, &problem))
        check_items(text, items, count, arena);
    else
        CHECK((problem.status == 400 && problem.errors->offset <= (long)size) || problem.status == 413);
    arena_destroy(&arena);
    return 0;
}
