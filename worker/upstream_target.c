#include "worker/upstream_target.h"
#include "common/digits.h"
#include "common/template.h"
#include "worker/target_fill.h"

static bool refuse(struct request *r, struct slice name, const char *why)
{
    problem_add(&r->problem, r->arena, arena_str(r->arena, name), -1, why);
    return false;
}

/* Percent-encoding is right: the configuration's parser or target_fill() saw to that. */
static char next_decoded(struct slice made, size_t *at)
{
    char c = made.at[*at];
    *at += 1;
    if (c == '%') {
        c = (char)(digits_hex_value(made.at[*at]) << 4 | digits_hex_value(made.at[*at + 1]));
        *at += 2;
    }
    return c;
}

/* Many a server decodes a path first, and then goes up at its dots: %2F and %5C are then as good as a slash. */
static bool has_dots(struct slice made)
{
    size_t dots = 0, bytes = 0;
    for (size_t at = 0; at < made.len;) {
        char c = next_decoded(made, &at);
        bool slash = c == '/' || c == '\\';
        if (slash && bytes == dots && (dots == 1 || dots == 2))
            return true;
        bytes = slash ? 0 : bytes + 1;
        dots = slash ? 0 : dots + (c == '.');
    }
    return bytes == dots && (dots == 1 || dots == 2);
}

/* segment: one of the template's, with its /. */
static bool check_segment(struct request *r, const char *segment)
{
    bool ok = true;
    struct slice last = slice_of(NULL, 0);
    const char *at = segment;
    for (struct template_part part; template_next(&at, &part);) {
        if (part.name.len == 0)
            continue;
        const struct param_value *value = &r->values[query_name_index(r->route->query, part.name)];
        last = part.name;
        if (value->null || value->text.len == 0)
            ok = refuse(r, part.name, value->null ? "is required" : "must not be empty");
    }
    if (last.len == 0 || !ok)
        return ok;
    struct slice made = target_fill(segment, r->route->query, r->values, r->arena);
    return !has_dots(made) || refuse(r, last, "must not be . or .., nor hold such a one between slashes");
}

bool upstream_target_make(struct request *r, struct slice *target_out)
{
    const char *template = r->route->conf->templates.at[0];
    bool ok = true;
    for (const char *at = template; *at == '/';) {
        size_t len = 1 + strcspn(at + 1, "/?");
        ok = check_segment(r, arena_str(r->arena, slice_of(at, len))) && ok;
        at += len;
    }
    if (ok)
        *target_out = target_fill(template, r->route->query, r->values, r->arena);
    return ok;
}
