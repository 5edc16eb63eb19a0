#include "master/ctl/load/node.h"
#include "common/units.h"

#include <stdarg.h>
#include <stdio.h>

/* ---- errors ---- */

/* Line and column of a byte, from 1; columns count bytes. */
static bool fail_at(const struct node_file *file, size_t offset, struct err *err)
{
    const char *line = file->text.at, *at = file->text.at + MIN(offset, file->text.len);
    int number = 1;
    for (const char *end; (end = memchr(line, '\n', (size_t)(at - line))) != NULL; line = end + 1)
        number++;
    return err_prefix(err, "%s:%d:%d: ", file->name, number, (int)(at - line) + 1);
}

bool node_fail(const struct node *node, struct err *err, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    err_set(err, "%s%s%s", node->path, *node->path ? ": " : "", text);
    return fail_at(node->file, (size_t)(node->raw.at - node->file->text.at), err);
}

/* ---- objects ---- */

static void open_fields(struct node_object *object)
{
    object->taken = arena_alloc(object->node.file->arena, (size_t)object->count * sizeof *object->taken + 1);
}

bool node_root(const struct node_file *file, struct node_object *out, struct err *err)
{
    struct json_error error;
    out->node = (struct node){.file = file, .path = "", .raw = file->text, .type = JSON_OBJECT};
    if (!json_scan_object(file->text, file->arena, &out->fields, &out->count, &error)) {
        err_set(err, "%s", error.what);
        return fail_at(file, error.offset, err);
    }
    open_fields(out);
    return true;
}

bool node_open(const struct node *node, struct node_object *out, struct err *err)
{
    struct json_error error;
    out->node = *node;
    if (node->type != JSON_OBJECT)
        return node_fail(node, err, "must be an object");
    if (!json_scan_object(node->raw, node->file->arena, &out->fields, &out->count, &error))
        return node_fail(node, err, "%s", error.what);
    open_fields(out);
    return true;
}

static struct node member_node(const struct node_object *object, int i)
{
    const struct node *node = &object->node;
    const struct json_field *field = &object->fields[i];
    return (struct node){.file = node->file,
                         .path = arena_printf(node->file->arena, "%s%s" SLICE_FMT, node->path, *node->path ? "." : "",
                                              SLICE_ARG(field->name)),
                         .raw = field->raw,
                         .type = field->type};
}

bool node_take(struct node_object *object, const char *name, struct node *out)
{
    for (int i = 0; i < object->count; i++)
        if (slice_is(object->fields[i].name, name)) {
            object->taken[i] = true;
            *out = member_node(object, i);
            return true;
        }
    return false;
}

bool node_need(struct node_object *object, const char *name, struct node *out, struct err *err)
{
    return node_take(object, name, out) || node_fail(&object->node, err, "\"%s\" is missing", name);
}

const char *node_member(const struct node_object *object, int i, struct node *out)
{
    if (i >= object->count)
        return NULL;
    *out = member_node(object, i);
    object->taken[i] = true;
    return arena_str(object->node.file->arena, object->fields[i].name);
}

bool node_all_taken(const struct node_object *object, struct err *err)
{
    for (int i = 0; i < object->count; i++)
        if (!object->taken[i]) {
            struct node node = member_node(object, i);
            return node_fail(&node, err, "is not known here");
        }
    return true;
}

/* ---- values ---- */

bool node_list(const struct node *node, struct node **out, int *count_out, struct err *err)
{
    struct json_field *elements;
    if (node->type != JSON_ARRAY)
        return node_fail(node, err, "must be a list in []");
    int count = *count_out = json_scan_elements(node->raw, node->file->arena, &elements);
    struct node *nodes = *out = arena_alloc(node->file->arena, (size_t)count * sizeof **out + 1);
    for (int i = 0; i < count; i++)
        nodes[i] = (struct node){.file = node->file,
                                 .path = arena_printf(node->file->arena, "%s[%d]", node->path, i),
                                 .raw = elements[i].raw,
                                 .type = elements[i].type};
    return true;
}

bool node_string(const struct node *node, const char **out, struct err *err)
{
    if (node->type != JSON_STRING)
        return node_fail(node, err, "must be a string");
    struct slice text = json_decode_string(node->raw, node->file->arena);
    if (memchr(text.at, '\0', text.len) != NULL)
        return node_fail(node, err, "must hold no \\u0000");
    *out = arena_str(node->file->arena, text);
    return true;
}

bool node_number(const struct node *node, double least, double most, double *out, struct err *err)
{
    const char *wrong = node->type == JSON_NUMBER ? unit_parse_number(arena_str(node->file->arena, node->raw), out)
                                                  : "must be a number";
    if (wrong != NULL)
        return node_fail(node, err, "%s", wrong);
    if (*out < least || *out > most)
        return node_fail(node, err, "must be from %.12g to %.12g", least, most);
    return true;
}

bool node_whole(const struct node *node, int64_t least, int64_t most, int64_t *out, struct err *err)
{
    const char *text = node->type == JSON_NUMBER ? arena_str(node->file->arena, node->raw) : "";
    if (unit_parse_int(text, out) != NULL)
        return node_fail(node, err, "must be a whole number");
    if (*out < least || *out > most)
        return node_fail(node, err, "must be from %lld to %lld", (long long)least, (long long)most);
    return true;
}

bool node_flag(const struct node *node, bool *out, struct err *err)
{
    *out = node->type == JSON_TRUE;
    return *out || node->type == JSON_FALSE || node_fail(node, err, "must be true or false");
}

bool node_duration(const struct node *node, int64_t *us_out, struct err *err)
{
    const char *text;
    if (!node_string(node, &text, err))
        return false;
    const char *wrong = unit_parse_duration(text, us_out);
    return wrong == NULL || node_fail(node, err, "\"%s\" %s", text, wrong);
}
