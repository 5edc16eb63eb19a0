/* Memory that lives and dies together: a request's, a configuration's. Nothing in it is freed alone. */
#ifndef COMMON_ARENA_H
#define COMMON_ARENA_H

#include "common/slice.h"

struct arena;

struct arena *arena_create(void) MUST_USE;
void arena_destroy(struct arena **arena);
void arena_reset(struct arena *arena); /* all that was in it is gone; it goes on with its first block */

void *arena_alloc(struct arena *arena, size_t bytes) MUST_USE; /* zeroed, aligned for anything */
char *arena_bytes(struct arena *arena, size_t bytes) MUST_USE; /* not zeroed, not aligned */
struct slice arena_copy(struct arena *arena, struct slice s);  /* the copy is followed by a NUL that is not counted */
char *arena_str(struct arena *arena, struct slice s) MUST_USE; /* the same as a C string */
char *arena_printf(struct arena *arena, const char *fmt, ...) PRINTF(2, 3) MUST_USE;
size_t arena_used_bytes(const struct arena *arena);

#endif
