/* Who accepts on a slot's sockets when its own worker does not: the master writes (adoption.h), workers read. Every
 * worker has the sockets of all slots, so that a slot moves by one store and a raised wake_fd. */
#ifndef SHM_OWNERS_H
#define SHM_OWNERS_H

#include "common/conf.h"

struct owners;

enum { OWNERS_NOBODY = -1 };

size_t owners_bytes(void); /* of the control segment; zeroed, no slot has an owner */

void owners_set(struct owners *owners, int slot, int proc); /* a row of the board, or OWNERS_NOBODY */
int owners_get(const struct owners *owners, int slot);

#endif
