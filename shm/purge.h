/* What an operator has dropped from the caches: perfctl purge. The master asks, the keeper does it, since it knows
 * Redis; one thing at a time. A keeper that dies over it leaves it to the next one, and doing it twice drops no more.
 *
 * A route is dropped by a tag that all its answers have. */
#ifndef SHM_PURGE_H
#define SHM_PURGE_H

#include "common/base.h"

enum purge_kind { PURGE_TAG, PURGE_ROUTE, PURGE_ALL };

struct purge; /* of the control segment; zeroed memory: nothing was asked for */

struct purge_order {
    uint64_t number; /* from 1 */
    enum purge_kind kind;
    uint32_t slot; /* of the tag, or the route's; not of PURGE_ALL */
};

struct purge_result {
    uint64_t entries, bytes; /* that were in shared memory and were not dropped yet */
};

size_t purge_bytes(void);
uint32_t purge_route_slot(const char *name); /* no tag that a configuration names has it, but for collisions */

/* The master; what was asked for before is over. */
uint64_t purge_ask(struct purge *purge, enum purge_kind kind, uint32_t slot);
bool purge_is_done(const struct purge *purge, uint64_t number, struct purge_result *result_out) MUST_USE;

/* The keeper. False: there is nothing to do. */
bool purge_asked(const struct purge *purge, struct purge_order *order_out) MUST_USE;
void purge_done(struct purge *purge, uint64_t number, const struct purge_result *result);

#endif
