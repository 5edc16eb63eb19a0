/* How long a statement takes: whether it is short enough to share a connection, and how much of a connection's time it
 * will need. The server's time without the way there and back, as far as it can be told. */
#ifndef SQL_TIMING_H
#define SQL_TIMING_H

#include "common/base.h"

enum { TIMING_CLASSES = 24 };

struct timing {
    uint32_t counts[TIMING_CLASSES]; /* alone; [i]: up to 2^i us. Halved when there are many, so that old ones fade */
    uint32_t total;
    uint32_t runs;   /* since one was measured alone */
    bool is_short;   /* what timing_is_short() says */
    int bulk;        /* so many results more until it is not taken for large any more */
    int probes;      /* so many more are to be measured alone */
    int64_t mean_us; /* moving, of all */
};

/* It ran in a transaction of its own: what it took is known. */
void timing_add_alone(struct timing *t, int64_t us);
/* It shared a transaction: only the share of each is known. */
void timing_add_share(struct timing *t, int64_t us);
/* A transaction that it shared took far too long, or failed: the next ones are measured alone. */
void timing_suspect(struct timing *t);
/* One of its results was too large to be held, or was not. */
void timing_note_bulk(struct timing *t, bool large);
/* Measured often enough, and 99 of 100 took at most the time in which none waits unduly behind it. */
bool timing_is_short(const struct timing *t);
/* Asked before each run; now and then one that could share a transaction is measured alone. */
bool timing_wants_probe(struct timing *t);

#endif
