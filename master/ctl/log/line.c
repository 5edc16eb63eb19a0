#include "master/ctl/log/line.h"
#include "common/json_scan.h"
#include "common/units.h"

#define US_PER_MS_F 1000.0

static const struct {
    const char *name;
    enum line_kind kind;
} fields[LINE_FIELDS] = {
#define FIELD(name, kind) {#name, LINE_##kind},
#include "master/ctl/log/line_fields.def"
#undef FIELD
};

const char *line_field_name(enum line_field field)
{
    return fields[field].name;
}

enum line_kind line_field_kind(enum line_field field)
{
    return fields[field].kind;
}

bool line_field_find(struct slice name, enum line_field *field_out)
{
    for (int i = 0; i < LINE_FIELDS; i++)
        if (slice_is(name, fields[i].name)) {
            *field_out = (enum line_field)i;
            return true;
        }
    return false;
}

static bool read_number(const struct json_field *from, struct arena *arena, struct line_value *to)
{
    to->text = from->raw;
    return from->type == JSON_NUMBER && unit_parse_number(arena_str(arena, from->raw), &to->number) == NULL;
}

static bool read_text(const struct json_field *from, struct arena *arena, struct line_value *to)
{
    to->text = from->type == JSON_STRING ? json_decode_string(from->raw, arena) : from->raw;
    return from->type == JSON_STRING || from->type == JSON_TRUE || from->type == JSON_FALSE;
}

static bool read_value(const struct json_field *from, struct arena *arena, struct line *line)
{
    enum line_field field;
    if (!line_field_find(from->name, &field) || field == LINE_ms)
        return true;
    line->values[field].known = true;
    return fields[field].kind == LINE_NUMBER ? read_number(from, arena, &line->values[field])
                                             : read_text(from, arena, &line->values[field]);
}

bool line_read(struct slice raw, struct arena *arena, struct line *line)
{
    struct json_field *found;
    struct json_error error;
    int count;
    *line = (struct line){.raw = raw};
    if (!json_scan_object(raw, arena, &found, &count, &error))
        return false;
    for (int i = 0; i < count; i++)
        if (!read_value(&found[i], arena, line))
            return false;
    struct line_value *us = &line->values[LINE_duration_us], *ms = &line->values[LINE_ms];
    ms->known = us->known;
    ms->number = us->number / US_PER_MS_F;
    return true;
}
