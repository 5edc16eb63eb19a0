#include "sql/crowd.h"
#include "sql/pool_job.h"

#include <stdlib.h>

void crowds_deinit(struct crowds *crowds)
{
    free(crowds->at);
    *crowds = (struct crowds){0};
}

static uint32_t id_of(const struct job *job)
{
    return job->work.statements[0].id;
}

static struct crowd *crowd_of(struct crowds *crowds, uint32_t id)
{
    if (id >= crowds->count) {
        uint32_t count = MAX(id + 1, 2 * crowds->count);
        crowds->at = xrealloc(crowds->at, count * sizeof *crowds->at);
        memset(crowds->at + crowds->count, 0, (count - crowds->count) * sizeof *crowds->at);
        crowds->count = count;
    }
    return &crowds->at[id];
}

void crowds_join(struct crowds *crowds, struct job *job, bool first)
{
    job->crowd = id_of(job);
    struct crowd *crowd = crowd_of(crowds, job->crowd);
    job->older = first ? NULL : crowd->newest;
    job->newer = first ? crowd->oldest : NULL;
    *(job->older ? &job->older->newer : &crowd->oldest) = job;
    *(job->newer ? &job->newer->older : &crowd->newest) = job;
    crowd->count++;
}

void crowds_leave(struct crowds *crowds, struct job *job)
{
    struct crowd *crowd = crowd_of(crowds, job->crowd);
    *(job->older ? &job->older->newer : &crowd->oldest) = job->newer;
    *(job->newer ? &job->newer->older : &crowd->newest) = job->older;
    crowd->count--;
}

struct job *crowds_yield(const struct crowds *crowds, const struct job *job)
{
    const struct crowd *largest = NULL;
    int own = id_of(job) < crowds->count ? crowds->at[id_of(job)].count : 0;
    for (uint32_t i = 0; i < crowds->count; i++)
        if (largest == NULL || crowds->at[i].count > largest->count)
            largest = &crowds->at[i];
    return largest != NULL && largest->count > own + 1 ? largest->newest : NULL;
}
