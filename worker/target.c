#include "worker/target.h"
#include "common/digits.h"
#include "common/json_scan.h"

static const char *decode(struct slice raw, bool plus_is_space, struct arena *arena, struct slice *out)
{
    char *at = arena_bytes(arena, raw.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < raw.len; i++) {
        unsigned char c = (unsigned char)raw.at[i];
        if (c == '%') {
            int high = i + 2 < raw.len ? digits_hex_value(raw.at[i + 1]) : -1;
            int low = i + 2 < raw.len ? digits_hex_value(raw.at[i + 2]) : -1;
            if (high < 0 || low < 0)
                return "the target has a % that two hexadecimal digits do not follow";
            c = (unsigned char)(high * 16 + low);
            i += 2;
            if (c == 0)
                return "the target has a NUL byte";
        } else if (c <= ' ' || c >= 0x7f) {
            return "the target has a byte that must be percent-encoded";
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        at[n++] = (char)c;
    }
    at[n] = '\0';
    *out = slice_of(at, n);
    return utf8_check(*out) < 0 ? NULL : "the target is not valid UTF-8";
}

/* The run up to the next separator; rest moves behind it. False when rest was used up. */
static bool next_part(struct slice *rest, char separator, struct slice *part_out)
{
    if (rest->at == NULL)
        return false;
    const char *end = memchr(rest->at, separator, rest->len);
    size_t len = end ? (size_t)(end - rest->at) : rest->len;
    *part_out = slice_of(rest->at, len);
    *rest = end ? slice_of(end + 1, rest->len - len - 1) : slice_of(NULL, 0);
    return true;
}

static const char *parse_path(struct slice path, struct arena *arena, struct target *out)
{
    struct slice rest = slice_of(path.at + 1, path.len - 1), part;
    struct slice parts[TARGET_SEGMENTS_MAX];
    int count = 0;
    while (next_part(&rest, '/', &part)) {
        if (count == TARGET_SEGMENTS_MAX)
            return "the path has too many segments";
        const char *wrong = decode(part, false, arena, &parts[count++]);
        if (wrong != NULL)
            return wrong;
    }
    out->segments = arena_alloc(arena, (size_t)count * sizeof parts[0]);
    memcpy(out->segments, parts, (size_t)count * sizeof parts[0]);
    out->segment_count = count;
    return NULL;
}

static const char *parse_query(struct slice query, struct arena *arena, struct target *out)
{
    struct slice rest = query, part, name;
    int most = 1;
    for (size_t i = 0; i < query.len; i++)
        most += query.at[i] == '&';
    if (most > TARGET_PAIRS_MAX)
        return "the query string has too many parameters";
    out->pairs = arena_alloc(arena, (size_t)most * sizeof *out->pairs);
    while (next_part(&rest, '&', &part)) {
        if (part.len == 0)
            continue;
        struct target_pair *pair = &out->pairs[out->pair_count++];
        struct slice value = part;
        next_part(&value, '=', &name);
        if (value.at == NULL)
            value = slice_str("");
        const char *wrong = decode(name, true, arena, &pair->name);
        if (wrong == NULL)
            wrong = decode(value, true, arena, &pair->value);
        if (wrong != NULL)
            return wrong;
    }
    return NULL;
}

const char *target_parse(struct slice raw, struct arena *arena, struct target *out)
{
    *out = (struct target){0};
    struct slice rest = raw, path;
    if (raw.at == NULL || (raw.len > 0 && raw.at[0] != '/' && raw.at[0] != '?'))
        return "the target is not an absolute path";
    next_part(&rest, '?', &path);
    if (path.len == 0)
        path = slice_str("/");
    const char *wrong = parse_path(path, arena, out);
    if (wrong == NULL && rest.at != NULL)
        wrong = parse_query(rest, arena, out);
    return wrong;
}
