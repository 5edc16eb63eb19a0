#include "sql/csv.h"
#include "sql/encode_plan.h"
#include "sql/value.h"

static void write_value(struct encoding *e, struct encode_open at, int column)
{
    if (PQgetisnull(at.result, at.row, column)) {
        buf_add(e->out, "null", 4);
        return;
    }
    value_write(e->out, e->plan->columns[column].type, e->plan->bigint_string,
                slice_of(PQgetvalue(at.result, at.row, column), (size_t)PQgetlength(at.result, at.row, column)));
}

static bool all_null(struct encode_open at, const int *columns, int count)
{
    for (int i = 0; i < count; i++)
        if (!PQgetisnull(at.result, at.row, columns[i]))
            return false;
    return true;
}

static void run(struct encoding *e, const struct encode_level *level, int from, int to, struct encode_open at)
{
    for (int i = from; i < to; i++) {
        const struct encode_op *op = &level->ops[i];
        buf_add(e->out, op->text.at, op->text.len);
        switch (op->kind) {
        case OP_COLUMN:
            write_value(e, at, op->column);
            break;
        case OP_OBJECT:
            if (all_null(at, op->columns, op->column_count)) {
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

static bool same(const struct encode_level *level, struct encode_open a, struct encode_open b)
{
    for (int i = 0; i < level->column_count; i++) {
        int c = level->columns[i];
        int len = PQgetlength(a.result, a.row, c);
        if (PQgetisnull(a.result, a.row, c) != PQgetisnull(b.result, b.row, c) ||
            len != PQgetlength(b.result, b.row, c) ||
            memcmp(PQgetvalue(a.result, a.row, c), PQgetvalue(b.result, b.row, c), (size_t)len) != 0)
            return false;
    }
    return true;
}

static void close_levels(struct encoding *e, int from)
{
    for (int i = e->plan->level_count - 1; i >= from; i--) {
        const struct encode_level *level = &e->plan->levels[i];
        if (e->open[i].result == NULL)
            continue;
        if (level->array < level->op_count) {
            buf_addc(e->out, ']');
            run(e, level, level->array + 1, level->op_count, e->open[i]);
        }
        e->open[i].result = NULL;
        if (i == 0 && e->format == ENCODE_NDJSON)
            buf_addc(e->out, '\n');
    }
}

/* An outer join that found nothing: no column of this level or below has a value. */
static bool absent(const struct encoding *e, struct encode_open at, int level)
{
    for (int i = level; i < e->plan->level_count; i++)
        if (!all_null(at, e->plan->levels[i].columns, e->plan->levels[i].column_count))
            return false;
    return true;
}

static void open_levels(struct encoding *e, int from, struct encode_open at)
{
    for (int i = from; i < e->plan->level_count; i++) {
        const struct encode_level *level = &e->plan->levels[i];
        if (i > 0 && absent(e, at, i))
            return;
        if (!e->first[i] && (i > 0 || e->format == ENCODE_JSON))
            buf_addc(e->out, ',');
        e->first[i] = false;
        e->open[i] = at;
        e->objects += i == 0;
        run(e, level, 0, MIN(level->array + 1, level->op_count), at);
        if (level->array < level->op_count) {
            buf_addc(e->out, '[');
            e->first[i + 1] = true;
        }
    }
}

/* Rows of one parent follow each other. On the last level each row is an element of its own. */
static void nest_row(struct encoding *e, struct encode_open at)
{
    int last = e->plan->level_count - 1, level = 0;
    while (level < last && e->open[level].result != NULL && same(&e->plan->levels[level], e->open[level], at))
        level++;
    close_levels(e, level);
    open_levels(e, level, at);
}

/* ---- results ---- */

void encode_begin(struct encoding *e, struct encode_plan *plan, enum encode_format format, struct buf *out)
{
    *e = (struct encoding){.plan = encode_plan_hold(plan), .out = out};
    e->format = plan->kind == RESULT_ROWS ? format : ENCODE_JSON;
    for (int i = 0; i < ENCODE_LEVELS_MAX; i++)
        e->first[i] = true;
    if (plan->kind == RESULT_ROWS && e->format == ENCODE_JSON)
        buf_addc(out, '[');
}

static void write_rows(struct encoding *e, const PGresult *result, int rows)
{
    bool only_one = e->plan->kind != RESULT_ROWS;
    if (e->plan->kind == RESULT_VALUE) {
        if (e->objects == 0 && rows > 0)
            write_value(e, (struct encode_open){result, 0}, 0);
        e->objects += rows;
        return;
    }
    for (int row = 0; row < rows && !(only_one && e->objects > 1); row++)
        nest_row(e, (struct encode_open){result, row});
}

static void write_lines(struct encoding *e, const PGresult *result, int rows)
{
    if (!e->named)
        csv_write_names(e->out, result);
    e->named = true;
    for (int row = 0; row < rows; row++)
        csv_write_row(e->out, e->plan, result, row);
    e->objects += rows;
}

static void write_first(struct encoding *e, const PGresult *result, int rows)
{
    if (e->format == ENCODE_CSV)
        write_lines(e, result, rows);
    else
        write_rows(e, result, rows);
}

/* Elements with an array are closed by their first row, which so stays until then. */
static bool is_used(const struct encoding *e, const PGresult *result)
{
    for (int i = 0; i < e->plan->level_count - 1; i++)
        if (e->open[i].result == result)
            return true;
    return false;
}

static void let_go(struct encoding *e, struct encode_open *before)
{
    for (int i = 0; i < e->plan->level_count - 1; i++) {
        const PGresult *result = before[i].result;
        if (result == NULL || is_used(e, result))
            continue;
        PQclear((PGresult *)(uintptr_t)result);
        for (int j = i; j < e->plan->level_count - 1; j++)
            if (before[j].result == result)
                before[j].result = NULL;
    }
}

void encode_take(struct encoding *e, PGresult *result)
{
    struct encode_open before[ENCODE_LEVELS_MAX];
    memcpy(before, e->open, sizeof before);
    write_first(e, result, PQntuples(result));
    let_go(e, before);
    if (!is_used(e, result))
        PQclear(result);
}

static void finish(struct encoding *e)
{
    if (e->format != ENCODE_CSV)
        close_levels(e, 0);
    if (e->plan->kind == RESULT_ROWS && e->format == ENCODE_JSON)
        buf_addc(e->out, ']');
}

int encode_end(struct encoding *e)
{
    struct encode_open before[ENCODE_LEVELS_MAX];
    memcpy(before, e->open, sizeof before);
    finish(e);
    let_go(e, before);
    encode_plan_release(&e->plan);
    return e->objects;
}

void encode_drop(struct encoding *e)
{
    struct encode_open before[ENCODE_LEVELS_MAX];
    if (e->plan == NULL)
        return;
    memcpy(before, e->open, sizeof before);
    memset(e->open, 0, sizeof e->open);
    let_go(e, before);
    encode_plan_release(&e->plan);
}

int encode_result(struct encode_plan *plan, const PGresult *result, struct buf *out)
{
    return encode_first(plan, ENCODE_JSON, result, PQntuples(result), out);
}

int encode_first(struct encode_plan *plan, enum encode_format format, const PGresult *result, int rows, struct buf *out)
{
    struct encoding e;
    encode_begin(&e, plan, format, out);
    write_first(&e, result, rows);
    finish(&e);
    encode_plan_release(&e.plan);
    return e.objects;
}
