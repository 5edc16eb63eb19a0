/* The control segment: what all processes look at besides the cache itself. */
#ifndef SHM_CONTROL_H
#define SHM_CONTROL_H

#include "shm/board.h"
#include "shm/flight.h"
#include "shm/owners.h"
#include "shm/permits.h"
#include "shm/pressure.h"
#include "shm/purge.h"
#include "shm/rates.h"
#include "shm/tags.h"

struct control {
    struct tags *tags;
    struct board *board;
    struct flights *flights;
    struct permits *permits;
    struct rates *rates;
    struct owners *owners;
    struct pressure *pressure;
    struct purge *purge;
    void *segment;
    int fd; /* its memfd; -1: closed */
};

/* Before the first fork. False: err says why. */
bool control_create(struct control *control, struct err *err) MUST_USE;
/* Another perfd's, whose memfd is fd; that is taken over. False: it does not fit, or cannot be mapped; fd is left. */
bool control_attach(struct control *control, int fd, struct err *err) MUST_USE;
void control_destroy(struct control *control); /* this process's mapping and memfd; nothing when there is none */

#endif
