/* Whether a line of waiting requests is only long for a moment, or stands: controlled delay (Nichols, Jacobson 2012),
 * as servers use it for requests (Maurer, "Fail at Scale", 2015). When nobody who left the line within an interval had
 * waited less than the target, it stands, and from then on those who waited more than twice the target are shed, so
 * that the others are answered in time and none of the work is for consumers who have given up.
 *
 * The target is a twentieth of the time that a request may wait at all, or what the longest queries of late took where
 * that is longer; the interval is five times that. They are a quarter and half of that time at most, so that a stall of
 * the database, after which its queries seem long, does not let the line grow until the time is over. The 5 ms and
 * 100 ms of the authors are for packets: 64 consumers who ask again as soon as they are answered make 4 connections
 * with queries of 1 ms stand at 16 ms, which does no harm. */
#ifndef SQL_CODEL_H
#define SQL_CODEL_H

#include "common/base.h"

struct codel {
    int64_t limit_us;   /* that a request may wait; set by the owner */
    int64_t service_us; /* the longest of late; fades by the query */
    int64_t least_us;   /* that anybody waited in this interval */
    int64_t begun_us;   /* the interval */
    bool stands;
};

/* How long one of its queries ran. */
void codel_served(struct codel *c, int64_t run_us);
/* Asked for each that leaves the line after wait_us, 0 too. True: shed it. */
bool codel_sheds(struct codel *c, int64_t wait_us, int64_t now_us);

#endif
