#include "worker/trace.h"

/* version "-" trace-id "-" parent-id "-" flags; a later version may have more behind a "-". */
enum { VERSION = 2, ID = 32, PARENT = 16, FLAGS = 2, WHOLE = VERSION + 1 + ID + 1 + PARENT + 1 + FLAGS };

static bool is_hex(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!(s.at[i] >= '0' && s.at[i] <= '9') && !(s.at[i] >= 'a' && s.at[i] <= 'f'))
            return false;
    return true;
}

static bool is_id(struct slice s)
{
    bool zero = true;
    for (size_t i = 0; i < s.len; i++)
        zero = zero && s.at[i] == '0';
    return is_hex(s) && !zero;
}

struct slice trace_id(struct slice field)
{
    const struct slice none = {"", 0};
    if (field.len < WHOLE)
        return none;
    struct slice version = slice_of(field.at, VERSION), id = slice_of(field.at + VERSION + 1, ID),
                 parent = slice_of(id.at + ID + 1, PARENT), flags = slice_of(parent.at + PARENT + 1, FLAGS);
    bool dashes = field.at[VERSION] == '-' && id.at[ID] == '-' && parent.at[PARENT] == '-';
    bool first = slice_is(version, "00"), longer = field.len > WHOLE;
    if (!dashes || !is_hex(version) || slice_is(version, "ff") || !is_hex(flags) || !is_id(id) || !is_id(parent))
        return none;
    if (longer && (first || field.at[WHOLE] != '-'))
        return none;
    return id;
}
