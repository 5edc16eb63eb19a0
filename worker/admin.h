/* The admin's listener: health (health.h), figures (figures.h), and at / a page that draws them live (live_page.h). All
 * is read only. */
#ifndef WORKER_ADMIN_H
#define WORKER_ADMIN_H

#include "worker/request.h"

void admin_answer(struct request *r);

#endif
