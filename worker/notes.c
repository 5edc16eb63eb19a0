#include "worker/notes.h"
#include "common/clock.h"
#include "worker/field_lines.h"

#define ASKED_ABOUT_US (INT64_C(24) * 3600 * US_PER_S)

/* As it lies in memory, then the fields. */
struct fixed {
    int64_t age_us, stale_us, stale_if_error_us;
    uint32_t varies_by, shareable;
};

struct slice notes_write(const struct notes *notes, struct arena *arena)
{
    const struct fixed fixed = {notes->age_us, notes->stale_us, notes->stale_if_error_us, notes->varies_by,
                                notes->shareable};
    size_t bytes = sizeof fixed + notes->fields.len;
    char *to = arena_bytes(arena, bytes), *at = mempcpy(to, &fixed, sizeof fixed);
    if (notes->fields.len > 0)
        memcpy(at, notes->fields.at, notes->fields.len);
    return slice_of(to, bytes);
}

void notes_read(struct slice bytes, struct notes *out)
{
    struct fixed fixed;
    *out = (struct notes){0};
    if (bytes.len < sizeof fixed)
        return;
    memcpy(&fixed, bytes.at, sizeof fixed);
    *out = (struct notes){.varies_by = fixed.varies_by,
                          .shareable = fixed.shareable != 0,
                          .age_us = fixed.age_us,
                          .stale_us = fixed.stale_us,
                          .stale_if_error_us = fixed.stale_if_error_us,
                          .fields = slice_of(bytes.at + sizeof fixed, bytes.len - sizeof fixed)};
}

static bool has(const struct notes *notes, const char *name)
{
    return field_lines_find(notes->fields, name).at != NULL;
}

int64_t notes_keep_us(const struct notes *notes)
{
    int64_t asked_about_us = has(notes, "ETag") || has(notes, "Last-Modified") ? ASKED_ABOUT_US : 0;
    return MAX(MAX(notes->stale_us, notes->stale_if_error_us), asked_about_us);
}
