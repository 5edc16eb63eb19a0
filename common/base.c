#include "common/base.h"
#include "common/log.h"

#include <stdlib.h>
#include <string.h>

void check_failed(const char *file, int line, const char *what)
{
    log_write(LOG_CRIT, "%s:%d: this must hold and does not: %s", file, line, what);
    abort();
}

static void *checked(void *memory)
{
    if (memory == NULL) {
        log_write(LOG_CRIT, "out of memory");
        abort();
    }
    return memory;
}

void *xmalloc(size_t bytes)
{
    return checked(malloc(bytes ? bytes : 1));
}

void *xcalloc(size_t count, size_t bytes)
{
    return checked(calloc(count ? count : 1, bytes ? bytes : 1));
}

void *xrealloc(void *old, size_t bytes)
{
    return checked(realloc(old, bytes ? bytes : 1));
}

char *xstrdup(const char *s)
{
    return checked(strdup(s));
}
