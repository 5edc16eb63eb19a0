/* How long xmalloc() and its family (base.h) wait for memory: when there is none, they give back what the process can
 * spare, try again, and then wait for others to give some back. So a shortage of a moment costs a moment. A process
 * that has waited for too long ends with EXIT_RESOURCES. Libraries wait in the same way (malloc.c). */
#ifndef COMMON_PATIENCE_H
#define COMMON_PATIENCE_H

#include "common/base.h"

#define PATIENCE_ENDLESS INT64_MAX

struct patience {
    int64_t most_us;     /* of waiting; PATIENCE_ENDLESS: the process would rather wait than end */
    void (*spare)(void); /* gives free memory back to malloc(); called by the thread that set it. NULL: none */
    void (*end)(const char *words); /* the last words, before it ends; NULL: the error log alone has them */
};

/* Of this process from now on, and of its children until they say something else. A second, if nobody ever says. */
void patience_set(const struct patience *patience);

/* Between two attempts to get memory, numbered from 0. *until_us is its own. */
void patience_wait(size_t bytes, int attempt, int64_t *until_us);

/* The body of a function that allocates. memory: an expression that tries to. More than most_bytes are not waited for.
 */
#define PATIENT(bytes, most_bytes, memory)                                                                             \
    int64_t until_us = 0;                                                                                              \
    int before = errno;                                                                                                \
    void *at;                                                                                                          \
    for (int attempt = 0; (at = (memory)) == NULL; attempt++) {                                                        \
        if ((bytes) > (most_bytes))                                                                                    \
            return NULL;                                                                                               \
        patience_wait((bytes), attempt, &until_us);                                                                    \
    }                                                                                                                  \
    errno = before;                                                                                                    \
    return at

#endif
