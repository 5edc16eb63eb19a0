/* Lines of an access log, one after the other, as a table, JSON or CSV. */
#ifndef MASTER_CTL_LOG_PRINT_H
#define MASTER_CTL_LOG_PRINT_H

#include "master/ctl/ctl.h"
#include "master/ctl/log/line.h"

/* follows: JSON is a line each, in the place of one document that never ends. */
void print_begin(const struct ctl *ctl, bool follows);
void print_line(const struct ctl *ctl, const struct line *line, bool first, bool follows);
void print_end(const struct ctl *ctl, bool follows, int64_t lines, int64_t damaged);

#endif
