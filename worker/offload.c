#include "worker/offload.h"
#include "common/clock.h"
#include "common/thread.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <unistd.h>

enum { NAME_BYTES = 16 };
/* The loop of the same CPU goes first, and is not kept waiting for a time slice. */
enum { NICER = 5 };

struct offload_job {
    enum offload_kind kind;
    struct offload_work work;
    void *arg;
    bool waits;     /* under the lock */
    bool forgotten; /* the loop's own */
    int64_t asked_us, began_us, ended_us;
    TAILQ_ENTRY(offload_job) in_line;
};

TAILQ_HEAD(job_line, offload_job);

struct offload {
    struct offload_settings settings;
    struct event ready;
    int ready_fd;
    int active;
    uint64_t refused;
    pthread_t *threads;
    int thread_count;
    struct job_line told; /* taken out of `done`, not told of yet */
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t wanted;
    struct job_line waiting[OFFLOAD_KINDS], done;
    int waiting_count;
    bool ends;
};

/* ---- in a thread ---- */

static int64_t turn_us(const struct offload_job *job)
{
    return job->asked_us + (int64_t)job->kind * OFFLOAD_START_US;
}

static struct offload_job *first_of(struct offload *o)
{
    struct offload_job *first = NULL;
    for (int kind = 0; kind < OFFLOAD_KINDS; kind++) {
        struct offload_job *job = TAILQ_FIRST(&o->waiting[kind]);
        if (job != NULL && (first == NULL || turn_us(job) < turn_us(first)))
            first = job;
    }
    return first;
}

static void leave_line(struct offload *o, struct offload_job *job)
{
    TAILQ_REMOVE(&o->waiting[job->kind], job, in_line);
    o->waiting_count--;
    job->waits = false;
}

/* NULL: the end. */
static struct offload_job *take(struct offload *o)
{
    struct offload_job *job = NULL;
    pthread_mutex_lock(&o->lock);
    while (!o->ends && (job = first_of(o)) == NULL)
        pthread_cond_wait(&o->wanted, &o->lock);
    if (job != NULL)
        leave_line(o, job);
    pthread_mutex_unlock(&o->lock);
    return job;
}

static void give_back(struct offload *o, struct offload_job *job)
{
    const uint64_t one = 1;
    pthread_mutex_lock(&o->lock);
    bool first = TAILQ_EMPTY(&o->done);
    TAILQ_INSERT_TAIL(&o->done, job, in_line);
    pthread_mutex_unlock(&o->lock);
    if (first && write(o->ready_fd, &one, sizeof one) != sizeof one) {
        /* It is readable already. */
    }
}

static void *run(void *arg)
{
    struct offload *o = arg;
    struct offload_job *job;
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), getpriority(PRIO_PROCESS, 0) + NICER); /* of this thread alone */
    while ((job = take(o)) != NULL) {
        job->began_us = clock_mono_us();
        job->work.run(job->arg);
        job->ended_us = clock_mono_us();
        give_back(o, job);
    }
    return NULL;
}

/* ---- in the loop ---- */

static void drop(struct offload *o, struct offload_job *job)
{
    const struct offload_work work = job->work;
    void *arg = job->arg;
    free(job);
    o->active--;
    work.drop(arg);
}

static void tell(struct offload *o, struct offload_job *job)
{
    const struct offload_settings *s = &o->settings;
    const struct offload_work work = job->work;
    void *arg = job->arg;
    if (job->forgotten) {
        drop(o, job);
        return;
    }
    s->observe(s->arg, job->kind, job->began_us - job->asked_us, job->ended_us - job->began_us);
    free(job);
    o->active--;
    work.done(arg);
}

/* What they bring about may forget others. */
static void tell_all(struct offload *o)
{
    struct offload_job *job;
    while ((job = TAILQ_FIRST(&o->told)) != NULL) {
        TAILQ_REMOVE(&o->told, job, in_line);
        tell(o, job);
    }
}

static void take_done(struct offload *o)
{
    pthread_mutex_lock(&o->lock);
    TAILQ_CONCAT(&o->told, &o->done, in_line);
    pthread_mutex_unlock(&o->lock);
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct offload *o = arg;
    uint64_t count;
    if (read((int)fd, &count, sizeof count) != sizeof count)
        return;
    take_done(o);
    tell_all(o);
}

struct offload_job *offload_start(struct offload *o, enum offload_kind kind, const struct offload_work *work, void *arg)
{
    if (o == NULL)
        return NULL;
    struct offload_job *job = xcalloc(1, sizeof *job);
    *job = (struct offload_job){.kind = kind, .work = *work, .arg = arg, .waits = true, .asked_us = clock_mono_us()};
    pthread_mutex_lock(&o->lock);
    bool full = o->waiting_count >= o->settings.queue;
    if (!full) {
        TAILQ_INSERT_TAIL(&o->waiting[kind], job, in_line);
        o->waiting_count++;
        pthread_cond_signal(&o->wanted);
    }
    pthread_mutex_unlock(&o->lock);
    if (full) {
        o->refused++;
        free(job);
        return NULL;
    }
    o->active++;
    return job;
}

void offload_forget(struct offload *o, struct offload_job **job)
{
    struct offload_job *j = *job;
    *job = NULL;
    pthread_mutex_lock(&o->lock);
    bool waits = j->waits;
    if (waits)
        leave_line(o, j);
    pthread_mutex_unlock(&o->lock);
    if (waits)
        drop(o, j);
    else
        j->forgotten = true;
}

int offload_active(const struct offload *o)
{
    return o->active;
}

uint64_t offload_refused(const struct offload *o)
{
    return o->refused;
}

/* ---- life ---- */

static void start_threads(struct offload *o)
{
    char name[NAME_BYTES];
    o->threads = xcalloc((size_t)o->settings.threads, sizeof *o->threads);
    while (o->thread_count < o->settings.threads) {
        snprintf(name, sizeof name, "perfd-off-%hhu", (unsigned char)o->thread_count);
        if (!thread_start(&o->threads[o->thread_count], name, run, o))
            return;
        o->thread_count++;
    }
}

struct offload *offload_create(struct event_base *base, const struct offload_settings *settings)
{
    struct offload *o = xcalloc(1, sizeof *o);
    o->settings = *settings;
    o->ready_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (o->ready_fd < 0) {
        free(o);
        return NULL;
    }
    CHECK(pthread_mutex_init(&o->lock, NULL) == 0 && pthread_cond_init(&o->wanted, NULL) == 0);
    for (int kind = 0; kind < OFFLOAD_KINDS; kind++)
        TAILQ_INIT(&o->waiting[kind]);
    TAILQ_INIT(&o->done);
    TAILQ_INIT(&o->told);
    event_assign(&o->ready, base, o->ready_fd, EV_READ | EV_PERSIST, on_ready, o);
    event_add(&o->ready, NULL);
    start_threads(o);
    if (o->thread_count == 0)
        offload_destroy(&o);
    return o;
}

static void end_threads(struct offload *o)
{
    pthread_mutex_lock(&o->lock);
    o->ends = true;
    pthread_cond_broadcast(&o->wanted);
    pthread_mutex_unlock(&o->lock);
    for (int i = 0; i < o->thread_count; i++)
        pthread_join(o->threads[i], NULL);
}

void offload_destroy(struct offload **offload)
{
    struct offload *o = *offload;
    struct offload_job *job;
    if (o == NULL)
        return;
    end_threads(o);
    take_done(o);
    for (int kind = 0; kind < OFFLOAD_KINDS; kind++)
        TAILQ_CONCAT(&o->told, &o->waiting[kind], in_line);
    while ((job = TAILQ_FIRST(&o->told)) != NULL) {
        TAILQ_REMOVE(&o->told, job, in_line);
        drop(o, job);
    }
    event_del(&o->ready);
    close(o->ready_fd);
    pthread_mutex_destroy(&o->lock);
    pthread_cond_destroy(&o->wanted);
    free(o->threads);
    free(o);
    *offload = NULL;
}
