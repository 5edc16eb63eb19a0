/* The log files, which the master makes and workers open for themselves, again after each rotation. */
#ifndef MASTER_LOG_FILES_H
#define MASTER_LOG_FILES_H

#include "common/conf.h"

/* conf's error log, for writing at its end, made if it is missing; -1 with errno. Where workers become somebody else,
 * their folder may be theirs: what stands there must not lead root elsewhere, so a link is refused. */
int log_files_open(const struct conf *conf) MUST_USE;

/* Makes conf's log files, and gives those that are root's to the user that workers become. What a folder of that user
 * could lead elsewhere, a link, is left alone. Nothing where workers stay who the master is. */
void log_files_give(const struct conf *conf);

#endif
