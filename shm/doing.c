#include "shm/doing.h"

static const char *const words[DOING_COUNT] = {
#define DOING(name, words) words,
#include "shm/doing.def"
#undef DOING
};

void doing_asked_by_nobody(void *arg)
{
    (void)arg;
}

static _Atomic doing_word nowhere;
_Atomic doing_word *doing_at = &nowhere;
void (*doing_woken)(void *arg) = doing_asked_by_nobody;
void *doing_woken_arg;

void doing_attach(struct board *board, int proc)
{
    doing_at = board_doing(board, proc);
}

const char *doing_words(doing_word word)
{
    doing_word what = word & ((1 << DOING_ROUTE_SHIFT) - 1);
    return what < DOING_COUNT ? words[what] : "?";
}

int doing_route(doing_word word)
{
    return (int)(word >> DOING_ROUTE_SHIFT);
}
