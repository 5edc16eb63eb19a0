/* How much memory this process may still take: the least of MemAvailable and of what each cgroup above it leaves. */
#ifndef SHM_MEMORY_H
#define SHM_MEMORY_H

#include "common/base.h"

struct memory_limit {
    int64_t bytes;
    char source[256]; /* "MemAvailable", or the file of the cgroup */
};

/* root is put in front of /proc and /sys (tests; "" otherwise). False: nothing could be read, so nothing is known. */
bool memory_available(const char *root, struct memory_limit *limit_out) MUST_USE;

#endif
