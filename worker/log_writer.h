/* Whole lines to a file, written by a thread of its own: a slow disk or a FIFO that nobody reads holds up the thread,
 * and what no longer fits into LOG_WRITER_ROOM_BYTES is lost and counted. Processes that write the same file mix no
 * lines. */
#ifndef WORKER_LOG_WRITER_H
#define WORKER_LOG_WRITER_H

#include "common/buf.h"
#include "common/err.h"

/* A second of the lines of 15,000 requests a second; how long the end waits for what is left. */
enum { LOG_WRITER_ROOM_BYTES = 4 << 20, LOG_WRITER_END_MS = 1000 };

struct log_writer;

/* What went wrong since it was last asked. */
struct log_writer_losses {
    uint64_t lines; /* lost */
    int why;        /* errno of the last of them; 0: too many waited */
    int reopen;     /* errno: it could not be opened anew, the old file is written on; 0: nothing */
};

/* path is a file, a FIFO, whose lines are lost while nobody reads it, or "stderr". NULL: it cannot be opened. */
struct log_writer *log_writer_create(const char *path, struct err *err) MUST_USE;
void log_writer_destroy(struct log_writer **writer, struct log_writer_losses *losses_out);
/* Takes the lines, of which there are `count`, and leaves the buffer empty. Never waits. */
void log_writer_put(struct log_writer *writer, struct buf *lines, int count);
/* Opens path anew behind all that was put; not where it is stderr. */
void log_writer_reopen(struct log_writer *writer);
void log_writer_losses(struct log_writer *writer, struct log_writer_losses *losses_out);

#endif
