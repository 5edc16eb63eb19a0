/* How far a replica is behind, told by its place in the write-ahead log and not by clocks: a quiet primary's replica is
 * not late. The primary is asked now and then where it is; a replica that has replayed up to there has all that was
 * committed before the question. */
#ifndef SQL_LAG_H
#define SQL_LAG_H

#include "common/base.h"

/* Where a server is; positions in bytes. */
struct lag_place {
    bool standby;
    uint64_t arrived; /* written by a primary; received by a standby, 0 where it does not stream */
    uint64_t applied; /* inserted by a primary; replayed by a standby */
    char started[40]; /* when the server was started, which tells servers apart */
};

/* "16/B374D848" as bytes; "" and what is none: 0. */
uint64_t lag_position(const char *text);

enum { LAG_SAMPLES = 64 };

struct lag {
    int64_t max_us;
    struct lag_sample {
        int64_t asked_us;
        uint64_t seq;
        uint64_t written, inserted;
    } samples[LAG_SAMPLES]; /* the newest last */
    int count;
    bool primary_away;
    char primary[40]; /* its `started` */
};

void lag_init(struct lag *lag, int64_t max_us);
/* seq: whatever the caller read before it asked; it is passed by who has all that was committed by then. */
void lag_note_primary(struct lag *lag, const struct lag_place *place, uint64_t seq, int64_t asked_us);
/* It cannot be asked. Then a replica is as good as what it received. */
void lag_note_primary_away(struct lag *lag);

struct lag_verdict {
    int64_t complete_us; /* it has all that was committed by then, as far as the servers' disks know; 0: unknown */
    uint64_t seq;        /* the newest that it has passed, synchronous_commit or not */
};
struct lag_verdict lag_judge(const struct lag *lag, const struct lag_place *replica, int64_t asked_us);

#endif
