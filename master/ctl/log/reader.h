/* The lines of a file: plain or gzip, whole or as it grows. */
#ifndef MASTER_CTL_LOG_READER_H
#define MASTER_CTL_LOG_READER_H

#include "common/err.h"
#include "common/slice.h"

enum { READER_LINE_MAX = 1 << 20 };

/* raw NULL: the line is longer than READER_LINE_MAX, or the file ends in the middle of its gzip. False: enough. */
typedef bool reader_line(void *arg, struct slice raw);

/* Each line without its end, empty ones left out; the last one need not have an end. "-" is standard input. False: it
 * cannot be opened or read. */
bool reader_read(const char *path, reader_line *line, void *arg, struct err *err) MUST_USE;
/* The lines that come to the file from now on, also when another one takes its name, until line() has enough; pause()
 * comes whenever there is none. */
bool reader_follow(const char *path, reader_line *line, void (*pause)(void *arg), void *arg, struct err *err) MUST_USE;

#endif
