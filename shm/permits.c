#include "shm/permits.h"
#include "common/clock.h"
#include "shm/fault.h"
#include "shm/rowset.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { HOLD_BITS = 40, TRIES_MAX = 4 };
/* A time-out is seen to by the server, whose clock began a little later. */
#define GRACE_US US_PER_S

struct row {
    struct rowset waiting; /* process rows: added and removed by that process, or when it is dead */
    _Atomic int32_t max;
    _Atomic uint32_t owed; /* the master's: of the dead */
    uint64_t key;          /* the master's: of a route's name; 0: nobody's yet */
    _Atomic int32_t reach; /* cells from here on were never used */
    uint32_t unused[7];
    _Atomic uint64_t held[BOARD_ROWS]; /* each by its process alone: count, longest time of a statement in ms */
};
_Static_assert(sizeof(struct row) == PERMIT_ROW_BYTES && sizeof(struct row) % 64 == 0, "rows share no cache line");

struct permits {
    struct row rows[PERMIT_ROWS];
};

struct permit_debt {
    int row;
    uint32_t count;
    int64_t until_us;
};

size_t permits_bytes(void)
{
    return sizeof(struct permits);
}

/* ---- a cell: count 24 | longest 40 ---- */

static uint64_t make_cell(uint64_t count, uint64_t longest_ms)
{
    return count << HOLD_BITS | MIN(longest_ms, (UINT64_C(1) << HOLD_BITS) - 1);
}

static uint64_t count_of(uint64_t cell)
{
    return cell >> HOLD_BITS;
}

static uint64_t longest_of(uint64_t cell)
{
    return cell & ((UINT64_C(1) << HOLD_BITS) - 1);
}

int64_t permits_in_use(const struct permits *permits, int row)
{
    const struct row *r = &permits->rows[row];
    uint64_t sum = r->owed;
    for (int i = 0, reach = r->reach; i < reach; i++)
        sum += count_of(r->held[i]);
    return (int64_t)sum;
}

int permits_max(const struct permits *permits, int row)
{
    return permits->rows[row].max;
}

/* ---- processes ---- */

static bool is_within(const struct permits *permits, int row, int64_t in_use)
{
    int max = permits->rows[row].max;
    return max == 0 || in_use <= max;
}

/* The sum of all 128 cells costs 130 ns more than that of a few. Before the first count in the cell: who misses it has
 * summed before we count, and is seen by us*. */
static void reach_for(struct row *r, int proc)
{
    int32_t reach = r->reach;
    while (reach <= proc && !atomic_compare_exchange_weak(&r->reach, &reach, proc + 1)) {
    }
}

/* Store and loads are sequentially consistent: the sum is read after the count is seen*. */
static bool try_take(struct permits *permits, int row, int proc, uint64_t hold_ms)
{
    _Atomic uint64_t *cell = &permits->rows[row].held[proc];
    uint64_t before = *cell;
    reach_for(&permits->rows[row], proc);
    bool within = !MUTANT(permit_sum_first) || is_within(permits, row, permits_in_use(permits, row) + 1);
    FAULT(permit_wanted);
    *cell = make_cell(count_of(before) + 1, MAX(longest_of(before), hold_ms));
    FAULT(permit_counted);
    if (!MUTANT(permit_sum_first))
        within = is_within(permits, row, permits_in_use(permits, row));
    FAULT(permit_summed);
    if (!within)
        *cell = before;
    return within;
}

/* Those who meet may all see too many and all go without: the last one is there again before the others are. */
bool permits_take(struct permits *permits, int row, int proc, int64_t hold_us)
{
    for (int i = 0; i < TRIES_MAX; i++) {
        if (try_take(permits, row, proc, (uint64_t)(hold_us / US_PER_MS) + 1))
            return true;
        if (!is_within(permits, row, permits_in_use(permits, row) + 1))
            break;
    }
    return false;
}

bool permits_give(struct permits *permits, int row, int proc, const int *wake_fd)
{
    struct row *r = &permits->rows[row];
    uint64_t cell = r->held[proc];
    CHECK(count_of(cell) > 0);
    r->held[proc] = make_cell(count_of(cell) - 1, count_of(cell) > 1 ? longest_of(cell) : 0);
    FAULT(permit_given);
    int next = rowset_next(&r->waiting, proc);
    if (next >= 0 && next != proc)
        rowset_wake_one(next, wake_fd);
    return next == proc;
}

void permits_wait(struct permits *permits, int row, int proc)
{
    rowset_add(&permits->rows[row].waiting, proc);
    FAULT(permit_awaited);
}

void permits_leave(struct permits *permits, int row, int proc)
{
    rowset_remove(&permits->rows[row].waiting, proc);
}

/* ---- the master ---- */

/* A draining worker may still have it by its old name: what that one takes there comes back there. */
static bool is_idle(const struct permits *permits, int row)
{
    return permits->rows[row].max == 0 && permits_in_use(permits, row) == 0;
}

/* Until it is told its limit it has one that bounds nothing, so that the next name is not given the same row. */
static int claim(struct permits *permits, int row, uint64_t key)
{
    struct row *r = &permits->rows[row];
    r->key = key;
    if (r->max == 0)
        r->max = INT32_MAX;
    return row;
}

int permits_row(struct permits *permits, const char *name)
{
    uint64_t key = XXH3_64bits(name, strlen(name)) | 1;
    int free_row = PERMIT_NO_ROW;
    for (int row = PERMIT_ALL + 1; row < PERMIT_ROWS; row++) {
        if (permits->rows[row].key == key)
            return claim(permits, row, key);
        if (free_row == PERMIT_NO_ROW && permits->rows[row].key == 0)
            free_row = row;
    }
    for (int row = PERMIT_ALL + 1; row < PERMIT_ROWS && free_row == PERMIT_NO_ROW; row++)
        if (is_idle(permits, row))
            free_row = row;
    return free_row == PERMIT_NO_ROW ? free_row : claim(permits, free_row, key);
}

void permits_limit(struct permits *permits, const int *rows, const int *maxes, int count)
{
    int next[PERMIT_ROWS] = {0};
    for (int i = 0; i < count; i++)
        if (rows[i] != PERMIT_NO_ROW)
            next[rows[i]] = maxes[i];
    for (int row = 0; row < PERMIT_ROWS; row++)
        permits->rows[row].max = next[row];
}

static void owe(struct permit_debts *debts, int row, uint32_t count, int64_t until_us)
{
    if (debts->count == debts->cap) {
        debts->cap = MAX(2 * debts->cap, 16);
        debts->at = xrealloc(debts->at, (size_t)debts->cap * sizeof *debts->at);
    }
    debts->at[debts->count++] = (struct permit_debt){row, count, until_us};
}

/* Counted twice for a moment, and never not at all. */
void permits_reap(struct permits *permits, int proc, int64_t now_us, struct permit_debts *debts)
{
    for (int row = 0; row < PERMIT_ROWS; row++) {
        struct row *r = &permits->rows[row];
        uint64_t cell = r->held[proc];
        permits_leave(permits, row, proc);
        if (count_of(cell) == 0 || MUTANT(permit_keep_dead))
            continue;
        if (!MUTANT(permit_give_dead)) {
            r->owed += (uint32_t)count_of(cell);
            owe(debts, row, (uint32_t)count_of(cell), now_us + (int64_t)longest_of(cell) * US_PER_MS + GRACE_US);
        }
        r->held[proc] = 0;
    }
}

static void pay(struct permits *permits, const struct permit_debt *debt, const int *wake_fd)
{
    struct row *r = &permits->rows[debt->row];
    r->owed -= debt->count;
    rowset_wake(&r->waiting, wake_fd);
}

int64_t permits_settle(struct permits *permits, struct permit_debts *debts, int64_t now_us, const int *wake_fd)
{
    int64_t next_us = INT64_MAX;
    int left = 0;
    for (int i = 0; i < debts->count; i++) {
        struct permit_debt *debt = &debts->at[i];
        if (debt->until_us <= now_us) {
            pay(permits, debt, wake_fd);
            continue;
        }
        next_us = MIN(next_us, debt->until_us);
        debts->at[left++] = *debt;
    }
    debts->count = left;
    return next_us;
}

void permits_inherit(struct permits *permits, struct permit_debts *debts, int64_t until_us)
{
    uint32_t known[PERMIT_ROWS] = {0};
    for (int i = 0; i < debts->count; i++)
        known[debts->at[i].row] += debts->at[i].count;
    for (int row = 0; row < PERMIT_ROWS; row++) {
        uint32_t owed = permits->rows[row].owed;
        if (owed > known[row])
            owe(debts, row, owed - known[row], until_us);
    }
}

void permits_forget(struct permit_debts *debts)
{
    free(debts->at);
    *debts = (struct permit_debts){0};
}
