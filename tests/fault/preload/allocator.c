/* allocator.so, for LD_PRELOAD: a malloc() of its own, as an admin may preload one. Whoever gives it what it did not
 * give is aborted. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BOUNDARY = 16 };
#define OURS UINT64_C(0x6f75727367697665)

/* In front of each piece. */
struct head {
    uint64_t ours;
    size_t bytes;
    void *begin; /* of what the C library gave for it */
    void *unused;
};

void *__libc_malloc(size_t bytes);
void __libc_free(void *at);
void *memalign(size_t boundary, size_t bytes);
size_t malloc_usable_size(void *at);

static struct head *head_of(void *at)
{
    struct head *head = (struct head *)at - 1;
    if (head->ours != OURS)
        abort();
    return head;
}

void *memalign(size_t boundary, size_t bytes)
{
    char *begin = bytes < SIZE_MAX / 2 ? __libc_malloc(sizeof(struct head) + boundary + bytes) : NULL;
    if (begin == NULL)
        return NULL;
    uintptr_t at = ((uintptr_t)begin + sizeof(struct head) + boundary - 1) / boundary * boundary;
    struct head *head = (struct head *)at - 1;
    *head = (struct head){OURS, bytes, begin, NULL};
    return (void *)at;
}

static void *take(size_t bytes)
{
    return memalign(BOUNDARY, bytes);
}

void *malloc(size_t bytes)
{
    return take(bytes);
}

void free(void *at)
{
    if (at == NULL)
        return;
    struct head *head = head_of(at);
    head->ours = 0;
    __libc_free(head->begin);
}

void *calloc(size_t count, size_t bytes)
{
    size_t all;
    void *at = __builtin_mul_overflow(count, bytes, &all) ? NULL : take(all);
    return at != NULL ? memset(at, 0, all) : NULL;
}

void *realloc(void *old, size_t bytes)
{
    size_t before = old != NULL ? head_of(old)->bytes : 0;
    void *at = take(bytes);
    if (at == NULL)
        return NULL;
    if (before > 0)
        memcpy(at, old, before < bytes ? before : bytes);
    free(old);
    return at;
}

void *aligned_alloc(size_t boundary, size_t bytes)
{
    return memalign(boundary, bytes);
}

int posix_memalign(void **memory_out, size_t boundary, size_t bytes)
{
    void *at = memalign(boundary, bytes);
    if (at != NULL)
        *memory_out = at;
    return at != NULL ? 0 : ENOMEM;
}

size_t malloc_usable_size(void *at)
{
    return at != NULL ? head_of(at)->bytes : 0;
}
