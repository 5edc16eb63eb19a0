#include "sql/encode_plan.h"
#include "sql/value.h"

/* A result on its way out. open[i]: a row whose element of level i is not closed yet; -1: none. */
struct encoding {
    const struct encode_plan *plan;
    const PGresult *result;
    struct buf *out;
    int open[8];
    bool first[8]; /* nothing stands in this level's array yet */
    int objects;
};

static void write_value(struct encoding *e, int row, int column)
{
    if (PQgetisnull(e->result, row, column)) {
        buf_add(e->out, "null", 4);
        return;
    }
    value_write(e->out, e->plan->columns[column].type, e->plan->bigint_string,
                slice_of(PQgetvalue(e->result, row, column), (size_t)PQgetlength(e->result, row, column)));
}

static bool all_null(const struct encoding *e, int row, const int *columns, int count)
{
    for (int i = 0; i < count; i++)
        if (!PQgetisnull(e->result, row, columns[i]))
            return false;
    return true;
}

static void run(struct encoding *e, const struct encode_level *level, int from, int to, int row)
{
    for (int i = from; i < to; i++) {
        const struct encode_op *op = &level->ops[i];
        buf_add(e->out, op->text.at, op->text.len);
        switch (op->kind) {
        case OP_COLUMN:
            write_value(e, row, op->column);
            break;
        case OP_OBJECT:
            if (all_null(e, row, op->columns, op->column_count)) {
                buf_add(e->out, "null", 4);
                i = op->to - 1;
            }
            break;
        case OP_TEXT:
        case OP_ARRAY:
            break;
        }
    }
}

/* ---- levels ---- */

static bool same(const struct encoding *e, const struct encode_level *level, int a, int b)
{
    for (int i = 0; i < level->column_count; i++) {
        int c = level->columns[i];
        int len = PQgetlength(e->result, a, c);
        if (PQgetisnull(e->result, a, c) != PQgetisnull(e->result, b, c) || len != PQgetlength(e->result, b, c) ||
            memcmp(PQgetvalue(e->result, a, c), PQgetvalue(e->result, b, c), (size_t)len) != 0)
            return false;
    }
    return true;
}

static void close_levels(struct encoding *e, int from)
{
    for (int i = e->plan->level_count - 1; i >= from; i--) {
        const struct encode_level *level = &e->plan->levels[i];
        if (e->open[i] < 0)
            continue;
        if (level->array < level->op_count) {
            buf_addc(e->out, ']');
            run(e, level, level->array + 1, level->op_count, e->open[i]);
        }
        e->open[i] = -1;
    }
}

/* An outer join that found nothing: no column of this level or below has a value. */
static bool absent(const struct encoding *e, int row, int level)
{
    for (int i = level; i < e->plan->level_count; i++)
        if (!all_null(e, row, e->plan->levels[i].columns, e->plan->levels[i].column_count))
            return false;
    return true;
}

static void open_levels(struct encoding *e, int from, int row)
{
    for (int i = from; i < e->plan->level_count; i++) {
        const struct encode_level *level = &e->plan->levels[i];
        if (i > 0 && absent(e, row, i))
            return;
        if (!e->first[i])
            buf_addc(e->out, ',');
        e->first[i] = false;
        e->open[i] = row;
        e->objects += i == 0;
        run(e, level, 0, MIN(level->array + 1, level->op_count), row);
        if (level->array < level->op_count) {
            buf_addc(e->out, '[');
            e->first[i + 1] = true;
        }
    }
}

/* Rows of one parent follow each other. On the last level each row is an element of its own. */
static void nest_row(struct encoding *e, int row)
{
    int last = e->plan->level_count - 1, level = 0;
    while (level < last && e->open[level] >= 0 && same(e, &e->plan->levels[level], e->open[level], row))
        level++;
    close_levels(e, level);
    open_levels(e, level, row);
}

int encode_result(const struct encode_plan *plan, const PGresult *result, struct buf *out)
{
    struct encoding e = {.plan = plan, .result = result, .out = out};
    int rows = PQntuples(result);
    _Static_assert(ARRAY_LEN(e.open) == 8, "as deep as a plan may be");
    if (plan->kind == RESULT_VALUE) {
        if (rows == 1)
            write_value(&e, 0, 0);
        return rows;
    }
    for (int i = 0; i < plan->level_count; i++) {
        e.open[i] = -1;
        e.first[i] = true;
    }
    if (plan->kind == RESULT_ROWS)
        buf_addc(out, '[');
    for (int row = 0; row < rows && (plan->kind == RESULT_ROWS || e.objects < 2); row++)
        nest_row(&e, row);
    close_levels(&e, 0);
    if (plan->kind == RESULT_ROWS)
        buf_addc(out, ']');
    return e.objects;
}
