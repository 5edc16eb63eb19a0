#include "worker/event_memory.h"
#include "common/base.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

/* 32, 64, ... 8192 bytes; what is larger goes to malloc(). A list keeps at most so many bytes. */
enum { LEAST_BITS = 5, CLASSES = 9, LIST_BYTES_MAX = 1 << 20 };

struct piece {
    union {
        size_t bytes;       /* of what is in use */
        struct piece *next; /* of what is in a list */
    };
    _Alignas(16) char at[];
};

static struct list {
    struct piece *first;
    size_t count;
} lists[CLASSES];

static size_t size_of(int class)
{
    return (size_t)1 << (LEAST_BITS + class);
}

/* CLASSES: none is so large. */
static int class_of(size_t bytes)
{
    if (bytes <= size_of(0))
        return 0;
    int class = (int)(8 * sizeof bytes) - __builtin_clzl(bytes - 1) - LEAST_BITS;
    return MIN(class, (int)CLASSES);
}

static void *take(size_t bytes)
{
    int class = class_of(bytes);
    struct piece *piece = class < CLASSES ? lists[class].first : NULL;
    if (piece != NULL) {
        lists[class].first = piece->next;
        lists[class].count--;
    } else {
        piece = xmalloc(sizeof *piece + (class < CLASSES ? size_of(class) : bytes));
    }
    piece->bytes = bytes;
    return piece->at;
}

static struct piece *piece_of(void *at)
{
    return (struct piece *)(void *)((char *)at - offsetof(struct piece, at));
}

static void give(void *at)
{
    if (at == NULL)
        return;
    struct piece *piece = piece_of(at);
    int class = class_of(piece->bytes);
    if (class == CLASSES || lists[class].count * size_of(class) >= LIST_BYTES_MAX) {
        free(piece);
        return;
    }
    piece->next = lists[class].first;
    lists[class].first = piece;
    lists[class].count++;
}

static void *change(void *at, size_t bytes)
{
    if (at == NULL)
        return take(bytes);
    struct piece *piece = piece_of(at);
    int class = class_of(bytes);
    if (class < CLASSES && class == class_of(piece->bytes)) {
        piece->bytes = bytes;
        return at;
    }
    void *moved = take(bytes);
    memcpy(moved, at, MIN(bytes, piece->bytes));
    give(at);
    return moved;
}

void event_memory_spare(void)
{
    for (int class = 0; class < CLASSES; class ++)
        for (struct piece *piece; (piece = lists[class].first) != NULL; free(piece)) {
            lists[class].first = piece->next;
            lists[class].count--;
        }
}

void event_memory_setup(void)
{
#ifdef __SANITIZE_ADDRESS__
    const bool wanted = false; /* it would not see what is used after its end */
#else
    const bool wanted = true;
#endif
    if (wanted)
        event_set_mem_functions(take, change, give);
    else
        event_set_mem_functions(xmalloc, xrealloc, free);
}
