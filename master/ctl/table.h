/* A table for a terminal or a pipe: as wide as its cells, no lines, no colours. What would steer the terminal becomes
 * '?'. */
#ifndef MASTER_CTL_TABLE_H
#define MASTER_CTL_TABLE_H

#include "common/base.h"

struct table;

/* Titles are parted by '|'; one that begins with '<' is of a column aligned to the left. */
struct table *table_create(const char *titles) MUST_USE;
void table_cell(struct table *table, const char *fmt, ...) PRINTF(2, 3); /* the next one, row after row */
void table_print(struct table **table); /* to stdout, and frees it; the last row must be full */

#endif
