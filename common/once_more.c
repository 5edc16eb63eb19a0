#include "common/once_more.h"

#include <stdlib.h>

enum { TRIES_MAX = 30, PROBE_BYTES = 4096 };

bool once_more(int *tries)
{
    if (++*tries >= TRIES_MAX)
        return false;
    free(xmalloc(PROBE_BYTES));
    return true;
}
