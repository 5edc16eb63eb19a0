#include "shm/memory_limits.h"
#include "common/log.h"
#include "shm/memory.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#define MB (INT64_C(1) << 20)
/* A worker has 2 MB at rest, 5 under load, 80 with 10,000 connections, and may buffer stream_memory, 64 MB, beside.
 * Below the least a small machine would have its workers replaced for nothing: there alert and shed are what counts.
 * Above the most something is wrong on any machine. */
#define SOFT_LEAST (256 * MB)
#define SOFT_MOST (4096 * MB)
#define HARD_SHARE 2
/* Beyond worker_hard RLIMIT_DATA leaves this, as it counts what is mapped, touched or not: what malloc() has reserved,
 * and the stacks of threads. */
#define SLACK_LEAST (64 * MB)
#define STACK_BYTES (8 * MB)

static int64_t auto_soft(const struct conf *conf)
{
    struct memory_limit total;
    if (!memory_total(memory_root(), &total))
        return SOFT_LEAST;
    int percent = conf->memory.alert_percent > 0 ? conf->memory.alert_percent : 100;
    int64_t beside = total.bytes / 100 * percent - conf->cache.size_bytes;
    return MIN(MAX(beside / conf->workers / 2, SOFT_LEAST), SOFT_MOST) / MB * MB;
}

void memory_limits_fill(struct conf *conf)
{
    int64_t *soft = &conf->memory.worker_soft_bytes, *hard = &conf->memory.worker_hard_bytes;
    if (*soft == CONF_LIMIT_AUTO)
        *soft = *hard > 0 ? MIN(auto_soft(conf), *hard / HARD_SHARE) : auto_soft(conf);
    if (*hard == CONF_LIMIT_AUTO)
        *hard = *soft * HARD_SHARE;
}

void memory_limits_enforce(const struct conf *conf)
{
    int64_t hard = conf->memory.worker_hard_bytes;
#ifdef __SANITIZE_ADDRESS__
    hard = 0; /* its shadow is terabytes, and counts */
#endif
    if (hard <= 0)
        return;
    int64_t slack = MAX(hard / 4, SLACK_LEAST) + (conf->offload_threads + 3) * STACK_BYTES;
    struct rlimit limit = {(rlim_t)(hard + slack), (rlim_t)(hard + slack)};
    if (setrlimit(RLIMIT_DATA, &limit) != 0)
        log_warn("the kernel's limit of memory stays as it is: %s", strerror(errno));
}
