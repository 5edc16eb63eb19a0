/* HTTP dates in their three forms (RFC 9110 5.6.7):
 *
 *   Sun, 06 Nov 1994 08:49:37 GMT     what is written today
 *   Sunday, 06-Nov-94 08:49:37 GMT    RFC 850
 *   Sun Nov  6 08:49:37 1994          asctime()
 *
 * Letters count in whatever case, the zone may be called UTC too (RFC 9111 4.2). The name of the day is not compared
 * with the date. */
#ifndef WORKER_HTTP_DATE_H
#define WORKER_HTTP_DATE_H

#include "common/slice.h"

/* Seconds since 1970. A year of two digits that would be more than 50 years after now_s is of the past. False: it is no
 * date. */
bool http_date_parse(struct slice text, int64_t now_s, int64_t *unix_s_out) MUST_USE;

#endif
