#include "shm/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 1024 };

const char *memory_root(void)
{
    const char *root = secure_getenv("PERFD_SYSTEM_ROOT");
    return root != NULL ? root : "";
}

/* ---- files ---- */

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

/* The numbers behind names that stand first in their lines, "Name: 12 kB"; those that are not there stay as they are.
 */
struct named {
    const char *name;
    int64_t *value;
};

static bool read_named(const char *path, const struct named *names, int count)
{
    char line[256], name[64];
    long long n;
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        for (int i = 0; i < count && sscanf(line, "%63[^: ]%*[: \t]%lld", name, &n) == 2; i++)
            if (strcmp(name, names[i].name) == 0)
                *names[i].value = n;
    if (file != NULL)
        fclose(file);
    return file != NULL;
}

/* ---- the machine, the process's groups and all above them: each can be the tightest ---- */

struct place {
    int64_t limit_bytes, used_bytes;
    const char *source, *left_source; /* of the limit, and of what is left */
};
typedef void visit(void *arg, const struct place *place);

static void visit_machine(const char *root, visit *seen, void *arg)
{
    char path[PATH_BYTES];
    int64_t total_kb = -1, available_kb = -1;
    const struct named names[] = {{"MemTotal", &total_kb}, {"MemAvailable", &available_kb}};
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    if (!read_named(path, names, ARRAY_LEN(names)) || total_kb < 0 || available_kb < 0)
        return;
    const struct place machine = {total_kb * 1024, (total_kb - available_kb) * 1024, "MemTotal", "MemAvailable"};
    seen(arg, &machine);
}

/* The files of a kind of groups. */
struct kind {
    const char *mount, *limits[2], *used;
};
static const struct kind v2 = {"/sys/fs/cgroup", {"memory.max", "memory.high"}, "memory.current"},
                         v1 = {"/sys/fs/cgroup/memory",
                               {"memory.limit_in_bytes", "memory.limit_in_bytes"},
                               "memory.usage_in_bytes"};

static int64_t droppable_bytes(const char *folder)
{
    char path[PATH_BYTES + 16];
    int64_t own = 0, total = 0;
    const struct named names[] = {{"inactive_file", &own}, {"total_inactive_file", &total}};
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    return read_named(path, names, ARRAY_LEN(names)) ? MAX(own, total) : 0;
}

static void visit_group(const char *root, const struct kind *kind, const char *group, visit *seen, void *arg)
{
    char folder[PATH_BYTES], path[PATH_BYTES + 32];
    int64_t used, limit;
    snprintf(folder, sizeof folder, "%s%s%s", root, kind->mount, group);
    snprintf(path, sizeof path, "%s/%s", folder, kind->used);
    if (!read_number(path, &used))
        return;
    used -= MIN(droppable_bytes(folder), used);
    for (size_t i = 0; i < ARRAY_LEN(kind->limits); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, kind->limits[i]);
        /* v1 writes "no limit" as a number near 2^63. */
        if (!read_number(path, &limit) || limit >= INT64_C(1) << 60)
            continue;
        const struct place place = {limit, used, path + strlen(root), path + strlen(root)};
        seen(arg, &place);
    }
}

static void visit_groups(const char *root, const struct kind *kind, char *group, visit *seen, void *arg)
{
    for (;;) {
        visit_group(root, kind, group, seen, arg);
        char *slash = strrchr(group, '/');
        if (slash == NULL)
            return;
        *slash = '\0';
    }
}

/* A line of /proc/self/cgroup, "4:memory:/path": its kind and path, or NULL when it is not about memory. */
static const struct kind *group_of(char *line, char **group_out)
{
    char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (group == NULL)
        return NULL;
    *group++ = '\0';
    group[strcspn(group, "\n")] = '\0';
    *group_out = group;
    return controllers[1] == '\0' ? &v2 : strstr(controllers + 1, "memory") != NULL ? &v1 : NULL;
}

static void visit_all(const char *root, visit *seen, void *arg)
{
    char path[PATH_BYTES], line[512], *group;
    visit_machine(root, seen, arg);
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        const struct kind *kind = group_of(line, &group);
        if (kind != NULL)
            visit_groups(root, kind, group, seen, arg);
    }
    if (file != NULL)
        fclose(file);
}

/* ---- what is asked of them ---- */

struct least {
    bool known;
    struct memory_limit limit;
    int64_t used_bytes;
};

static void take(struct least *least, int64_t bytes, const char *source, int64_t used_bytes)
{
    least->known = true;
    least->limit.bytes = bytes;
    least->used_bytes = used_bytes;
    snprintf(least->limit.source, sizeof least->limit.source, "%s", source);
}

static void see_left(void *arg, const struct place *place)
{
    struct least *least = arg;
    int64_t left = MAX(place->limit_bytes - place->used_bytes, INT64_C(0));
    if (!least->known || left < least->limit.bytes)
        take(least, left, place->left_source, place->used_bytes);
}

static void see_limit(void *arg, const struct place *place)
{
    struct least *least = arg;
    if (!least->known || place->limit_bytes < least->limit.bytes)
        take(least, place->limit_bytes, place->source, place->used_bytes);
}

static double share(int64_t used_bytes, int64_t limit_bytes)
{
    return (double)used_bytes / (double)MAX(limit_bytes, INT64_C(1));
}

static void see_share(void *arg, const struct place *place)
{
    struct least *least = arg;
    if (!least->known || share(place->used_bytes, place->limit_bytes) > share(least->used_bytes, least->limit.bytes))
        take(least, place->limit_bytes, place->source, place->used_bytes);
}

static bool ask(const char *root, visit *see, struct least *least)
{
    *least = (struct least){0};
    visit_all(root, see, least);
    return least->known;
}

bool memory_available(const char *root, struct memory_limit *out)
{
    struct least least;
    if (!ask(root, see_left, &least))
        return false;
    *out = least.limit;
    return true;
}

bool memory_total(const char *root, struct memory_limit *out)
{
    struct least least;
    if (!ask(root, see_limit, &least))
        return false;
    *out = least.limit;
    return true;
}

/* ---- stalls (PSI) ---- */

static void read_stalls(const char *path, struct memory_use *use)
{
    char line[128], who[8];
    double percent;
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "%7s avg10=%lf", who, &percent) != 2)
            continue;
        double *worst = strcmp(who, "some") == 0 ? &use->some_percent : &use->full_percent;
        *worst = MAX(*worst, percent);
    }
    if (file != NULL)
        fclose(file);
}

/* The groups of v1 have none. */
static void read_all_stalls(const char *root, struct memory_use *use)
{
    char path[PATH_BYTES], line[512], *group;
    snprintf(path, sizeof path, "%s/proc/pressure/memory", root);
    read_stalls(path, use);
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (group_of(line, &group) == &v2) {
            snprintf(path, sizeof path, "%s%s%s/memory.pressure", root, v2.mount, group);
            read_stalls(path, use);
        }
    if (file != NULL)
        fclose(file);
}

bool memory_use(const char *root, struct memory_use *out)
{
    struct least least;
    if (!ask(root, see_share, &least))
        return false;
    *out = (struct memory_use){.used_bytes = least.used_bytes, .limit = least.limit};
    read_all_stalls(root, out);
    return true;
}

/* ---- a process ---- */

/* smaps_rollup will not do: a page of the shared cache that one process alone has touched is "private" there, it walks
 * every page (20 ms for 256 MB, this 40 us), and it asks for ptrace's rights. */
bool memory_private_bytes(int pid, int64_t *bytes_out)
{
    char path[64];
    int64_t resident_kb = -1, swapped_kb = 0;
    const struct named names[] = {{"RssAnon", &resident_kb}, {"VmSwap", &swapped_kb}};
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    if (!read_named(path, names, ARRAY_LEN(names)) || resident_kb < 0)
        return false;
    *bytes_out = (resident_kb + swapped_kb) * 1024;
    return true;
}
