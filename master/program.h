/* The file that this program was started from, for an upgrade to start what has its name by then. */
#ifndef MASTER_PROGRAM_H
#define MASTER_PROGRAM_H

#include "common/base.h"

/* First thing in main(): a change of the working folder, or of the file, must not come before. */
void program_remember(void);
/* The absolute path as it was started, links not resolved: a link may point to the next version by now. */
const char *program_path(void);

#endif
