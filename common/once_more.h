/* A library that lets nobody choose how it allocates gives up where xmalloc() would have waited. Its call is made
 * again:
 *
 *     for (int tries = 0; (at = call()) == NULL && once_more(&tries);) {
 *     } */
#ifndef COMMON_ONCE_MORE_H
#define COMMON_ONCE_MORE_H

#include "common/base.h"

/* Waits until there is memory, as xmalloc() does. False: it has been called so often that memory is not the reason. */
bool once_more(int *tries);

#endif
