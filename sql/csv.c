#include "sql/csv.h"
#include "sql/value.h"

static bool needs_quotes(struct slice text)
{
    if (text.len == 0 || text.at[0] == ' ' || text.at[text.len - 1] == ' ')
        return true;
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] == '"' || text.at[i] == ',' || text.at[i] == '\r' || text.at[i] == '\n')
            return true;
    return false;
}

static void write_text(struct buf *out, struct slice text)
{
    if (!needs_quotes(text)) {
        buf_add(out, text.at, text.len);
        return;
    }
    buf_addc(out, '"');
    while (text.len > 0) {
        const char *quote = memchr(text.at, '"', text.len);
        size_t len = quote ? (size_t)(quote + 1 - text.at) : text.len;
        buf_add(out, text.at, len);
        if (quote != NULL)
            buf_addc(out, '"');
        text = slice_of(text.at + len, text.len - len);
    }
    buf_addc(out, '"');
}

/* By way of its JSON, which for these has no escapes. */
static void write_converted(struct buf *out, struct type type, struct slice text)
{
    struct buf json = {0};
    value_write(&json, type, false, text);
    struct slice bare = buf_slice(&json);
    if (bare.len > 1 && bare.at[0] == '"')
        bare = slice_of(bare.at + 1, bare.len - 2);
    write_text(out, bare);
    buf_deinit(&json);
}

static void write_value(struct buf *out, struct type type, struct slice text)
{
    if (type.array) {
        write_converted(out, type, text);
        return;
    }
    switch (type.kind) {
    case TYPE_BOOL:
    case TYPE_BYTES:
    case TYPE_TIMESTAMP:
    case TYPE_TIMESTAMPTZ:
        write_converted(out, type, text);
        return;
    case TYPE_INT2:
    case TYPE_INT4:
    case TYPE_INT8:
    case TYPE_OID:
    case TYPE_FLOAT:
    case TYPE_NUMERIC:
    case TYPE_JSON:
    case TYPE_TEXT:
    case TYPE_UUID:
    case TYPE_OTHER:
        break;
    }
    write_text(out, text);
}

void csv_write_names(struct buf *out, const PGresult *result)
{
    for (int c = 0; c < PQnfields(result); c++) {
        if (c > 0)
            buf_addc(out, ',');
        write_text(out, slice_str(PQfname(result, c)));
    }
    buf_adds(out, "\r\n");
}

void csv_write_row(struct buf *out, const struct encode_plan *plan, const PGresult *result, int row)
{
    for (int c = 0; c < plan->column_count; c++) {
        if (c > 0)
            buf_addc(out, ',');
        if (!PQgetisnull(result, row, c))
            write_value(out, plan->columns[c].type,
                        slice_of(PQgetvalue(result, row, c), (size_t)PQgetlength(result, row, c)));
    }
    buf_adds(out, "\r\n");
}
