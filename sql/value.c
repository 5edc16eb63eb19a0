#include "sql/value.h"
#include "common/base64.h"
#include "common/json_write.h"

#include <ctype.h>

static int hex(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

static void write_base64(struct buf *out, struct slice text)
{
    struct buf bytes = {0};
    for (size_t i = 2; i + 1 < text.len; i += 2) /* behind "\x" */
        buf_addc(&bytes, (char)(hex(text.at[i]) << 4 | hex(text.at[i + 1])));
    buf_addc(out, '"');
    base64_encode(out, buf_slice(&bytes), BASE64_PADDED);
    buf_addc(out, '"');
    buf_deinit(&bytes);
}

/* "2024-05-01 12:00:00.5+00" becomes "2024-05-01T12:00:00.5+00:00". */
static void write_timestamp(struct buf *out, struct slice text, bool zoned)
{
    const char *space = memchr(text.at, ' ', text.len), *end = text.at + text.len;
    if (space == NULL) { /* infinity */
        json_write_string(out, text);
        return;
    }
    buf_addc(out, '"');
    buf_add(out, text.at, (size_t)(space - text.at));
    buf_addc(out, 'T');
    const char *zone = space + 1;
    while (zone < end && *zone != '+' && *zone != '-' && *zone != ' ')
        zone++;
    const char *zone_end = zone;
    while (zone_end < end && *zone_end != ' ')
        zone_end++;
    buf_add(out, space + 1, (size_t)(zone_end - space - 1));
    if (zoned && zone_end - zone == 3)
        buf_adds(out, ":00");
    buf_add(out, zone_end, (size_t)(end - zone_end)); /* " BC" */
    buf_addc(out, '"');
}

static void write_number(struct buf *out, struct slice text)
{
    char last = text.at[text.len - 1];
    if (isdigit((unsigned char)last))
        buf_add(out, text.at, text.len);
    else
        buf_adds(out, "null"); /* NaN, Infinity */
}

static void write_scalar(struct buf *out, enum type_kind kind, bool bigint_string, struct slice text)
{
    switch (kind) {
    case TYPE_BOOL:
        buf_adds(out, text.at[0] == 't' ? "true" : "false");
        return;
    case TYPE_INT8:
        if (bigint_string)
            buf_addc(out, '"');
        buf_add(out, text.at, text.len);
        if (bigint_string)
            buf_addc(out, '"');
        return;
    case TYPE_INT2:
    case TYPE_INT4:
    case TYPE_JSON:
        buf_add(out, text.at, text.len);
        return;
    case TYPE_FLOAT:
    case TYPE_NUMERIC:
        write_number(out, text);
        return;
    case TYPE_BYTES:
        write_base64(out, text);
        return;
    case TYPE_TIMESTAMP:
    case TYPE_TIMESTAMPTZ:
        write_timestamp(out, text, kind == TYPE_TIMESTAMPTZ);
        return;
    case TYPE_TEXT:
    case TYPE_OID:
    case TYPE_UUID:
    case TYPE_OTHER:
        break;
    }
    json_write_string(out, text);
}

/* ---- arrays: {1,NULL,"a\"b"}, {{1,2},{3,4}}, [0:1]={1,2} ---- */

struct literal {
    struct slice text;
    size_t at;
    struct buf element; /* unescaped */
};

static void read_quoted(struct literal *l)
{
    for (l->at++; l->at < l->text.len && l->text.at[l->at] != '"'; l->at++) {
        if (l->text.at[l->at] == '\\')
            l->at++;
        buf_addc(&l->element, l->text.at[l->at]);
    }
    l->at++;
}

static void read_plain(struct literal *l)
{
    while (l->at < l->text.len && l->text.at[l->at] != ',' && l->text.at[l->at] != '}')
        buf_addc(&l->element, l->text.at[l->at++]);
}

static void write_element(struct buf *out, struct literal *l, enum type_kind kind, bool bigint_string)
{
    bool quoted = l->text.at[l->at] == '"';
    l->element.len = 0;
    if (quoted)
        read_quoted(l);
    else
        read_plain(l);
    struct slice text = l->element.len > 0 ? buf_slice(&l->element) : slice_of("", 0);
    if (!quoted && slice_is(text, "NULL"))
        buf_adds(out, "null");
    else
        write_scalar(out, kind, bigint_string, text);
}

static void write_array(struct buf *out, struct type type, bool bigint_string, struct slice text)
{
    struct literal l = {.text = text};
    if (text.len > 0 && text.at[0] == '[') { /* lower bounds other than 1 */
        const char *equals = memchr(text.at, '=', text.len);
        l.at = equals ? (size_t)(equals + 1 - text.at) : 0;
    }
    while (l.at < text.len) {
        char c = text.at[l.at];
        if (c == '{' || c == '}' || c == ',') {
            buf_addc(out, c == '{' ? '[' : c == '}' ? ']' : ',');
            l.at++;
        } else {
            write_element(out, &l, type.kind, bigint_string);
        }
    }
    buf_deinit(&l.element);
}

void value_write(struct buf *out, struct type type, bool bigint_string, struct slice text)
{
    if (type.array)
        write_array(out, type, bigint_string, text);
    else
        write_scalar(out, type.kind, bigint_string, text);
}
