/* The routes whose queries read a large table from its begin to its end to find few rows: an index is missing. */
#ifndef MASTER_CTL_CHECK_SCANS_H
#define MASTER_CTL_CHECK_SCANS_H

#include "common/conf.h"
#include "sql/survey.h"

enum { SCAN_ROWS = 10000 /* a smaller table is read as quickly without an index */ };

struct scans {
    int found;       /* routes with such a query */
    int not_planned; /* routes whose queries PostgreSQL did not plan */
    char first[256]; /* one of them: the route and the table */
};

/* By the generic plan of each query of each route; the survey is of the same database. */
void scans_find(const struct conf *conf, const char *url, const struct survey *survey, int64_t timeout_us,
                struct scans *out);
/* The table of such a scan in a plan of EXPLAIN (FORMAT JSON), in buf; NULL: it has none. */
const char *scans_in_plan(const char *json, const struct survey *survey, char buf[static 64]);

#endif
