#include "shm/memory.h"

#include <stdio.h>
#include <string.h>

static bool read_number(const char *path, int64_t *out)
{
    FILE *file = fopen(path, "re");
    long long n;
    bool ok = file != NULL && fscanf(file, "%lld", &n) == 1; /* "max" is no number: no limit */
    if (file != NULL)
        fclose(file);
    if (ok)
        *out = n;
    return ok;
}

static void take_least(struct memory_limit *limit, bool *known, int64_t bytes, const char *source)
{
    if (*known && bytes >= limit->bytes)
        return;
    *known = true;
    limit->bytes = MAX(bytes, INT64_C(0));
    snprintf(limit->source, sizeof limit->source, "%s", source);
}

static void read_meminfo(const char *root, struct memory_limit *limit, bool *known)
{
    char path[512], line[256];
    long long kilobytes;
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "MemAvailable: %lld kB", &kilobytes) == 1)
            take_least(limit, known, kilobytes * 1024, "MemAvailable");
    if (file != NULL)
        fclose(file);
}

/* Cache of files that the kernel drops when memory is wanted. */
static int64_t reclaimable(const char *root, const char *mount, const char *group)
{
    char path[1024], name[64];
    long long bytes, found = 0;
    snprintf(path, sizeof path, "%s%s%s/memory.stat", root, mount, group);
    FILE *file = fopen(path, "re");
    while (file != NULL && fscanf(file, "%63s %lld", name, &bytes) == 2)
        if (strcmp(name, "inactive_file") == 0 || strcmp(name, "total_inactive_file") == 0)
            found = MAX(found, bytes);
    if (file != NULL)
        fclose(file);
    return found;
}

/* The group's files and those of all above it, since each of them can be the tightest. */
static void read_group(const char *root, const char *mount, char *group, const char *max_name, const char *used_name,
                       struct memory_limit *limit, bool *known)
{
    for (;;) {
        char max_path[1024], used_path[1024];
        int64_t most, used;
        snprintf(max_path, sizeof max_path, "%s%s%s/%s", root, mount, group, max_name);
        snprintf(used_path, sizeof used_path, "%s%s%s/%s", root, mount, group, used_name);
        /* v1 writes "no limit" as a number near 2^63. */
        if (read_number(max_path, &most) && most < INT64_C(1) << 60 && read_number(used_path, &used))
            take_least(limit, known, most - used + MIN(reclaimable(root, mount, group), used), max_path + strlen(root));
        char *slash = strrchr(group, '/');
        if (slash == NULL)
            return;
        *slash = '\0';
    }
}

bool memory_available(const char *root, struct memory_limit *limit_out)
{
    char path[512], line[512];
    bool known = false;
    read_meminfo(root, limit_out, &known);
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        char *group = strchr(line, ':');
        char *end = group ? strchr(group + 1, ':') : NULL;
        if (end == NULL)
            continue;
        *end++ = '\0';
        end[strcspn(end, "\n")] = '\0';
        if (group[1] == '\0')
            read_group(root, "/sys/fs/cgroup", end, "memory.max", "memory.current", limit_out, &known);
        else if (strstr(group + 1, "memory") != NULL)
            read_group(root, "/sys/fs/cgroup/memory", end, "memory.limit_in_bytes", "memory.usage_in_bytes", limit_out,
                       &known);
    }
    if (file != NULL)
        fclose(file);
    return known;
}
