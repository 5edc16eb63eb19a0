/* One answer composed of those of other routes, which are asked at the same time: an object with a member for each
 * part, in the order of the route's. */
#ifndef WORKER_FAN_H
#define WORKER_FAN_H

#include "worker/request.h"

struct fan;

struct fan_answer {
    bool whole; /* else r->problem tells why there is none, with the part that failed */
    struct slice body;
};

/* done comes from the loop, once; it may end the request. r->origin tells of what the answer is made. */
struct fan *fan_start(struct request *r, void (*done)(void *arg, const struct fan_answer *answer), void *arg) MUST_USE;
/* Nobody waits any more, and done does not come. */
void fan_forget(struct fan **fan);
/* Adds the tags that the parts' answers have to those that are there, without asking for them. False: they are not
 * known (a part's route is not ready, or another one than perfd.conf shows), so the answer must not be kept. */
bool fan_tags(const struct request *r, uint32_t slots[CACHE_TAGS_MAX], int *count) MUST_USE;

#endif
