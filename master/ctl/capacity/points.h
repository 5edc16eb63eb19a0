/* Points of a capacity curve in a text file. */
#ifndef MASTER_CTL_CAPACITY_POINTS_H
#define MASTER_CTL_CAPACITY_POINTS_H

#include "master/ctl/capacity/usl.h"

struct points {
    struct usl_point *at; /* by N */
    int count, cap;
};

void points_add(struct points *points, double n, double x); /* in its place by N */
void points_deinit(struct points *points);

/* Adds what path has, "-" is standard input. A line has N, a comma or blanks, and X; what follows behind another comma
 * is left alone, as are empty lines, # to the end of a line, and a first line of titles. False: err names the line. */
bool points_read(struct points *points, const char *path, struct err *err) MUST_USE;

#endif
