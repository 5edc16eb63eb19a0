/* The page that draws the figures live, of worker/live/: one HTML text with its style, its scripts and dygraphs, put
 * together at build (worker/live/assemble) and part of the program. It loads nothing from anywhere, and its
 * Content-Security-Policy allows nothing but what stands in it, by hashes. */
#ifndef WORKER_LIVE_PAGE_H
#define WORKER_LIVE_PAGE_H

#include "worker/request.h"

void live_page_answer(struct request *r);

#endif
