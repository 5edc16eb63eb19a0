/* What this process is at, for whoever finds that it has stood still: one store in its row of the board, at the
 * entry of each phase. It stays until the next one, so a phase that is left out goes by the name of the one before it.
 * A loop calls these, and no thread beside it. */
#ifndef SHM_DOING_H
#define SHM_DOING_H

#include "shm/board.h"

#include <stdatomic.h>

enum doing {
#define DOING(name, words) DOING_##name,
#include "shm/doing.def"
#undef DOING
    DOING_COUNT
};

/* A phase, and the route's row of the statistics or 0, in one word. */
typedef uint64_t doing_word;
enum { DOING_ROUTE_SHIFT = 8 };

extern _Atomic doing_word *doing_at;   /* never NULL */
extern void (*doing_woken)(void *arg); /* comes with the first phase after DOING_rest */
extern void *doing_woken_arg;
void doing_asked_by_nobody(void *arg); /* what it is at first */

/* From the fork on: its row. */
void doing_attach(struct board *board, int proc);

static inline void doing_for(enum doing what, int route_row)
{
    doing_word before = atomic_load_explicit(doing_at, memory_order_relaxed);
    atomic_store_explicit(doing_at, (doing_word)what | (doing_word)route_row << DOING_ROUTE_SHIFT,
                          memory_order_relaxed);
    if (__builtin_expect(before == DOING_rest, 0))
        doing_woken(doing_woken_arg);
}

/* Of no route, or of several. */
static inline void doing(enum doing what)
{
    doing_for(what, 0);
}

/* One phase within another: swap back what it returns. It does not count as something to do. */
static inline doing_word doing_swap(doing_word word)
{
    doing_word before = atomic_load_explicit(doing_at, memory_order_relaxed);
    atomic_store_explicit(doing_at, word, memory_order_relaxed);
    return before;
}

const char *doing_words(doing_word word);
int doing_route(doing_word word); /* its row; 0: none */

#endif
