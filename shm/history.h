/* How it has been: the last minute by the second and the last hour by the minute, of all workers together. Two rings in
 * the statistics file that the keeper writes and that outlive it: one that takes over goes on where the other ended. */
#ifndef SHM_HISTORY_H
#define SHM_HISTORY_H

#include "shm/ring.h"
#include "shm/stats_view.h"

enum history_scale { HISTORY_SECONDS, HISTORY_MINUTES, HISTORY_SCALES };
enum { HISTORY_POINTS = 60 };

/* All but its time stands in history.def. */
struct history_point {
    int64_t at_us;   /* wall clock, of its end */
    int64_t span_us; /* its length: a second or a minute, and longer where no keeper was there at its end */
#define HISTORY_COUNT(name, ...) int64_t name;
#define HISTORY_SPENT HISTORY_COUNT
#define HISTORY_LEVEL HISTORY_COUNT
#define HISTORY_QUANTILE HISTORY_COUNT
#include "shm/history.def"
};

/* The points there are, the earliest first; returns how many: none when perfd has just been started, and -1 where the
 * file has no history that this program knows. Never writes or waits. */
int history_read(const struct stats_view *view, enum history_scale scale,
                 struct history_point out[static HISTORY_POINTS]) MUST_USE;

/* ---- for the keeper ---- */

struct history_writer;

struct history_writer *history_writer_create(struct stats *stats, int proc) MUST_USE;
void history_writer_destroy(struct history_writer **writer);
/* Writes what is due. To be called several times a second; of several that write at the same time one does. */
void history_step(struct history_writer *writer, int64_t mono_us, int64_t wall_us);

size_t history_bytes(void); /* of a section; zeroed, it is an empty one */
/* As it lies in a section. */
size_t history_record_bytes(void);
enum { HISTORY_RECORDS = HISTORY_POINTS + 2 /* the one before the first point, and one that is being written */ };
void history_reap(struct stats *stats, int proc); /* the master, when process proc is gone */

#endif
