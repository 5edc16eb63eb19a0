/* A snapshot as text, to be looked at later: JSON of the schema perfctl.snapshot/1. It describes itself as the
 * statistics file does, each metric with its name, kind, unit and help, so that another version's perfctl reads it. A
 * histogram is a list of its buckets that are not empty: the largest value in microseconds, and how many there were.
 */
#ifndef MASTER_CTL_SNAPSHOT_FILE_H
#define MASTER_CTL_SNAPSHOT_FILE_H

#include "shm/snapshot.h"

#include <stdio.h>

/* False: it cannot be written; errno says why. */
bool snapshot_file_write(const struct snapshot *s, FILE *out) MUST_USE;
/* NULL: it is none, or damaged; err names the file and, where it has one, the field. */
struct snapshot *snapshot_file_read(const char *path, struct err *err) MUST_USE;
/* The same of a text; err does not name a file. */
struct snapshot *snapshot_file_parse(const char *text, size_t bytes, struct err *err) MUST_USE;

#endif
