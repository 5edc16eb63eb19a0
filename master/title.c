#include "master/title.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char *room;
static size_t room_bytes;
static char *moved; /* what stood there */

static char *move(char *at)
{
    return at >= room && at < room + room_bytes ? moved + (at - room) : at;
}

/* The kernel shows the bytes of argv; what follows them in memory is the environment, which is copied elsewhere. */
void title_setup(int argc, char **argv)
{
    char *end = argv[0];
    for (int i = 0; i < argc; i++)
        if (argv[i] == end)
            end += strlen(argv[i]) + 1;
    for (int i = 0; environ[i] != NULL; i++)
        if (environ[i] == end)
            end += strlen(environ[i]) + 1;
    room = argv[0];
    room_bytes = (size_t)(end - argv[0]);
    moved = xmalloc(room_bytes);
    memcpy(moved, room, room_bytes);
    for (int i = 0; environ[i] != NULL; i++)
        environ[i] = move(environ[i]);
    for (int i = 1; i < argc; i++)
        argv[i] = move(argv[i]);
}

void title_set(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(room, room_bytes, fmt, args);
    va_end(args);
    if (len >= 0 && (size_t)len < room_bytes)
        memset(room + len, 0, room_bytes - (size_t)len);
}
