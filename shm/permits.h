/* Permits: how many statements, or requests to upstreams, may be at work at a time, over all processes, of a route and
 * of all routes together. A row of the table is a limit. Every process counts what it holds in a cell of its own, which
 * nobody else writes while it lives, and what is in use is the sum. A permit is taken by counting it first and reading
 * the sum then: of those who meet, the last one to count sees all the others, so that never more than max pass. No lock
 * and no compare-and-swap; a process that dies at any instruction leaves nothing but its count.
 *
 * What a dead process had sent may still run. Its permits stay in use, as a debt of the master's, until the time-outs
 * of its statements have ended them. */
#ifndef SHM_PERMITS_H
#define SHM_PERMITS_H

#include "shm/board.h"

enum { PERMIT_ROWS = 2048, PERMIT_ALL = 0 /* the row of all routes together */, PERMIT_NO_ROW = -1 };

struct permits;

size_t permits_bytes(void); /* of the control segment; zeroed: no limits, nothing in use */
enum { PERMIT_ROW_BYTES = 1088 };

/* ---- the master ---- */

/* The row of a route by its name, new if unknown; the same one for all generations of the configuration. It is kept for
 * it until the next permits_limit() at least; one that has no limit then and nothing in use may become another's.
 * PERMIT_NO_ROW: none is free. */
int permits_row(struct permits *permits, const char *name);
/* From now on these rows have these limits, and all others have none. 0: no limit. More may be in use until enough has
 * come back. */
void permits_limit(struct permits *permits, const int *rows, const int *maxes, int count);

/* What the dead have left: the master's own. Zeroed: nothing. */
struct permit_debts {
    struct permit_debt *at;
    int count, cap;
};

/* After waitpid() of the process that had row proc. */
void permits_reap(struct permits *permits, int proc, int64_t now_us, struct permit_debts *debts);
/* Gives back what is over, and wakes who waits for it. Returns when the next is; INT64_MAX: no debts. */
int64_t permits_settle(struct permits *permits, struct permit_debts *debts, int64_t now_us, const int *wake_fd);
/* What is owed and stands in no debts of this master: of one that was killed. It is over at until_us. */
void permits_inherit(struct permits *permits, struct permit_debts *debts, int64_t until_us);
void permits_forget(struct permit_debts *debts); /* its memory */

/* ---- processes ---- */

/* A statement that may run for hold_us from when it is sent. proc: the caller's row of the board. */
bool permits_take(struct permits *permits, int row, int proc, int64_t hold_us) MUST_USE;
/* It has ended. Wakes the next process of those that wait for the row; true: the caller is the next. */
bool permits_give(struct permits *permits, int row, int proc, const int *wake_fd);
/* The caller wants to be woken, until it has left. It tries once more after that*. */
void permits_wait(struct permits *permits, int row, int proc);
void permits_leave(struct permits *permits, int row, int proc);

int permits_max(const struct permits *permits, int row); /* 0: no limit */
int64_t permits_in_use(const struct permits *permits, int row);

#endif
