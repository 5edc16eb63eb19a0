#include "sql/encode_plan.h"
#include "common/json_write.h"

#include <stdio.h>

/* The tree of names while the plan is made. */
struct member {
    struct slice name;
    int column; /* -1: an object or array */
    bool array;
    struct member *first, *last, *next;
};

struct builder {
    struct arena *arena;
    struct encode_plan *plan;
    struct err *err;
    int members;                /* each makes two ops at most */
    struct encode_level *level; /* being written */
    struct buf text;            /* waits for the next op */
};

/* ---- names to a tree ---- */

static struct member *find(const struct member *parent, struct slice name)
{
    for (struct member *m = parent->first; m != NULL; m = m->next)
        if (slice_eq(m->name, name))
            return m;
    return NULL;
}

static struct member *append(struct builder *b, struct member *parent, struct slice name, int column, bool array)
{
    struct member *m = arena_alloc(b->arena, sizeof *m);
    *m = (struct member){.name = name, .column = column, .array = array};
    *(parent->last ? &parent->last->next : &parent->first) = m;
    parent->last = m;
    b->members++;
    return m;
}

static bool add_column(struct builder *b, struct member *root, const char *name, int column)
{
    struct member *parent = root;
    const char *at = name;
    for (const char *dot; (dot = strchr(at, '.')) != NULL; at = dot + 1) {
        bool array = dot - at > 2 && dot[-1] == ']' && dot[-2] == '[';
        struct slice part = slice_of(at, (size_t)(dot - at) - (array ? 2 : 0));
        if (part.len == 0)
            return err_set(b->err, "column \"%s\": a part of the name is empty", name);
        struct member *m = find(parent, part);
        if (m == NULL)
            m = append(b, parent, part, -1, array);
        else if (m->column >= 0 || m->array != array)
            return err_set(b->err, "column \"%s\": \"" SLICE_FMT "\" is something else already", name, SLICE_ARG(part));
        parent = m;
    }
    struct slice last = slice_str(at);
    if (find(parent, last) != NULL)
        return err_set(b->err, "column \"%s\" stands twice in the result; give one of them another name", name);
    append(b, parent, last, column, false);
    return true;
}

/* ---- the tree to programs ---- */

static struct slice take_text(struct builder *b)
{
    struct slice text = arena_copy(b->arena, buf_slice(&b->text));
    b->text.len = 0;
    return text;
}

static struct encode_op *add_op(struct builder *b, enum encode_op_kind kind)
{
    struct encode_op *op = &b->level->ops[b->level->op_count++];
    *op = (struct encode_op){.kind = kind, .text = take_text(b)};
    return op;
}

static void flush_text(struct builder *b)
{
    if (b->text.len > 0)
        add_op(b, OP_TEXT);
}

static bool has_array(const struct member *m)
{
    for (const struct member *c = m->first; c != NULL; c = c->next)
        if (c->array || has_array(c))
            return true;
    return false;
}

static void collect(const struct member *m, int *columns, int *count)
{
    for (const struct member *c = m->first; c != NULL; c = c->next) {
        if (c->column >= 0)
            columns[(*count)++] = c->column;
        else if (!c->array)
            collect(c, columns, count);
    }
}

static bool write_members(struct builder *b, const struct member *parent, const struct member **array);

static bool write_object(struct builder *b, const struct member *m, const struct member **array)
{
    struct encode_op *op = NULL;
    if (!has_array(m)) {
        op = add_op(b, OP_OBJECT);
        int *columns = arena_alloc(b->arena, (size_t)b->plan->column_count * sizeof *columns);
        collect(m, columns, &op->column_count);
        op->columns = columns;
    }
    buf_addc(&b->text, '{');
    if (!write_members(b, m, array))
        return false;
    buf_addc(&b->text, '}');
    if (op != NULL) {
        flush_text(b);
        op->to = b->level->op_count;
    }
    return true;
}

static bool write_members(struct builder *b, const struct member *parent, const struct member **array)
{
    for (const struct member *m = parent->first; m != NULL; m = m->next) {
        if (m != parent->first)
            buf_addc(&b->text, ',');
        json_write_string(&b->text, m->name);
        buf_addc(&b->text, ':');
        if (m->column >= 0) {
            add_op(b, OP_COLUMN)->column = m->column;
        } else if (!m->array) {
            if (!write_object(b, m, array))
                return false;
        } else {
            if (*array != NULL)
                return err_set(b->err,
                               "\"" SLICE_FMT "[]\" and \"" SLICE_FMT
                               "[]\" are two arrays on one level: their rows would multiply",
                               SLICE_ARG((*array)->name), SLICE_ARG(m->name));
            *array = m;
            add_op(b, OP_ARRAY);
            b->level->array = b->level->op_count - 1;
        }
    }
    return true;
}

static bool write_level(struct builder *b, const struct member *element, const struct member **array)
{
    struct encode_plan *plan = b->plan;
    if (plan->level_count == ENCODE_LEVELS_MAX)
        return err_set(b->err, "arrays nest more than %d deep", ENCODE_LEVELS_MAX);
    b->level = &plan->levels[plan->level_count++];
    b->level->ops = arena_alloc(b->arena, (size_t)(2 * b->members + 2) * sizeof *b->level->ops);
    b->level->columns = arena_alloc(b->arena, (size_t)plan->column_count * sizeof *b->level->columns);
    b->level->array = -1;
    collect(element, b->level->columns, &b->level->column_count);
    buf_addc(&b->text, '{');
    if (!write_members(b, element, array))
        return false;
    buf_addc(&b->text, '}');
    flush_text(b);
    if (b->level->array < 0)
        b->level->array = b->level->op_count;
    return true;
}

static bool write_levels(struct builder *b, const struct member *root)
{
    const struct member *element = root;
    while (element != NULL) {
        const struct member *array = NULL;
        if (!write_level(b, element, &array))
            return false;
        element = array;
    }
    return true;
}

struct encode_plan *encode_plan_create(const PGresult *described, enum result_kind kind, bool bigint_string,
                                       struct err *err)
{
    struct arena *arena = arena_create();
    struct encode_plan *plan = arena_alloc(arena, sizeof *plan);
    struct builder b = {.arena = arena, .plan = plan, .err = err};
    struct member root = {.column = -1};
    bool ok = true;
    plan->arena = arena;
    plan->holds = 1;
    plan->kind = kind;
    plan->bigint_string = bigint_string;
    plan->column_count = PQnfields(described);
    plan->columns = arena_alloc(arena, (size_t)MAX(plan->column_count, 1) * sizeof *plan->columns);
    plan->levels = arena_alloc(arena, ENCODE_LEVELS_MAX * sizeof *plan->levels);
    for (int c = 0; c < plan->column_count; c++)
        plan->columns[c] = (struct encode_column){PQftype(described, c), type_of(PQftype(described, c))};
    if (kind == RESULT_VALUE && plan->column_count != 1)
        ok = err_set(err, "result value needs one column, the query has %d", plan->column_count);
    for (int c = 0; c < plan->column_count && ok && kind != RESULT_VALUE; c++)
        ok = add_column(&b, &root, PQfname(described, c), c);
    if (ok && kind != RESULT_VALUE)
        ok = write_levels(&b, &root);
    buf_deinit(&b.text);
    if (!ok)
        encode_plan_release(&plan);
    return plan;
}

struct encode_plan *encode_plan_hold(struct encode_plan *plan)
{
    plan->holds++;
    return plan;
}

void encode_plan_release(struct encode_plan **plan)
{
    struct encode_plan *released = *plan;
    *plan = NULL;
    if (released == NULL || --released->holds > 0)
        return;
    struct arena *arena = released->arena;
    arena_destroy(&arena);
}

bool encode_plan_fits(const struct encode_plan *plan, const PGresult *result)
{
    if (PQnfields(result) != plan->column_count)
        return false;
    for (int c = 0; c < plan->column_count; c++)
        if (PQftype(result, c) != plan->columns[c].oid)
            return false;
    return true;
}
