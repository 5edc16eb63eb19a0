/* A capacity curve drawn in characters: o measured, . the law, : the law beyond what was measured. */
#ifndef MASTER_CTL_CAPACITY_CURVE_H
#define MASTER_CTL_CAPACITY_CURVE_H

#include "master/ctl/capacity/points.h"

/* To stdout. It goes to the peak, but not beyond twice the largest N of points, which must have some. */
void curve_print(const struct usl *usl, const struct points *points);

#endif
