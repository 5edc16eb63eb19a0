#include "worker/combine.h"
#include "common/clock.h"
#include "common/log.h"
#include "sql/combined.h"
#include "worker/permit.h"
#include "worker/rows.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

enum { FEW_KEYS = 5 };

struct combine {
    struct route *route;
    struct pool_statement statement; /* text NULL: its lookups cannot be combined */
    struct batch *open;              /* takes more; NULL: none does */
    struct event turn;               /* the end of the loop's turn, in which `open` was begun */
};

/* A lookup with a key, or several, on their way. */
struct batch {
    struct combine *of;
    struct combined *first, *last;
    struct pool_job *job; /* NULL: not the pool's yet */
    struct lease *lease;  /* of its first lookup when it became the pool's: the others' end with them */
    int64_t queued_us;    /* when it became the pool's */
    int64_t deadline_us;  /* the last of its lookups' */
    struct event late;    /* the first of their deadlines; set where there are several */
    bool answering;
    int key_count;
    struct buf keys;  /* each with its NUL */
    size_t *key_at;   /* where each begins there */
    struct buf array; /* of them, as PostgreSQL reads it */
    const char *value;
    const char *const *values;
};

static int64_t deadline_of(const struct request *r)
{
    return r->deadline_us;
}

/* ---- lookups in a batch ---- */

static void link_last(struct batch *b, struct combined *m)
{
    m->batch = b;
    m->next = NULL;
    m->prev = b->last;
    *(b->last ? &b->last->next : &b->first) = m;
    b->last = m;
}

static void take_out(struct combined *m)
{
    struct batch *b = m->batch;
    *(m->prev ? &m->prev->next : &b->first) = m->next;
    *(m->next ? &m->next->prev : &b->last) = m->prev;
    m->batch = NULL;
}

static void destroy(struct batch *b)
{
    if (b->of->open == b)
        b->of->open = NULL;
    event_del(&b->late);
    lease_release(b->lease);
    buf_deinit(&b->keys);
    buf_deinit(&b->array);
    free(b->key_at);
    free(b);
}

static int find_key(const struct batch *b, struct slice key)
{
    for (int i = 0; i < b->key_count; i++)
        if (slice_is(key, b->keys.at + b->key_at[i]))
            return i;
    return -1;
}

static int add_key(struct batch *b, const struct param_value *key)
{
    b->key_at[b->key_count] = b->keys.len;
    buf_add(&b->keys, key->text.at, key->text.len + 1);
    if (b->array.len > 0) /* over the brace and its NUL */
        b->array.len -= 2;
    buf_addc(&b->array, b->key_count > 0 ? ',' : '{');
    param_put_element(&b->array, key);
    buf_add(&b->array, "}", 2);
    return b->key_count++;
}

/* ---- answers ---- */

static void answer(struct combined *m, const struct pool_outcome *outcome)
{
    take_out(m);
    m->done(m->arg, outcome);
}

static void on_alone(void *arg, const struct pool_outcome *outcome)
{
    struct combined *m = arg;
    m->alone = NULL;
    m->done(m->arg, outcome);
}

static void run_alone(struct combined *m)
{
    const struct pool_work work = rows_work(m->r);
    m->alone = pool_run(m->r->service->pool, &work, on_alone, m);
}

/* Its own wait: it may have come after the others. */
static struct pool_outcome own_outcome(const struct combined *m, const struct pool_outcome *outcome)
{
    struct pool_outcome own = *outcome;
    int64_t later_us = MAX(m->joined_us - m->batch->queued_us, INT64_C(0));
    own.wait_us = MAX(outcome->wait_us - later_us, INT64_C(0));
    return own;
}

/* The rows of each key, as a list: first[key], then next[row]; -1 ends it. */
struct rows {
    const PGresult *result;
    PGresAttDesc *columns;
    int column_count;
    int *first, *next;
};

static void sort_rows(struct rows *rows, const PGresult *result, int keys)
{
    int count = PQntuples(result), place = PQnfields(result) - 1;
    *rows = (struct rows){.result = result, .column_count = place};
    rows->columns = xcalloc((size_t)MAX(place, 1), sizeof *rows->columns);
    rows->first = xcalloc((size_t)keys + (size_t)count, sizeof *rows->first);
    rows->next = rows->first + keys;
    for (int c = 0; c < place; c++)
        rows->columns[c] = (PGresAttDesc){.name = PQfname(result, c),
                                          .tableid = PQftable(result, c),
                                          .columnid = PQftablecol(result, c),
                                          .format = PQfformat(result, c),
                                          .typid = PQftype(result, c),
                                          .typlen = PQfsize(result, c),
                                          .atttypmod = PQfmod(result, c)};
    for (int key = 0; key < keys; key++)
        rows->first[key] = -1;
    for (int row = count - 1; row >= 0; row--) {
        int key = atoi(PQgetvalue(result, row, place)) - 1;
        CHECK(key >= 0 && key < keys);
        rows->next[row] = rows->first[key];
        rows->first[key] = row;
    }
}

static void free_rows(struct rows *rows)
{
    free(rows->columns);
    free(rows->first);
}

/* What the route's own statement would have given for the key. NULL: libpq had no memory for it. */
static PGresult *result_of(const struct rows *rows, int key)
{
    PGresult *own = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    bool ok = own != NULL && PQsetResultAttrs(own, rows->column_count, rows->columns);
    int to = 0;
    for (int row = rows->first[key]; row >= 0 && ok; row = rows->next[row], to++)
        for (int c = 0; c < rows->column_count && ok; c++) {
            bool null = PQgetisnull(rows->result, row, c);
            ok = PQsetvalue(own, to, c, null ? NULL : PQgetvalue(rows->result, row, c),
                            null ? -1 : PQgetlength(rows->result, row, c));
        }
    if (ok)
        return own;
    PQclear(own);
    return NULL;
}

static void run_by_itself(struct combined *m)
{
    take_out(m);
    run_alone(m);
}

static void hand_out(struct batch *b, const struct pool_outcome *outcome)
{
    struct rows rows;
    struct service *s = b->of->route->service;
    sort_rows(&rows, outcome->results[0], b->key_count);
    while (b->first != NULL) {
        struct combined *m = b->first;
        PGresult *result = result_of(&rows, m->key);
        if (result == NULL) {
            run_by_itself(m);
            continue;
        }
        const PGresult *const results[] = {result};
        struct pool_outcome own = own_outcome(m, outcome);
        own.results = results;
        service_count(s, STAT_pool_combined);
        answer(m, &own);
        PQclear(result);
    }
    free_rows(&rows);
}

static void hand_all(struct batch *b, const struct pool_outcome *outcome)
{
    while (b->first != NULL) {
        struct pool_outcome own = own_outcome(b->first, outcome);
        answer(b->first, &own);
    }
}

static void all_run_alone(struct batch *b)
{
    while (b->first != NULL)
        run_by_itself(b->first);
}

/* The first of those that came after it went to the pool; NULL: none did. */
static struct combined *find_later(const struct batch *b)
{
    for (struct combined *m = b->first; m != NULL; m = m->next)
        if (m->joined_us > b->queued_us)
            return m;
    return NULL;
}

/* It waited for too long or in vain. Those that came later have not. */
static void turn_away(struct batch *b, const struct pool_outcome *outcome)
{
    for (struct combined *m; (m = find_later(b)) != NULL;) {
        take_out(m);
        combine_run(b->of, m, m->r, m->done, m->arg);
    }
    hand_all(b, outcome);
}

static void on_batch(void *arg, const struct pool_outcome *outcome)
{
    struct batch *b = arg;
    b->job = NULL;
    b->answering = true;
    if (b->of->open == b)
        b->of->open = NULL;
    switch (outcome->fail) {
    case POOL_OK:
        if (b->key_count > 1)
            hand_out(b, outcome);
        else
            hand_all(b, outcome);
        break;
    case POOL_SQL:
        if (b->key_count > 1)
            all_run_alone(b);
        else
            hand_all(b, outcome);
        break;
    case POOL_REJECTED:
    case POOL_TIMEOUT:
        if (outcome->run_us == 0)
            turn_away(b, outcome);
        else
            hand_all(b, outcome);
        break;
    case POOL_DOWN:
    case POOL_STOPPED:
        hand_all(b, outcome);
        break;
    }
    destroy(b);
}

/* ---- time ---- */

static void watch(struct batch *b, int64_t now_us)
{
    int64_t first_us = INT64_MAX;
    for (const struct combined *m = b->first; m != NULL; m = m->next)
        first_us = MIN(first_us, deadline_of(m->r));
    int64_t after_us = MAX(first_us - now_us, INT64_C(0));
    struct timeval tv = {after_us / US_PER_S, after_us % US_PER_S};
    event_add(&b->late, &tv);
}

static struct combined *find_late(const struct batch *b, int64_t now_us)
{
    for (struct combined *m = b->first; m != NULL; m = m->next)
        if (deadline_of(m->r) <= now_us)
            return m;
    return NULL;
}

/* Nobody waits for it any more. */
static void give_up(struct batch *b)
{
    if (b->job != NULL)
        pool_forget(b->of->route->service->pool, b->job);
    destroy(b);
}

/* The pool keeps to the last of their deadlines. */
static void on_late(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct batch *b = arg;
    int64_t now_us = clock_mono_us();
    b->answering = true;
    for (struct combined *m; (m = find_late(b, now_us)) != NULL;) {
        const struct pool_outcome outcome = {
            .fail = POOL_TIMEOUT, .message = "the time of the request is over", .wait_us = now_us - m->joined_us};
        answer(m, &outcome);
    }
    b->answering = false;
    if (b->first != NULL)
        watch(b, now_us);
    else
        give_up(b);
}

/* ---- on the way to the pool ---- */

/* One key alone is looked up by the route's own statement. */
static struct pool_work work_of(struct batch *b, int key_count)
{
    struct combine *c = b->of;
    const struct route *route = c->route;
    b->value = key_count > 1 ? b->array.at : b->keys.at;
    b->values = &b->value;
    return (struct pool_work){.statements = key_count > 1 ? &c->statement : route->statements,
                              .statement_count = 1,
                              .values = &b->values,
                              .read_only = true,
                              .plan = route->conf->plan,
                              .owner = route,
                              .lease = b->lease,
                              .timeout_us = route->conf->timeout_us,
                              .deadline_us = b->deadline_us};
}

/* Less than FEW_KEYS, one lookup a key: side by side in a pipeline they take no longer. */
static bool are_few(const struct batch *b)
{
    int count = 0;
    for (const struct combined *m = b->first; m != NULL && count < FEW_KEYS; m = m->next)
        if (m->key != count++)
            return false;
    return count > 1 && count == b->key_count && count < MIN(FEW_KEYS, b->of->route->conf->combine_keys);
}

/* The first one's query is sent. */
static void others_run_alone(struct batch *b)
{
    for (struct combined *m; (m = b->first->next) != NULL;) {
        take_out(m);
        run_alone(m);
    }
    b->key_count = 1;
}

/* A few are one query only where they wait for a connection, and more may come. */
static void submit(struct batch *b)
{
    struct pool *pool = b->of->route->service->pool;
    bool few = are_few(b);
    b->lease = b->first->r->permit ? &b->first->r->permit->lease : NULL;
    lease_hold(b->lease);
    struct pool_work work = work_of(b, few ? 1 : b->key_count);
    b->queued_us = clock_mono_us();
    b->job = pool_run(pool, &work, on_batch, b);
    bool waits = pool_waits(pool, b->job);
    if (few && !waits)
        others_run_alone(b);
    work = work_of(b, b->key_count);
    if (few && waits)
        pool_amend(pool, b->job, &work);
    if (b->first != b->last)
        watch(b, b->queued_us);
    if (!waits)
        b->of->open = NULL;
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct combine *c = arg;
    if (c->open != NULL && c->open->job == NULL)
        submit(c->open);
}

static struct batch *begin(struct combine *c)
{
    struct batch *b = xcalloc(1, sizeof *b);
    b->of = c;
    b->key_at = xcalloc((size_t)c->route->conf->combine_keys, sizeof *b->key_at);
    event_assign(&b->late, c->route->service->base, -1, 0, on_late, b);
    event_active(&c->turn, EV_TIMEOUT, 1);
    return c->open = b;
}

/* The one that takes one more key, or has it. */
static struct batch *open_batch(struct combine *c, struct slice key)
{
    struct batch *b = c->open;
    if (b == NULL)
        return begin(c);
    bool takes = b->job == NULL || pool_waits(c->route->service->pool, b->job);
    if (takes && (b->key_count < c->route->conf->combine_keys || find_key(b, key) >= 0))
        return b;
    if (b->job == NULL)
        submit(b);
    return begin(c);
}

static void join(struct batch *b, struct combined *m)
{
    const struct param_value *key = &m->r->values[0];
    m->key = find_key(b, key->text);
    if (m->key < 0)
        m->key = add_key(b, key);
    m->joined_us = clock_mono_us();
    b->deadline_us = MAX(b->deadline_us, deadline_of(m->r));
    link_last(b, m);
    if (b->job == NULL)
        return;
    const struct pool_work work = work_of(b, b->key_count);
    pool_amend(b->of->route->service->pool, b->job, &work);
    watch(b, m->joined_us);
}

void combine_run(struct combine *c, struct combined *m, struct request *r, pool_done *done, void *arg)
{
    const struct param_value *key = &r->values[0];
    *m = (struct combined){.r = r, .done = done, .arg = arg};
    if (c->statement.text == NULL || key->null)
        run_alone(m);
    else
        join(open_batch(c, key->text), m);
}

void combine_forget(struct combined *m)
{
    struct batch *b = m->batch;
    if (m->alone != NULL) {
        pool_forget(m->r->service->pool, m->alone);
        m->alone = NULL;
        return;
    }
    if (b == NULL)
        return;
    take_out(m);
    if (b->first == NULL && !b->answering)
        give_up(b);
}

/* ---- of a route ---- */

struct combine *combine_create(struct route *route, uint32_t *next_id)
{
    struct combine *c = arena_alloc(route->arena, sizeof *c);
    c->route = route;
    c->statement = (struct pool_statement){.id = (*next_id)++, .param_count = 1, .shares = true};
    event_assign(&c->turn, route->service->base, -1, 0, on_turn, c);
    return c;
}

void combine_describe(struct combine *c)
{
    struct err err;
    struct route *route = c->route;
    if (combined_refuses(route->query) != NULL || c->statement.text != NULL)
        return;
    c->statement.text = combined_text(&route->query->statements[0], route->types[0], route->arena, &err);
    if (c->statement.text == NULL)
        log_warn("%s: its lookups are not combined: %s", route->conf->name, err.text);
}
