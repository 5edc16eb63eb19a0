#include "worker/variant.h"
#include "common/buf.h"
#include "worker/field_lines.h"

#include <strings.h>

enum { ABSENT = 0xffffffff };

static bool is_among(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return false;
}

static bool chooses_form(const char *name)
{
    static const char *const names[] = {"Accept", "Accept-Charset", "Accept-Language", "Prefer"};
    return is_among(name, names, ARRAY_LEN(names));
}

static bool tells_who(const char *name)
{
    static const char *const names[] = {"Authorization", "Cookie"};
    return is_among(name, names, ARRAY_LEN(names));
}

uint32_t variant_credentials(const struct conf_strings *forward)
{
    uint32_t mask = 0;
    for (int i = 0; i < forward->count; i++)
        if (tells_who(forward->at[i]))
            mask |= 1u << i;
    return mask;
}

uint32_t variant_always(const struct conf_strings *forward)
{
    uint32_t mask = 0;
    for (int i = 0; i < forward->count; i++)
        if (!chooses_form(forward->at[i]) && !tells_who(forward->at[i]))
            mask |= 1u << i;
    return mask;
}

uint32_t variant_named(const struct conf_strings *forward, struct slice vary)
{
    uint32_t mask = 0;
    for (int i = 0; i < forward->count; i++)
        if (field_list_has(vary, slice_str(forward->at[i])))
            mask |= 1u << i;
    return mask;
}

uint32_t variant_sent(const struct slice *values, uint32_t mask)
{
    uint32_t sent = 0;
    for (int i = 0; i < VARIANT_FIELDS_MAX; i++)
        if (mask & 1u << i && values[i].at != NULL)
            sent |= 1u << i;
    return sent;
}

/* The mask, then each value with its length: another mask or other values are another key. */
struct slice variant_key(struct slice key, const struct slice *values, uint32_t mask, struct arena *arena)
{
    struct buf out = {0};
    if (mask == 0)
        return key;
    buf_add(&out, key.at, key.len);
    buf_add(&out, &mask, sizeof mask);
    for (int i = 0; i < VARIANT_FIELDS_MAX; i++) {
        if (!(mask & 1u << i))
            continue;
        uint32_t len = values[i].at ? (uint32_t)values[i].len : ABSENT;
        buf_add(&out, &len, sizeof len);
        buf_add(&out, values[i].at, values[i].len);
    }
    struct slice whole = arena_copy(arena, buf_slice(&out));
    buf_deinit(&out);
    return whole;
}
