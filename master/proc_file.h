/* What /proc tells of a process that does not answer. None of these wait for its memory, as others of them do. */
#ifndef MASTER_PROC_FILE_H
#define MASTER_PROC_FILE_H

#include "common/base.h"

#include <sys/types.h>

struct proc_text {
    char s[256];
};

/* A line of its status by its name, "State" or "TracerPid"; "" when it is gone. */
struct proc_text proc_status(pid_t pid, const char *name);
/* Where it stands in the kernel, the innermost function first; to others than root only the function that it sleeps in
 * and the number of its system call, if so much. */
struct proc_text proc_stack(pid_t pid);

#endif
