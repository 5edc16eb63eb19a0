/* A ring of records in shared memory that every process may add to and perfctl reads, without locks: a slot of it is
 * claimed by one writer at a time and read only when it is whole; one whose writer died in it is free again once the
 * master has reaped that process. A record begins with its number, a uint64_t, and is a whole number of words. */
#ifndef SHM_RING_H
#define SHM_RING_H

#include "common/base.h"

enum { RING_RECORD_MAX = 1024 };

struct ring; /* zeroed memory is an empty one */

struct ring_shape {
    int records;
    size_t record_bytes; /* at most RING_RECORD_MAX */
};

size_t ring_bytes(struct ring_shape shape);
/* By process proc, which is in one ring_add() of the ring at a time. The number that the record got, from 1 in order;
 * 0: it was left out, as several slots in a row are being written. */
uint64_t ring_add(struct ring *ring, struct ring_shape shape, int proc, const void *record);
/* The master, when process proc is gone. */
void ring_reap(struct ring *ring, struct ring_shape shape, int proc);
/* The whole records, the latest first, into room for shape.records of them; returns how many. Never writes. */
int ring_read(const struct ring *ring, struct ring_shape shape, void *out);

#endif
