/* What a process leaves of itself when it crashes: words in its row of the board, which the master reads once it has
 * waited for the process. The process writes them while it dies, most of them in a signal handler, so they are plain
 * memory and addresses; the master, which it was forked from, has the same code at the same addresses and can name
 * them. The signal then takes its usual course: a core is dumped, the exit status tells it. */
#ifndef SHM_LAST_WORDS_H
#define SHM_LAST_WORDS_H

#include "common/base.h"

#include <stdatomic.h>

struct board;

enum { PANIC_BYTES = 256, FRAMES_MAX = 32, THREAD_NAME_BYTES = 16 };

struct last_words {
    char panic[PANIC_BYTES]; /* of a CHECK(), of memory that was not to be had; "": it did not give up by itself */
    _Atomic int32_t signal;  /* 0: none of its own; stored last */
    int32_t frame_count;     /* innermost first */
    bool faulted;            /* a SIGSEGV or SIGBUS of its own, at */
    uint64_t fault_at;
    char thread[THREAD_NAME_BYTES]; /* who crashed */
    uint64_t frames[FRAMES_MAX];    /* return addresses */
};

/* The master before it forks: loads what a handler may not load. */
void last_words_prepare(void);
/* In the child, in its first thread: this row, by this process's threads too. */
void last_words_attach(struct board *board, int proc);
void last_words_panic(const char *words); /* nothing when there is no row */

#endif
