#include "worker/upstream_target.h"
#include "common/template.h"

static void add_encoded(struct buf *out, struct slice value)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.at[i];
        bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                          c == '.' || c == '_' || c == '~';
        if (unreserved) {
            buf_addc(out, (char)c);
        } else {
            buf_addc(out, '%');
            buf_addc(out, hex[c >> 4]);
            buf_addc(out, hex[c & 15]);
        }
    }
}

static const struct param_value *value_of(const struct request *r, struct slice name)
{
    return &r->values[query_name_index(r->route->query, name)];
}

static bool refuse(struct request *r, struct slice name, const char *why)
{
    problem_add(&r->problem, r->arena, arena_str(r->arena, name), -1, why);
    return false;
}

/* One segment with its /; template: of it. */
static bool add_segment(struct request *r, const char *template, struct buf *out)
{
    size_t start = out->len;
    bool ok = true;
    struct slice last = slice_of(NULL, 0);
    for (struct template_part part; template_next(&template, &part);) {
        buf_add(out, part.text.at, part.text.len);
        if (part.name.len == 0)
            continue;
        const struct param_value *value = value_of(r, part.name);
        last = part.name;
        if (value->null || value->text.len == 0)
            ok = refuse(r, part.name, value->null ? "is required" : "must not be empty");
        else
            add_encoded(out, value->text);
    }
    struct slice made = slice_of(out->at + start + 1, out->len - start - 1);
    if (last.len > 0 && ok && (slice_is(made, ".") || slice_is(made, "..")))
        return refuse(r, last, "must not be . or ..");
    return ok;
}

/* One name=value; nothing where a value is absent. */
static void add_pair(struct request *r, const char *template, char separator, struct buf *out, bool *added)
{
    size_t start = out->len;
    buf_addc(out, separator);
    for (struct template_part part; template_next(&template, &part);) {
        buf_add(out, part.text.at, part.text.len);
        if (part.name.len == 0)
            continue;
        const struct param_value *value = value_of(r, part.name);
        if (value->null) {
            out->len = start;
            return;
        }
        add_encoded(out, value->text);
    }
    *added = true;
}

bool upstream_target_make(struct request *r, struct slice *target_out)
{
    struct buf out = {0};
    bool ok = true, query = false;
    const char *at = r->route->conf->templates.at[0];
    while (*at == '/') {
        size_t len = 1 + strcspn(at + 1, "/?");
        ok = add_segment(r, arena_str(r->arena, slice_of(at, len)), &out) && ok;
        at += len;
    }
    while (*at != '\0') {
        size_t len = strcspn(at + 1, "&");
        add_pair(r, arena_str(r->arena, slice_of(at + 1, len)), query ? '&' : '?', &out, &query);
        at += 1 + len;
    }
    *target_out = arena_copy(r->arena, buf_slice(&out));
    buf_deinit(&out);
    return ok;
}
