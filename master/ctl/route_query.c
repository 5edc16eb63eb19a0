#include "master/ctl/route_query.h"
#include "sql/keyset.h"

enum { PAGE_ROWS = 51 }; /* the default limit of a page, and the row that tells of another one */

struct query *route_query(const struct conf_route *route, struct arena *arena, struct err *err)
{
    const struct keyset_shape shape = {.first = true, .limit = PAGE_ROWS};
    if (route->from != FROM_SQL) {
        err_set(err, "it has no query");
        return NULL;
    }
    struct query *query = query_parse(slice_str(route->sql_text), arena, err);
    if (query != NULL && route->page.key_count > 0)
        query->statements[0].text = keyset_text(&route->page, &query->statements[0], &shape, arena);
    return query;
}
