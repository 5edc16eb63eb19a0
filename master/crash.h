/* What the master tells of a process that died: how, what it was at, and the last words that it left on the board. */
#ifndef MASTER_CRASH_H
#define MASTER_CRASH_H

#include "shm/doing.h"
#include "shm/shared.h"

#include <sys/types.h>

struct crash {
    doing_word at;
    struct last_words words;
};

/* After waitpid() and before shared_reap(), which gives the row away. */
struct crash crash_take(const struct shared *shared, int proc);
/* After it, as others wait for that. name: "worker 1"; status: waitpid()'s. */
void crash_tell(const struct shared *shared, const struct crash *crash, const char *name, int slot, pid_t pid,
                int status);

/* "writing rows, GET /items/{id}": what a process is at. */
struct crash_at {
    char s[256];
};
struct crash_at crash_at(const struct shared *shared, doing_word at);

#endif
