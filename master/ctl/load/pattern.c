#include "master/ctl/load/pattern.h"
#include "common/json_write.h"

/* The name in braces that begins at at; empty: none does. */
static struct slice name_at(const char *at, const char *end)
{
    const char *name = at + 1, *close = name;
    if (*at != '{')
        return slice_of(at, 0);
    while (close < end && ((*close >= 'a' && *close <= 'z') || *close == '_'))
        close++;
    return close < end && *close == '}' ? slice_of(name, (size_t)(close - name)) : slice_of(at, 0);
}

/* Whether a string's first quote, not one inside of it, stands in front of at. */
static bool is_quote(const char *start, const char *at)
{
    return at > start && at[-1] == '"' && !(at - start >= 2 && at[-2] == '\\');
}

static void add_part(struct pattern *p, struct slice text, int variable)
{
    p->parts[p->count++] = (struct pattern_part){text, variable};
    if (variable >= 0)
        p->used |= UINT64_C(1) << variable;
}

bool pattern_create(struct slice text, const struct variables *variables, bool json, struct arena *arena,
                    struct pattern *out, struct err *err)
{
    const char *start = text.at, *end = text.at + text.len;
    size_t most = 1;
    for (const char *at = start; at < end; at++)
        most += *at == '{';
    *out = (struct pattern){.parts = arena_alloc(arena, most * sizeof *out->parts)};
    for (const char *at = start; at < end; at++) {
        struct slice name = name_at(at, end);
        if (name.len == 0)
            continue;
        int variable = variables_find(variables, name);
        const char *next = name.at + name.len + 1;
        if (variable < 0)
            return err_set(err, "there is no variable \"" SLICE_FMT "\"", SLICE_ARG(name));
        bool quoted = json && is_quote(start, at) && next < end && *next == '"';
        add_part(out, slice_of(start, (size_t)(at - start) - quoted), variable);
        start = next + quoted;
        at = start - 1;
    }
    add_part(out, slice_of(start, (size_t)(end - start)), -1);
    return true;
}

void pattern_write(const struct pattern *p, const int64_t *values, struct buf *out)
{
    for (int i = 0; i < p->count; i++) {
        buf_add(out, p->parts[i].text.at, p->parts[i].text.len);
        if (p->parts[i].variable >= 0)
            json_write_int(out, values[p->parts[i].variable]);
    }
}
