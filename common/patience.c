#include "common/patience.h"
#include "common/clock.h"
#include "common/exit_code.h"
#include "common/log.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_US US_PER_S
#define WAIT_LEAST_US US_PER_MS
#define WAIT_MOST_US (50 * US_PER_MS)
/* Who waits without end says so now and then. */
#define TELL_US (60 * US_PER_S)

static struct patience patience = {PATIENCE_US, NULL, NULL};
static pthread_t spares; /* the thread whose memory patience.spare gives back */

void patience_set(const struct patience *new)
{
    patience = *new;
    spares = pthread_self();
}

static void tell(size_t bytes)
{
    static _Atomic int64_t told_us;
    int64_t now_us = clock_mono_us(), last_us = told_us;
    if ((last_us == 0 || now_us - last_us >= TELL_US) && atomic_compare_exchange_strong(&told_us, &last_us, now_us))
        log_warn("out of memory: %zu bytes are waited for", bytes);
}

NORETURN static void give_up(size_t bytes)
{
    char words[120];
    snprintf(words, sizeof words, "out of memory: %zu bytes were not to be had for %.1f s", bytes,
             (double)patience.most_us / (double)US_PER_S);
    log_write(LOG_CRIT, "%s", words);
    if (patience.end != NULL)
        patience.end(words);
    _exit(EXIT_RESOURCES);
}

/* The first time what can be spared is given back, which may do; then there is nothing left but to wait. */
void patience_wait(size_t bytes, int attempt, int64_t *until_us)
{
    int64_t now_us = clock_mono_us();
    if (attempt == 0) {
        *until_us = patience.most_us == PATIENCE_ENDLESS ? INT64_MAX : now_us + patience.most_us;
        if (patience.spare != NULL && pthread_equal(spares, pthread_self()))
            patience.spare();
        malloc_trim(0);
        return;
    }
    if (now_us >= *until_us)
        give_up(bytes);
    tell(bytes);
    usleep((useconds_t)MIN(WAIT_LEAST_US << MIN(attempt - 1, 10), WAIT_MOST_US));
}

void *xmalloc(size_t bytes)
{
    PATIENT(bytes, SIZE_MAX, malloc(bytes ? bytes : 1));
}

void *xcalloc(size_t count, size_t bytes)
{
    PATIENT(count * bytes, SIZE_MAX, calloc(count ? count : 1, bytes ? bytes : 1));
}

void *xrealloc(void *old, size_t bytes)
{
    PATIENT(bytes, SIZE_MAX, realloc(old, bytes ? bytes : 1));
}

char *xstrdup(const char *s)
{
    size_t bytes = strlen(s) + 1;
    return memcpy(xmalloc(bytes), s, bytes);
}
