#include "common/folder.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

bool folder_create(const char *path, struct err *err)
{
    char part[4096];
    if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part)
        return err_set(err, "%.200s...: the path is too long", path);
    for (char *at = part + 1;; at++) {
        char c = *at;
        if (c != '/' && c != '\0')
            continue;
        *at = '\0';
        if (mkdir(part, 0755) != 0 && errno != EEXIST)
            return err_set(err, "%s: cannot create %s: %s", path, part, strerror(errno));
        if (c == '\0')
            return true;
        *at = c;
    }
}
