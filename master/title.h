/* What ps shows: "perfd: master", "perfd: worker 0 (gen 3)". */
#ifndef MASTER_TITLE_H
#define MASTER_TITLE_H

#include "common/base.h"

void title_setup(int argc, char **argv); /* first thing in main(): moves the environment out of the way */
void title_set(const char *fmt, ...) PRINTF(1, 2);

#endif
