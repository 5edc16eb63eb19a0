/* malloc() and its family for the whole process, libraries and the C library included: what is small is waited for, as
 * patience.h has it. Hardly a library is right where it gets none: glibc's regexec() says that nothing matches, or
 * frees twice; libpq leaves a notification out, and with it what it would have dropped from the cache. What is larger
 * than LARGE_BYTES they expect to fail, and some other side may have chosen the size.
 *
 * The linker takes this file because malloc() is asked for. free() is not here, so every piece must come from the next
 * in line, the C library or an allocator that an admin preloads: whose it is is found with the first piece. */
#include "common/patience.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>

/* Sanitizers have their own. */
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__

enum { LARGE_BYTES = 1 << 20 };

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);

static void *first_malloc(size_t bytes);
static void *first_calloc(size_t count, size_t bytes);
static void *first_realloc(void *old, size_t bytes);

static struct next {
    void *(*malloc)(size_t bytes);
    void *(*calloc)(size_t count, size_t bytes);
    void *(*realloc)(void *old, size_t bytes);
} next = {first_malloc, first_calloc, first_realloc};

/* By the loader, before there is a second thread. */
static void find_next(void)
{
    next = (struct next){__libc_malloc, __libc_calloc, __libc_realloc}; /* dlsym() itself may ask for memory */
    *(void **)&next.malloc = dlsym(RTLD_NEXT, "malloc");
    *(void **)&next.calloc = dlsym(RTLD_NEXT, "calloc");
    *(void **)&next.realloc = dlsym(RTLD_NEXT, "realloc");
}

static void *first_malloc(size_t bytes)
{
    find_next();
    return next.malloc(bytes);
}

static void *first_calloc(size_t count, size_t bytes)
{
    find_next();
    return next.calloc(count, bytes);
}

static void *first_realloc(void *old, size_t bytes)
{
    find_next();
    return next.realloc(old, bytes);
}

void *malloc(size_t bytes)
{
    PATIENT(bytes, LARGE_BYTES, next.malloc(bytes));
}

void *calloc(size_t count, size_t bytes)
{
    size_t all;
    if (__builtin_mul_overflow(count, bytes, &all))
        all = SIZE_MAX;
    PATIENT(all, LARGE_BYTES, next.calloc(count, bytes));
}

void *realloc(void *old, size_t bytes)
{
    if (bytes == 0)
        return next.realloc(old, bytes); /* it may free, and give none */
    PATIENT(bytes, LARGE_BYTES, next.realloc(old, bytes));
}

#endif
