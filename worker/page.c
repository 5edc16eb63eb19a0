#include "worker/page.h"
#include "common/digits.h"
#include "sql/keyset.h"
#include "sql/type.h"
#include "sql/value.h"
#include "worker/cursor.h"
#include "worker/format.h"

#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

/* The first page, and one a set of the cursor's values that are NULL; each with the default limit in its text, so that
 * PostgreSQL plans for it, and with any limit as a parameter. */
enum { SHAPES = 1 + (1 << CONF_PAGE_KEYS_MAX) };

struct page {
    const struct conf_page *conf;
    const struct query_statement *inner;
    int limit, cursor;                           /* in the query's names */
    int64_t usual_limit;                         /* 0: there is no default */
    uint64_t seed;                               /* of cursors' owners */
    uint32_t types[CONF_PAGE_KEYS_MAX];          /* of the keys */
    struct pool_statement statements[SHAPES][2]; /* text NULL: not made yet; [1] has the usual limit */
};

/* A request's place in it. */
struct page_turn {
    bool first;
    unsigned nulls;
    int64_t limit;
    struct param_value values[CONF_PAGE_KEYS_MAX]; /* of the cursor */
};

/* ---- of a route ---- */

bool page_extend(struct route *route, struct err *err)
{
    struct query *query = route->query;
    const char *wrong = keyset_refuses(query);
    if (wrong != NULL)
        return err_set(err, "1:1: %s", wrong);
    const char **names = arena_alloc(route->arena, (size_t)(query->name_count + 2) * sizeof *names);
    memcpy(names, query->names, (size_t)query->name_count * sizeof *names);
    names[query->name_count++] = CONF_PAGE_LIMIT;
    names[query->name_count++] = CONF_PAGE_CURSOR;
    query->names = names;
    return true;
}

/* A cursor is of use as long as the order is the same, whatever else of the route a reload changes. */
static uint64_t seed_of(const struct conf_route *conf)
{
    uint64_t seed = XXH3_64bits(conf->name, strlen(conf->name));
    for (int i = 0; i < conf->page.key_count; i++) {
        const struct conf_key *key = &conf->page.keys[i];
        seed = XXH3_64bits_withSeed(key->column, strlen(key->column), seed + key->descending);
    }
    return seed;
}

void page_create(struct route *route, uint32_t *next_id)
{
    struct page *page = route->page = arena_alloc(route->arena, sizeof *page);
    page->conf = &route->conf->page;
    page->inner = &route->query->statements[0];
    page->limit = route->query->name_count - 2;
    page->cursor = route->query->name_count - 1;
    page->seed = seed_of(route->conf);
    const struct conf_param *limit = route->rules[page->limit];
    page->usual_limit = limit->default_text ? atoll(limit->default_text) : 0;
    route->types[page->limit] = OID_INT8;
    route->types[page->cursor] = OID_TEXT;
    for (int i = 0; i < SHAPES; i++)
        for (int usual = 0; usual < 2; usual++)
            page->statements[i][usual] = (struct pool_statement){.id = (*next_id)++, .shares = route->conf->share};
}

bool page_describe(struct route *route, const PGresult *columns, struct err *err)
{
    int at[CONF_PAGE_KEYS_MAX];
    struct page *page = route->page;
    if (!keyset_columns(page->conf, columns, at, err))
        return false;
    for (int i = 0; i < page->conf->key_count; i++)
        page->types[i] = PQftype(columns, at[i]);
    return true;
}

static const struct pool_statement *statement_of(struct route *route, const struct page_turn *turn)
{
    struct page *page = route->page;
    bool usual = turn->limit == page->usual_limit;
    struct pool_statement *statement = &page->statements[turn->first ? 0 : 1 + turn->nulls][usual];
    const struct keyset_shape shape = {turn->first, turn->nulls, usual ? turn->limit + 1 : 0};
    if (statement->text != NULL)
        return statement;
    statement->text = keyset_text(page->conf, page->inner, &shape, route->arena);
    statement->param_count = page->inner->param_count + !usual;
    for (int i = 0; i < page->conf->key_count && !turn->first; i++)
        statement->param_count += !(turn->nulls >> i & 1);
    return statement;
}

/* ---- where a page begins ---- */

/* All that decides which rows there are, and in which order. */
static uint64_t owner_of(const struct request *r)
{
    const struct page *page = r->route->page;
    uint64_t owner = page->seed;
    for (int i = 0; i < r->route->query->name_count; i++) {
        const struct param_value *value = &r->values[i];
        if (i != page->limit && i != page->cursor)
            owner = XXH3_64bits_withSeed(value->null ? "" : value->text.at, value->null ? 0 : value->text.len,
                                         owner + value->null);
    }
    return owner;
}

/* As PostgreSQL wrote it: what it would not read again, somebody made up. bytea is base64 only for consumers. */
static bool fits(struct param_value *value, uint32_t oid, struct arena *arena)
{
    struct type type = type_of(oid);
    bool as_text = type.array || type.kind == TYPE_BYTES;
    return value->null || param_from_text(value->text, as_text ? OID_TEXT : oid, arena, value) == NULL;
}

static bool read_cursor(struct request *r, struct page_turn *turn)
{
    const struct page *page = r->route->page;
    if (!cursor_decode(r->values[page->cursor].text, owner_of(r), r->arena, turn->values, page->conf->key_count))
        return false;
    for (int i = 0; i < page->conf->key_count; i++) {
        if (!fits(&turn->values[i], page->types[i], r->arena))
            return false;
        turn->nulls |= (unsigned)turn->values[i].null << i;
    }
    return true;
}

bool page_read(struct request *r)
{
    const struct page *page = r->route->page;
    struct page_turn *turn = r->page = arena_alloc(r->arena, sizeof *turn);
    turn->limit = atoll(r->values[page->limit].text.at);
    turn->first = r->values[page->cursor].null;
    if (turn->first || read_cursor(r, turn))
        return true;
    problem_add(&r->problem, r->arena, CONF_PAGE_CURSOR, -1, "is not a cursor of this query");
    return false;
}

/* ---- the rows ---- */

void page_work(const struct request *r, struct pool_work *work)
{
    const struct page *page = r->route->page;
    const struct page_turn *turn = r->page;
    int count = page->inner->param_count;
    const char **texts = arena_alloc(r->arena, (size_t)(count + CONF_PAGE_KEYS_MAX + 1) * sizeof *texts);
    const char *const **values = arena_alloc(r->arena, sizeof *values);
    memcpy(texts, work->values[0], (size_t)count * sizeof *texts);
    for (int i = 0; i < page->conf->key_count && !turn->first; i++)
        if (!turn->values[i].null)
            texts[count++] = turn->values[i].text.at;
    texts[count] = digits_of((uint64_t)turn->limit + 1, arena_bytes(r->arena, DIGITS_BYTES)).at;
    values[0] = texts;
    work->values = values;
    work->statements = statement_of(r->route, turn);
}

void page_locate(const struct request *r, struct pool_outcome *outcome)
{
    outcome->position =
        keyset_position(statement_of(r->route, r->page)->text, r->route->page->inner, outcome->position);
}

static struct param_value value_at(const PGresult *result, int row, int column)
{
    if (PQgetisnull(result, row, column))
        return (struct param_value){.null = true};
    return (struct param_value){
        .text = slice_of(PQgetvalue(result, row, column), (size_t)PQgetlength(result, row, column))};
}

static bool are_equal(const PGresult *result, int a, int b, const int *columns, int count)
{
    for (int i = 0; i < count; i++) {
        struct param_value one = value_at(result, a, columns[i]), other = value_at(result, b, columns[i]);
        if (one.null != other.null || !slice_eq(one.text, other.text))
            return false;
    }
    return true;
}

/* ---- the next page ---- */

static void put_escaped(struct buf *out, struct slice text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (c != '\0' && strchr(plain, c) != NULL)
            buf_addc(out, c);
        else
            buf_printf(out, "%%%02X", (unsigned char)c);
    }
}

/* As a consumer gives it: bytea in base64. */
static void put_param(struct buf *out, const char *name, struct slice text, uint32_t oid)
{
    struct type type = type_of(oid);
    struct buf json = {0};
    put_escaped(out, slice_str(name));
    buf_addc(out, '=');
    if (type.kind == TYPE_BYTES && !type.array) {
        value_write(&json, type, false, text);
        text = slice_of(json.at + 1, json.len - 2);
    }
    put_escaped(out, text);
    buf_addc(out, '&');
    buf_deinit(&json);
}

/* A reference relative to the request's own URL (RFC 8288, RFC 3986 5.2.2): a proxy may know the path by another name.
 */
static void put_link(struct buf *out, const struct request *r, struct slice cursor)
{
    const struct route *route = r->route;
    buf_adds(out, "Link: <?");
    for (int i = 0; i < route->query->name_count; i++)
        if (!route->in_path[i] && i != route->page->cursor && !r->values[i].null)
            put_param(out, route->query->names[i], r->values[i].text, route->types[i]);
    buf_printf(out, CONF_PAGE_CURSOR "=" SLICE_FMT ">; rel=\"next\"\r\n", SLICE_ARG(cursor));
}

static bool make_head(struct request *r, const PGresult *result, const int *columns, struct err *err)
{
    struct param_value values[CONF_PAGE_KEYS_MAX];
    int count = r->route->page->conf->key_count, last = (int)r->page->limit - 1;
    struct buf cursor = {0}, head = {0};
    if (are_equal(result, last, last + 1, columns, count))
        return err_set(err, "two rows have the same keys, so that no page can end between them; page keyset needs keys "
                            "that together are unique");
    for (int i = 0; i < count; i++)
        values[i] = value_at(result, last, columns[i]);
    if (!cursor_encode(&cursor, owner_of(r), values, count))
        return err_set(err, "the keys of a row are too long for a cursor: page keyset takes %d bytes at most",
                       CURSOR_VALUES_BYTES_MAX);
    const struct slice usual = format_head(r->format, true);
    buf_add(&head, usual.at, usual.len);
    put_link(&head, r, buf_slice(&cursor));
    r->head = arena_copy(r->arena, buf_slice(&head));
    buf_deinit(&cursor);
    buf_deinit(&head);
    return true;
}

int page_take(struct request *r, const PGresult *result, struct err *err)
{
    int columns[CONF_PAGE_KEYS_MAX], rows = PQntuples(result);
    if (!page_describe(r->route, result, err) || !keyset_columns(r->route->page->conf, result, columns, err))
        return -1;
    if (rows <= r->page->limit)
        return rows;
    return make_head(r, result, columns, err) ? (int)r->page->limit : -1;
}
