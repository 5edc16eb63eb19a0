/* The memory of the machine and of the control groups that this process is in (cgroups v1 and v2, all above it too):
 * the machine's limit is MemTotal, a group's is memory.max, memory.high or limit_in_bytes. What is used is counted
 * without what the kernel can drop: MemAvailable says so of the machine; of a group, inactive_file is left out. */
#ifndef SHM_MEMORY_H
#define SHM_MEMORY_H

#include "common/base.h"

/* What is put in front of /proc and /sys: "", or for tests a folder, $PERFD_SYSTEM_ROOT. Whoever starts perfd may say
 * so: he could set its limits as well, and nothing but numbers is read there. */
const char *memory_root(void);

struct memory_limit {
    int64_t bytes;
    char source[256]; /* "MemTotal" or "MemAvailable", or the file of the group */
};

/* How much this process may still take: the least of what the machine and each group have left. False: nothing could be
 * read, so nothing is known. */
bool memory_available(const char *root, struct memory_limit *limit_out) MUST_USE;
/* How much there is for this process at most, in use or not: the smallest limit. */
bool memory_total(const char *root, struct memory_limit *limit_out) MUST_USE;

struct memory_use {
    int64_t used_bytes;
    struct memory_limit limit;
    /* Share of the last 10 s, in percent, in which some or all tasks waited for memory (PSI): the worse of the
     * machine's and the group's. 0 where the kernel does not tell. */
    double some_percent, full_percent;
};

/* Where it is tightest: of the machine and the groups the one whose limit is used to the greatest share. */
bool memory_use(const char *root, struct memory_use *use_out) MUST_USE;

/* Memory that a process has for itself, in RAM or swapped out; that which it shares is not counted, however few have
 * touched it. False: there is no such process. */
bool memory_private_bytes(int pid, int64_t *bytes_out) MUST_USE;

#endif
