/* One line of an access log of JSON, as perfd.conf(5) describes it. */
#ifndef MASTER_CTL_LOG_LINE_H
#define MASTER_CTL_LOG_LINE_H

#include "common/arena.h"

enum line_field {
#define FIELD(name, kind) LINE_##name,
#include "master/ctl/log/line_fields.def"
#undef FIELD
    LINE_FIELDS
};
enum line_kind { LINE_TEXT, LINE_NUMBER };

struct line_value {
    bool known;
    struct slice text; /* as it reads; of a number its digits */
    double number;     /* of a LINE_NUMBER */
};

struct line {
    struct slice raw;
    struct line_value values[LINE_FIELDS];
};

const char *line_field_name(enum line_field field);
enum line_kind line_field_kind(enum line_field field);
bool line_field_find(struct slice name, enum line_field *field_out) MUST_USE;

/* What it has is in arena, or in raw. False: it is damaged: no JSON object, or one with a value of another kind. Names
 * that are not known are left alone. */
bool line_read(struct slice raw, struct arena *arena, struct line *line_out) MUST_USE;

#endif
