/* Where fault tests play: a cache of 8 MB (segments of 32 KB) with its control segment, made by hand of what
 * shared_create() would make. This process has row 0; others enter by actor.h. */
#ifndef TESTS_FAULT_SCENE_H
#define TESTS_FAULT_SCENE_H

#include "shm/fault.h"
#include "shm/shared.h"
#include "tests/fault/lib/value.h"

#include <stdatomic.h>
#include <sys/types.h>

enum { SCENE_ENTRIES = 400, SCENE_BYTES = 8 << 20, SCENE_TTL_US = 60000000 };
/* After so long nothing is of use any more, and open segments have been idle. */
#define SCENE_LONG_US (INT64_C(100) * SCENE_TTL_US)

struct scene {
    struct shared shared;
    struct cache *cache; /* shared's, as are the next two */
    struct tags *tags;
    struct flights *flights;
    struct notes *notes; /* between the processes: actor.h */
    char *room;          /* VALUE_BYTES_MAX */
    void *guard;         /* what reads far beyond the cache ends here */
    int64_t now_us;      /* of this process; stands still */
};

/* An error ends the program. */
void scene_set(struct scene *scene, int64_t size_bytes, int64_t entries);
void scene_strike(struct scene *scene);

/* ---- the cache ---- */

bool scene_put(struct scene *scene, int key, uint64_t version); /* born now */
bool scene_put_born(struct scene *scene, int key, uint64_t version, uint64_t born_seq);
void scene_fill(struct scene *scene, int first, int count); /* keys of version 1 */
uint64_t scene_get(struct scene *scene, int key);           /* its version; 0: a miss; or VALUE_WRONG */
bool scene_hold(struct scene *scene, int key, struct cache_entry *out) MUST_USE;
void scene_invalidate(struct scene *scene, int key);
void scene_seal(struct scene *scene); /* what this process has open */
/* SCENE_LONG_US from now; the time does not move: reclaims every sealed segment, what this process has open included.
 */
void scene_expire(struct scene *scene);
/* What is put from now on is still of use when others expire all that was put before. */
void scene_outlive(struct scene *scene);

struct cache_audit scene_audit(const struct scene *scene);
/* Empty: all is well. Else what the audit or the sum of the segments finds wrong. */
const char *scene_wrong(const struct scene *scene);
/* After expiring everything, when no other process is there: every segment must be free. The same answer. */
const char *scene_lost(struct scene *scene);

/* A wake-up of the row that has come or comes within a second; it is taken. */
bool scene_wakes(const struct scene *scene, int row);
void scene_forget_wakes(const struct scene *scene, int row);

#endif
