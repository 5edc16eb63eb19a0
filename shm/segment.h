/* A run of memory that all processes forked later share: a memfd, since a tmpfs can be too small and then kills with
 * SIGBUS. Zeroed, left out of core dumps. */
#ifndef SHM_SEGMENT_H
#define SHM_SEGMENT_H

#include "common/err.h"

/* All blocks are allocated at once. The caller has checked that the machine can hold them: on a memfd the kernel does
 * not fail an allocation that it cannot hold, it kills processes. name is seen in /proc/PID/maps. */
void *segment_create(const char *name, size_t bytes, struct err *err) MUST_USE;
void segment_destroy(void *memory, size_t bytes);

#endif
