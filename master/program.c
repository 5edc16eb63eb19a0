#include "master/program.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[PATH_MAX];

static bool is_this_program(const char *at)
{
    struct stat named, running;
    return stat(at, &named) == 0 && stat("/proc/self/exe", &running) == 0 && named.st_dev == running.st_dev &&
           named.st_ino == running.st_ino;
}

/* The kernel tells what execve() was given; that is another program's name where a loader was started with this one. */
void program_remember(void)
{
    const char *given = (const char *)getauxval(AT_EXECFN);
    char folder[PATH_MAX] = "";
    bool relative = given != NULL && given[0] != '/';
    if (given != NULL && (!relative || getcwd(folder, sizeof folder) != NULL) &&
        snprintf(path, sizeof path, "%s%s%s", folder, relative ? "/" : "", given) < (int)sizeof path &&
        is_this_program(path))
        return;
    ssize_t len = readlink("/proc/self/exe", path, sizeof path - 1);
    path[MAX(len, (ssize_t)0)] = '\0';
}

const char *program_path(void)
{
    return path;
}
