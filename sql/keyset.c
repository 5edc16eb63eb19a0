#include "sql/keyset.h"
#include "common/buf.h"

#define ALIAS "perfd_page"

/* ---- what can be cut ---- */

const char *keyset_refuses(const struct query *query)
{
    if (query->statement_count != 1 || !query_is_select(&query->statements[0]))
        return "pages need a query that is one SELECT";
    if (query->statements[0].sorted)
        return "the page orders and limits the rows; leave ORDER BY, LIMIT, OFFSET and FETCH out of the query";
    for (int i = 0; i < query->name_count; i++)
        if (strcmp(query->names[i], CONF_PAGE_LIMIT) == 0 || strcmp(query->names[i], CONF_PAGE_CURSOR) == 0)
            return "the page has the parameters limit and cursor, so the query cannot have one of these names";
    return NULL;
}

static int column_of(const PGresult *described, const char *name)
{
    for (int c = 0; c < PQnfields(described); c++)
        if (strcmp(PQfname(described, c), name) == 0)
            return c;
    return -1;
}

bool keyset_columns(const struct conf_page *page, const PGresult *described, int columns[static CONF_PAGE_KEYS_MAX],
                    struct err *err)
{
    for (int i = 0; i < page->key_count; i++) {
        columns[i] = column_of(described, page->keys[i].column);
        if (columns[i] < 0)
            return err_set(err, "the result has no column \"%s\"", page->keys[i].column);
    }
    for (int c = 0; c < PQnfields(described); c++)
        if (strstr(PQfname(described, c), "[].") != NULL)
            return err_set(err, "the column \"%s\" makes one object of several rows, which a page would cut apart",
                           PQfname(described, c));
    return true;
}

/* ---- the statement ---- */

/* Rows whose keys before the prefix-th are the cursor's, and whose prefix-th... */
enum branch_kind {
    BRANCH_ROW,     /* and those behind it, together, lie behind the cursor's */
    BRANCH_BEYOND,  /* lies behind the cursor's */
    BRANCH_NULL,    /* is NULL, and so lies behind the cursor's */
    BRANCH_NOT_NULL /* is not, and so lies behind the cursor's, which is */
};

struct branch {
    enum branch_kind kind;
    int prefix;
};

enum { BRANCHES_MAX = 2 * CONF_PAGE_KEYS_MAX };

struct writer {
    struct buf out;
    const struct conf_page *page;
    const struct query_statement *inner;
    const struct keyset_shape *shape;
    int params; /* numbers that the query and the cursor have */
};

static bool is_null(const struct writer *w, int key)
{
    return w->shape->nulls >> key & 1;
}

static bool go_one_way(const struct conf_page *page)
{
    for (int i = 1; i < page->key_count; i++)
        if (page->keys[i].descending != page->keys[0].descending)
            return false;
    return true;
}

static int find_branches(const struct writer *w, struct branch branches[static BRANCHES_MAX])
{
    bool one_range = w->shape->nulls == 0 && go_one_way(w->page);
    int count = 0;
    if (one_range)
        branches[count++] = (struct branch){BRANCH_ROW, 0};
    for (int i = w->page->key_count - 1; i >= 0; i--) {
        bool descending = w->page->keys[i].descending;
        if (is_null(w, i) && descending)
            branches[count++] = (struct branch){BRANCH_NOT_NULL, i};
        if (!is_null(w, i) && !one_range)
            branches[count++] = (struct branch){BRANCH_BEYOND, i};
        if (!is_null(w, i) && !descending)
            branches[count++] = (struct branch){BRANCH_NULL, i};
    }
    return count;
}

static void put_column(struct writer *w, int key)
{
    buf_adds(&w->out, ALIAS ".\"");
    for (const char *at = w->page->keys[key].column; *at != '\0'; at++) {
        if (*at == '"')
            buf_addc(&w->out, '"');
        buf_addc(&w->out, *at);
    }
    buf_addc(&w->out, '"');
}

/* The number of a key's value: those before it that are NULL have none. */
static void put_value(struct writer *w, int key)
{
    int number = w->inner->param_count + 1;
    for (int i = 0; i < key; i++)
        number += !is_null(w, i);
    buf_printf(&w->out, "$%d", number);
}

static const char *beyond(const struct writer *w, int key)
{
    return w->page->keys[key].descending ? " < " : " > ";
}

static void put_row_condition(struct writer *w)
{
    int count = w->page->key_count;
    buf_adds(&w->out, "(");
    for (int i = 0; i < count; i++) {
        buf_adds(&w->out, i > 0 ? ", " : "");
        put_column(w, i);
    }
    buf_printf(&w->out, ")%s(", beyond(w, 0));
    for (int i = 0; i < count; i++) {
        buf_adds(&w->out, i > 0 ? ", " : "");
        put_value(w, i);
    }
    buf_adds(&w->out, ")");
}

static void put_condition(struct writer *w, const struct branch *branch)
{
    int key = branch->prefix;
    for (int i = 0; i < key; i++) {
        put_column(w, i);
        buf_adds(&w->out, is_null(w, i) ? " IS NULL" : " = ");
        if (!is_null(w, i))
            put_value(w, i);
        buf_adds(&w->out, " AND ");
    }
    switch (branch->kind) {
    case BRANCH_ROW:
        put_row_condition(w);
        return;
    case BRANCH_BEYOND:
        put_column(w, key);
        buf_adds(&w->out, beyond(w, key));
        put_value(w, key);
        return;
    case BRANCH_NULL:
    case BRANCH_NOT_NULL:
        put_column(w, key);
        buf_adds(&w->out, branch->kind == BRANCH_NULL ? " IS NULL" : " IS NOT NULL");
        return;
    }
}

static void put_end(struct writer *w)
{
    for (int i = 0; i < w->page->key_count; i++) {
        buf_adds(&w->out, i > 0 ? ", " : " ORDER BY ");
        put_column(w, i);
        if (w->page->keys[i].descending)
            buf_adds(&w->out, " DESC");
    }
    if (w->shape->limit > 0)
        buf_printf(&w->out, " LIMIT %lld", (long long)w->shape->limit);
    else
        buf_printf(&w->out, " LIMIT $%d", w->params + 1);
}

static void put_from(struct writer *w)
{
    buf_printf(&w->out, "SELECT * FROM (%s) AS " ALIAS, w->inner->text);
}

static void put_branch(struct writer *w, const struct branch *branch)
{
    put_from(w);
    buf_adds(&w->out, " WHERE ");
    put_condition(w, branch);
    put_end(w);
}

static void put_union(struct writer *w, const struct branch *branches, int count)
{
    buf_adds(&w->out, "SELECT * FROM (");
    for (int i = 0; i < count; i++) {
        buf_adds(&w->out, i > 0 ? " UNION ALL (" : "(");
        put_branch(w, &branches[i]);
        buf_adds(&w->out, ")");
    }
    buf_adds(&w->out, ") AS " ALIAS);
    put_end(w);
}

const char *keyset_text(const struct conf_page *page, const struct query_statement *inner,
                        const struct keyset_shape *shape, struct arena *arena)
{
    struct writer w = {.page = page, .inner = inner, .shape = shape, .params = inner->param_count};
    struct branch branches[BRANCHES_MAX];
    int count = shape->first ? 0 : find_branches(&w, branches);
    for (int i = 0; i < page->key_count && !shape->first; i++)
        w.params += !is_null(&w, i);
    if (count > 1) {
        put_union(&w, branches, count);
    } else if (count == 1) {
        put_branch(&w, branches);
    } else { /* behind NULL, where that comes last, is nothing */
        put_from(&w);
        buf_adds(&w.out, shape->first ? "" : " WHERE false");
        put_end(&w);
    }
    const char *text = arena_str(arena, buf_slice(&w.out));
    buf_deinit(&w.out);
    return text;
}

int keyset_position(const char *text, const struct query_statement *inner, int position)
{
    const char *begin = strstr(text, inner->text);
    int before = begin ? (int)(begin - text) : 0; /* perfd's own words are ASCII: bytes are characters */
    return begin != NULL && position > before ? position - before : 0;
}
