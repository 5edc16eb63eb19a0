#include "sql/combined.h"
#include "common/buf.h"
#include "sql/type.h"

#include <inttypes.h>

const char *combined_refuses(const struct query *query)
{
    if (query->statement_count != 1 || !query_is_select(&query->statements[0]))
        return "combined lookups need a query that is one SELECT";
    if (query->name_count != 1)
        return "combined lookups need a query with one parameter";
    return NULL;
}

/* $1 as the query's parameter, and not in a string: both its bytes come from the one place of the :name. */
static bool is_param(const struct query_statement *statement, size_t at)
{
    return statement->text[at] == '$' && statement->text[at + 1] == '1' &&
           statement->source[at] == statement->source[at + 1];
}

static void put_inner(struct buf *out, const struct query_statement *inner)
{
    for (size_t at = 0; inner->text[at] != '\0'; at++) {
        if (is_param(inner, at)) {
            buf_adds(out, " perfd_key.v ");
            at++;
        } else {
            buf_addc(out, inner->text[at]);
        }
    }
}

const char *combined_text(const struct query_statement *inner, uint32_t param_type, struct arena *arena,
                          struct err *err)
{
    struct buf out = {0};
    const char *name = type_name(param_type);
    if (name == NULL) {
        err_set(err,
                "the parameter's type (OID %" PRIu32 ") is none that keys may have here; a cast gives it another one",
                param_type);
        return NULL;
    }
    buf_printf(&out,
               "SELECT perfd_row.*, perfd_key.i FROM pg_catalog.unnest((SELECT $1::pg_catalog.%s[])) WITH ORDINALITY "
               "AS perfd_key(v, i), LATERAL (",
               name);
    put_inner(&out, inner);
    buf_adds(&out, ") AS perfd_row");
    const char *text = arena_str(arena, buf_slice(&out));
    buf_deinit(&out);
    return text;
}
