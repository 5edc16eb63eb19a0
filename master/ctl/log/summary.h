/* Requests, errors, hits and times of each route of an access log's lines. */
#ifndef MASTER_CTL_LOG_SUMMARY_H
#define MASTER_CTL_LOG_SUMMARY_H

#include "master/ctl/ctl.h"
#include "master/ctl/log/line.h"

struct summary;

struct summary *summary_create(void) MUST_USE;
void summary_add(struct summary *summary, const struct line *line);
enum ctl_exit summary_print(const struct summary *summary, const struct ctl *ctl);
void summary_destroy(struct summary **summary);

#endif
