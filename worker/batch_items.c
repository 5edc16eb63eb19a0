#include "worker/batch_items.h"
#include "common/json_scan.h"

struct reader {
    struct slice text;
    struct arena *arena;
    struct problem *problem;
};

static bool refuse(struct reader *r, int status, const char *code, const char *detail)
{
    r->problem->status = status;
    r->problem->code = code;
    r->problem->detail = detail;
    return false;
}

static bool wrong_at(struct reader *r, size_t offset, const char *what)
{
    problem_add(r->problem, r->arena, NULL, (long)offset, what);
    return refuse(r, 400, "bad_body", "the body is not a JSON array of requests");
}

static bool wrong_field(struct reader *r, const struct json_field *f, const char *what)
{
    return wrong_at(r, (size_t)(f->raw.at - r->text.at), what);
}

/* What is none of them is refused where the request is answered, as any other request is. */
static enum http_method method_of(struct slice name)
{
    int method = 0;
    while (method < HTTP_OTHER && !slice_is(name, http_method_names[method]))
        method++;
    return (enum http_method)method;
}

static bool read_field(struct reader *r, const struct json_field *f, struct batch_item *item)
{
    bool string = f->type == JSON_STRING;
    if (slice_is(f->name, "id")) {
        item->id = f->raw;
        return string || f->type == JSON_NUMBER || wrong_field(r, f, "an id is a string or a number");
    }
    if (slice_is(f->name, "body")) {
        item->body = f->raw;
        return true;
    }
    bool method = slice_is(f->name, "method");
    if (!method && !slice_is(f->name, "path"))
        return wrong_field(r, f, "an item has id, method, path and body, and nothing else");
    if (!string)
        return wrong_field(r, f, method ? "a method is a string" : "a path is a string");
    struct slice text = json_decode_string(f->raw, r->arena);
    if (method)
        item->method = method_of(text);
    else
        item->path = text;
    return true;
}

static bool read_item(struct reader *r, const struct json_object *object, int index, struct batch_item *item)
{
    *item = (struct batch_item){.method = HTTP_GET};
    for (int i = 0; i < object->field_count; i++)
        if (!read_field(r, &object->fields[i], item))
            return false;
    if (item->id.len == 0)
        item->id = slice_str(arena_printf(r->arena, "%d", index));
    return item->path.at != NULL || wrong_at(r, object->offset, "the item has no path");
}

bool batch_items_read(struct slice body, int most, struct arena *arena, struct batch_item **items_out, int *count_out,
                      struct problem *problem)
{
    struct reader r = {body, arena, problem};
    struct json_object *objects;
    struct json_error error;
    if (!json_scan_objects(body, most, arena, &objects, count_out, &error))
        return wrong_at(&r, error.offset, error.what);
    if (*count_out > most)
        return refuse(&r, 413, "too_many_items", arena_printf(arena, "a batch has at most %d items", most));
    *items_out = arena_alloc(arena, (size_t)MAX(*count_out, 1) * sizeof **items_out);
    for (int i = 0; i < *count_out; i++)
        if (!read_item(&r, &objects[i], i, &(*items_out)[i]))
            return false;
    return true;
}
