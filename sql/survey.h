/* What a database has: its tables and how large they are, for perfctl, on a connection of its own. */
#ifndef SQL_SURVEY_H
#define SQL_SURVEY_H

#include "common/err.h"

struct survey_table {
    char name[64]; /* without its schema */
    int64_t rows;  /* as PostgreSQL estimates; -1: it was never analyzed */
};

struct survey {
    struct survey_table *tables; /* of all schemas but the system's, the largest first */
    int count;
};

/* Blocks, at most about timeout_us; reads only. False: err has PostgreSQL's words. */
bool survey_take(const char *url, int64_t timeout_us, struct survey *out, struct err *err) MUST_USE;
void survey_deinit(struct survey *survey);

#endif
