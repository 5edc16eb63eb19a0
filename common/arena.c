#include "common/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { BLOCK_BYTES = 4096, ALIGN = 16 };

struct block {
    struct block *next;
    size_t size;
    size_t used;
    _Alignas(ALIGN) char bytes[];
};

struct arena {
    struct block *blocks; /* the first one is being filled */
    size_t used_bytes;
};

/* The arena itself is the first thing in its first block. */
enum { FIRST_USED = (sizeof(struct arena) + ALIGN - 1) / ALIGN * ALIGN };

static struct block *add_block(struct arena *arena, size_t least)
{
    size_t size = MAX((size_t)BLOCK_BYTES - sizeof(struct block), least);
    struct block *b = xmalloc(sizeof *b + size);
    b->size = size;
    b->used = 0;
    b->next = arena->blocks;
    arena->blocks = b;
    return b;
}

struct arena *arena_create(void)
{
    struct arena empty = {0};
    struct block *b = add_block(&empty, 0);
    struct arena *arena = (struct arena *)(void *)b->bytes;
    b->used = FIRST_USED;
    *arena = (struct arena){b, 0};
    return arena;
}

void arena_destroy(struct arena **arena)
{
    if (*arena == NULL)
        return;
    struct block *b = (*arena)->blocks;
    *arena = NULL;
    while (b != NULL) {
        struct block *next = b->next;
        free(b);
        b = next;
    }
}

void arena_reset(struct arena *arena)
{
    while (arena->blocks->next != NULL) {
        struct block *b = arena->blocks;
        arena->blocks = b->next;
        free(b);
    }
    arena->blocks->used = FIRST_USED;
    arena->used_bytes = 0;
}

static char *take(struct arena *arena, size_t bytes, size_t align)
{
    struct block *b = arena->blocks;
    size_t start = (b->used + align - 1) / align * align;
    if (start > b->size || bytes > b->size - start) {
        b = add_block(arena, bytes);
        start = 0;
    }
    b->used = start + bytes;
    arena->used_bytes += bytes;
    return b->bytes + start;
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
    return memset(take(arena, bytes, ALIGN), 0, bytes);
}

char *arena_bytes(struct arena *arena, size_t bytes)
{
    return take(arena, bytes, 1);
}

struct slice arena_copy(struct arena *arena, struct slice s)
{
    char *copy = take(arena, s.len + 1, 1);
    if (s.len > 0)
        memcpy(copy, s.at, s.len);
    copy[s.len] = '\0';
    return slice_of(copy, s.len);
}

char *arena_str(struct arena *arena, struct slice s)
{
    char *copy = take(arena, s.len + 1, 1);
    if (s.len > 0)
        memcpy(copy, s.at, s.len);
    copy[s.len] = '\0';
    return copy;
}

char *arena_printf(struct arena *arena, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    CHECK(n >= 0);
    char *s = take(arena, (size_t)n + 1, 1);
    vsnprintf(s, (size_t)n + 1, fmt, again);
    va_end(again);
    return s;
}

size_t arena_used_bytes(const struct arena *arena)
{
    return arena->used_bytes;
}
