/* The queries that took long, the last SLOW_ENTRIES of them: a ring in the statistics file. */
#ifndef SHM_SLOW_H
#define SHM_SLOW_H

#include "shm/ring.h"

enum { SLOW_ENTRIES = 256, SLOW_ROUTE_BYTES = 120, SLOW_PARAMS_BYTES = 512 };

/* Parameters: 'v' and the text with its NUL, or 'n' for NULL, one behind the other. */
struct slow_query {
    uint64_t number; /* from 1, in order of their end; set by slow_add() */
    int64_t at_us;   /* wall clock, of its end */
    int64_t run_us, wait_us;
    int64_t rows; /* of all its statements, read or changed */
    uint64_t fingerprint;
    int32_t slot, pid;
    char state[8];      /* SQLSTATE; "" where it ended well, else a word in its place: gone, late, lost */
    uint8_t has_params; /* whether they were allowed to be kept, and fitted */
    uint8_t unused[3];
    uint32_t params_bytes;
    char route[SLOW_ROUTE_BYTES];
    char params[SLOW_PARAMS_BYTES];
};

size_t slow_bytes(void);
/* By process proc, which is in one slow_add() at a time. The number that it got; 0: it was left out, as several entries
 * in a row are being written. */
uint64_t slow_add(struct ring *slow, int proc, const struct slow_query *query);
/* The master, when process proc is gone. */
void slow_reap(struct ring *slow, int proc);
/* The whole entries, the latest first; returns how many. Never writes. */
int slow_read(const struct ring *slow, struct slow_query out[static SLOW_ENTRIES]);

/* False: no room for this value, NULL or not; the parameters are to be left out then. */
bool slow_param_add(struct slow_query *query, const char *value) MUST_USE;
/* The values, at most `most`; NULL stays NULL. They point into query. Returns how many. */
int slow_params(const struct slow_query *query, const char **values_out, int most);

#endif
