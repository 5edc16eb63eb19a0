/* A line of the access log. What comes from outside cannot end it, nor steer a terminal that shows it. */
#ifndef WORKER_ACCESS_FORMAT_H
#define WORKER_ACCESS_FORMAT_H

#include "common/buf.h"
#include "worker/access_log.h"

/* A JSON object without what is not known: perfd.conf(5), ACCESS LOG. now_us: CLOCK_REALTIME. */
void access_format_json(struct buf *out, const struct access_line *line, int64_t now_us);
/* As Apache's and nginx's, with name=value behind it; - is what is not known. */
void access_format_combined(struct buf *out, const struct access_line *line, int64_t now_us);

#endif
