#include "worker/field_lines.h"
#include "common/buf.h"

static struct slice take_line(struct slice *lines)
{
    const char *end = memchr(lines->at, '\n', lines->len);
    size_t bytes = end ? (size_t)(end + 1 - lines->at) : lines->len;
    struct slice line = slice_of(lines->at, bytes);
    *lines = slice_of(lines->at + bytes, lines->len - bytes);
    while (line.len > 0 && (line.at[line.len - 1] == '\n' || line.at[line.len - 1] == '\r'))
        line.len--;
    return line;
}

bool field_lines_next(struct slice *lines, struct http_field *out)
{
    while (lines->len > 0) {
        struct slice line = take_line(lines);
        const char *colon = line.len > 0 ? memchr(line.at, ':', line.len) : NULL;
        if (colon == NULL)
            continue;
        size_t len = (size_t)(colon - line.at);
        *out = (struct http_field){slice_of(line.at, len), slice_trimmed(slice_of(colon + 1, line.len - len - 1))};
        return true;
    }
    return false;
}

static bool is_among(struct slice name, struct slice lines)
{
    for (struct http_field field; field_lines_next(&lines, &field);)
        if (slice_same(name, field.name))
            return true;
    return false;
}

struct slice field_lines_find(struct slice lines, const char *name)
{
    for (struct http_field field; field_lines_next(&lines, &field);)
        if (slice_same(field.name, slice_str(name)))
            return field.value;
    return slice_of(NULL, 0);
}

struct slice field_lines_list(struct slice lines, const char *name, struct arena *arena)
{
    struct slice first = field_lines_find(lines, name), rest = lines;
    int count = 0;
    struct buf list = {0};
    for (struct http_field field; field_lines_next(&rest, &field);) {
        if (!slice_same(field.name, slice_str(name)))
            continue;
        buf_adds(&list, count++ > 0 ? ", " : "");
        buf_add(&list, field.value.at, field.value.len);
    }
    struct slice all = count > 1 ? arena_copy(arena, buf_slice(&list)) : first;
    buf_deinit(&list);
    return all;
}

static void add_line(struct buf *out, const struct http_field *field)
{
    buf_add(out, field->name.at, field->name.len);
    buf_adds(out, ": ");
    buf_add(out, field->value.at, field->value.len);
    buf_adds(out, "\r\n");
}

static struct slice kept(struct buf *lines, struct arena *arena)
{
    struct slice copy = arena_copy(arena, buf_slice(lines));
    buf_deinit(lines);
    return copy;
}

struct slice field_lines_only(struct slice lines, const char *const *names, struct arena *arena)
{
    struct buf out = {0};
    for (struct http_field field; field_lines_next(&lines, &field);)
        for (const char *const *name = names; *name != NULL; name++)
            if (slice_same(field.name, slice_str(*name)))
                add_line(&out, &field);
    return kept(&out, arena);
}

struct slice field_lines_update(struct slice old, struct slice newer, struct arena *arena)
{
    struct buf out = {0};
    for (struct http_field field; field_lines_next(&old, &field);)
        if (!is_among(field.name, newer))
            add_line(&out, &field);
    buf_add(&out, newer.at, newer.len);
    return kept(&out, arena);
}

static bool is_gap(char c)
{
    return c == ',' || c == ' ' || c == '\t';
}

bool field_list_has(struct slice list, struct slice name)
{
    const char *at = list.at, *end = list.at + list.len;
    while (at < end) {
        while (at < end && is_gap(*at))
            at++;
        const char *word = at;
        while (at < end && !is_gap(*at))
            at++;
        if (at > word && slice_same(slice_of(word, (size_t)(at - word)), name))
            return true;
    }
    return false;
}
