/* Threads of a worker for work that would block its loop: compressing, large bodies, the private keys of TLS, figures
 * for the operator. A piece of work is run by a thread, which touches nothing but what the piece owns or opens: neither
 * the loop, nor what it has of shared memory, nor another request. What became of it is told in the loop.
 *
 * The line is bounded. Who finds it full does the work itself or goes without. */
#ifndef WORKER_OFFLOAD_H
#define WORKER_OFFLOAD_H

#include "common/clock.h"

struct event_base;
struct offload;
struct offload_job;

/* Those of an earlier kind go first: they are shorter, and more depends on them. No one waits for those that came
 * OFFLOAD_START_US later for each kind between them: a flood of handshakes does not keep answers back for ever. */
enum offload_kind { OFFLOAD_TLS, OFFLOAD_JSON, OFFLOAD_GZIP, OFFLOAD_STATS, OFFLOAD_KINDS };
#define OFFLOAD_START_US (50 * US_PER_MS)

/* One of done and drop comes, once, from the loop, and never within offload_start(). */
struct offload_work {
    void (*run)(void *arg);  /* in a thread */
    void (*done)(void *arg); /* it was run */
    void (*drop)(void *arg); /* it was forgotten: no thread has arg any more */
};

struct offload_settings {
    int threads, queue;
    /* In the loop, of each that was run. */
    void (*observe)(void *arg, enum offload_kind kind, int64_t wait_us, int64_t run_us);
    void *arg;
};

/* After the fork. NULL: no thread could be started, or no descriptor is free. */
struct offload *offload_create(struct event_base *base, const struct offload_settings *settings) MUST_USE;
/* Waits for what is being run. Whatever is left is dropped. */
void offload_destroy(struct offload **offload);

/* NULL: the line is full, or offload is NULL because the operator wants none. The job is gone when done or drop is
 * called. */
struct offload_job *offload_start(struct offload *offload, enum offload_kind kind, const struct offload_work *work,
                                  void *arg) MUST_USE;
/* Nobody waits for it any more: drop comes, within this call if no thread has begun with it. */
void offload_forget(struct offload *offload, struct offload_job **job);

int offload_active(const struct offload *offload);       /* waiting, being run, or not told yet */
uint64_t offload_refused(const struct offload *offload); /* for which the line was full */

#endif
