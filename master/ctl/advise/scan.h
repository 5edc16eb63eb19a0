/* Where a plan of EXPLAIN (VERBOSE, FORMAT JSON) reads all of a table, to throw rows away or to join those that match.
 */
#ifndef MASTER_CTL_ADVISE_SCAN_H
#define MASTER_CTL_ADVISE_SCAN_H

#include "common/arena.h"

struct scan {
    const char *schema, *table, *alias; /* as they are called, not as SQL quotes them */
    const char *filter;                 /* the condition, as SQL; "": all rows are taken */
    const char *join;                   /* that of the join that it is one side of; "": there is none */
    double rows;                        /* that the plan expects to be left */
    bool sequential;                    /* else along an index, for the order that it gives */
    const char **sort_keys;             /* that its rows are sorted by afterwards, as SQL */
    int sort_key_count;
};

struct scans {
    double cost; /* of the whole statement, in PostgreSQL's units */
    struct scan *list;
    int count;
};

/* All in arena. What a plan of a process of many expects is of that process: ask for one without. False: it is no such
 * plan; EXPLAIN has none for commands such as CALL. */
bool scans_in_plan(const char *plan, struct arena *arena, struct scans *out) MUST_USE;

#endif
