/* A flame graph: a frame is as wide as its samples are many, and stands on the frame that called it. One SVG file with
 * nothing outside of it; its script, which browsers run, zooms and searches. */
#ifndef MASTER_CTL_FLAME_SVG_H
#define MASTER_CTL_FLAME_SVG_H

#include "master/ctl/flame/stacks.h"

/* Frames below a twentieth of a pixel's samples are left out. stacks are counted. */
void svg_print(struct stacks *stacks, const char *title, FILE *out);

#endif
