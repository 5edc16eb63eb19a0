/* What comes most often of more than can be counted one by one: Space-Saving (Metwally, Agrawal, El Abbadi 2005) with
 * HEAVY_ENTRIES entries in shared memory, one such summary for each worker slot and kind (stats_slot_sections.def).
 * Something that came f times is counted as f at least; of what is not in the summary at most `floor` came. floor is at
 * most the HEAVY_ENTRIES-th part of all that came, so whatever came more often than that is there.
 *
 * Written by the worker, and for a moment at a reload by the one before it too, without locks: an entry that gets
 * another text is claimed by one process at a time and read only when it is whole. One whose writer died in it is free
 * again once the master has reaped that process. */
#ifndef SHM_HEAVY_H
#define SHM_HEAVY_H

#include "common/slice.h"

enum { HEAVY_ENTRIES = 128, HEAVY_TEXT_BYTES = 120 /* its NUL among them; what is longer is cut */ };

struct heavy; /* zeroed memory is an empty one */
struct stats;
struct snapshot;

size_t heavy_bytes(void);
enum { HEAVY_RECORD_BYTES = 160 }; /* of an entry, counts and all: a section's record */

/* By process proc: the text came so many times, of the route with this row of the statistics. */
void heavy_add(struct heavy *heavy, int proc, int row, struct slice text, uint64_t times);
/* The master, when process proc is gone: in all slots. */
void heavy_reap(const struct stats *stats, int proc);

/* ---- reading ---- */

struct heavy_item {
    uint64_t id;    /* of row and whole text */
    uint64_t count; /* at most so many came */
    uint64_t error; /* and at least so many fewer */
    int row;
    bool cut; /* the text was longer */
    char text[HEAVY_TEXT_BYTES];
};

/* One summary, copied. */
struct heavy_summary {
    uint64_t total, floor;
    int count;
    struct heavy_item items[HEAVY_ENTRIES];
};

/* Never writes; whatever stands there, what is handed out is in bounds but for its rows. */
void heavy_read(const struct heavy *heavy, struct heavy_summary *out);
/* What came between the two, of the same summary: its counts and errors bound that. */
void heavy_subtract(struct heavy_summary *later, const struct heavy_summary *earlier);

/* Several workers' as one (Agarwal et al., Mergeable Summaries, 2012): what a summary does not have may have come up to
 * its floor there. */
struct heavy_list {
    uint64_t total; /* all that came */
    int count;
    struct heavy_item items[]; /* what came most often for sure, count - error, first */
};
struct heavy_list *heavy_merge(const struct heavy_summary *summaries, int count) MUST_USE; /* the caller frees it */

#endif
