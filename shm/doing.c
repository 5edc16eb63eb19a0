#include "shm/doing.h"

static const char *const words[DOING_COUNT] = {
#define DOING(name, words) words,
#include "shm/doing.def"
#undef DOING
};

static void nobody_asks(void *arg)
{
    (void)arg;
}

static _Atomic doing_word nowhere;
_Atomic doing_word *doing_at = &nowhere;
void (*doing_woken)(void *arg) = nobody_asks;
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
