#include "worker/target_fill.h"
#include "common/template.h"

static const struct param_value *value_of(const struct query *query, const struct param_value *values,
                                          struct slice name)
{
    int i = query_name_index(query, name);
    CHECK(i >= 0);
    return &values[i];
}

/* RFC 3986, 2.3. */
static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~", c) != NULL);
}

static void put_encoded(struct buf *out, char c)
{
    static const char digits[] = "0123456789ABCDEF";
    buf_addc(out, '%');
    buf_addc(out, digits[(unsigned char)c >> 4]);
    buf_addc(out, digits[(unsigned char)c & 0xf]);
}

static void put_value(struct buf *out, struct slice value)
{
    for (size_t i = 0; i < value.len; i++)
        if (is_unreserved(value.at[i]))
            buf_addc(out, value.at[i]);
        else
            put_encoded(out, value.at[i]);
}

/* It may be encoded already, but a file may have letters beyond ASCII. */
static void put_text(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.at[i] < 0x7f)
            buf_addc(out, text.at[i]);
        else
            put_encoded(out, text.at[i]);
}

/* False: a value is null. */
static bool put(struct buf *out, const char *template, const struct query *query, const struct param_value *values)
{
    for (struct template_part part; template_next(&template, &part);) {
        const struct param_value *value = part.name.len > 0 ? value_of(query, values, part.name) : NULL;
        put_text(out, part.text);
        if (value != NULL && value->null)
            return false;
        if (value != NULL)
            put_value(out, value->text);
    }
    return true;
}

struct slice target_fill(const char *template, const struct query *query, const struct param_value *values,
                         struct arena *arena)
{
    struct buf out = {0};
    size_t path_len = strcspn(template, "?");
    CHECK(put(&out, arena_str(arena, slice_of(template, path_len)), query, values));
    char before = '?';
    for (const char *at = template + path_len; *at != '\0';) {
        size_t start = out.len, len = strcspn(at + 1, "&");
        buf_addc(&out, before);
        if (put(&out, arena_str(arena, slice_of(at + 1, len)), query, values))
            before = '&';
        else
            out.len = start;
        at += 1 + len;
    }
    struct slice target = arena_copy(arena, buf_slice(&out));
    buf_deinit(&out);
    return target;
}
