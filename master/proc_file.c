#include "master/proc_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 4096, FRAMES_SHOWN = 6 };

static bool read_file(pid_t pid, const char *name, char text[READ_BYTES])
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t bytes = fd >= 0 ? read(fd, text, READ_BYTES - 1) : -1;
    text[MAX(bytes, (ssize_t)0)] = '\0';
    if (fd >= 0)
        close(fd);
    return bytes > 0;
}

struct proc_text proc_status(pid_t pid, const char *name)
{
    struct proc_text found = {""};
    char text[READ_BYTES], *next = text;
    size_t len = strlen(name);
    read_file(pid, "status", text);
    for (char *line; (line = strsep(&next, "\n")) != NULL;)
        if (strncmp(line, name, len) == 0 && line[len] == ':')
            snprintf(found.s, sizeof found.s, "%s", line + len + 1 + strspn(line + len + 1, "\t "));
    return found;
}

/* Lines "[<0>] do_epoll_wait+0x6d1/0x840". */
static void join_frames(char *text, struct proc_text *out)
{
    int shown = 0;
    for (char *line; (line = strsep(&text, "\n")) != NULL && shown < FRAMES_SHOWN;) {
        char *function = strchr(line, ' ');
        if (function == NULL)
            continue;
        function[strcspn(function, "+")] = '\0';
        snprintf(out->s + strlen(out->s), sizeof out->s - strlen(out->s), "%s%s", shown++ > 0 ? " <" : "", function);
    }
}

struct proc_text proc_stack(pid_t pid)
{
    struct proc_text out = {""};
    char text[READ_BYTES];
    if (read_file(pid, "stack", text))
        join_frames(text, &out);
    else if (read_file(pid, "wchan", text) && strcmp(text, "0") != 0)
        snprintf(out.s, sizeof out.s, " %.80s", text);
    if (out.s[0] == '\0' && read_file(pid, "syscall", text))
        snprintf(out.s, sizeof out.s, " system call %.*s", (int)strcspn(text, " \n"), text);
    return out;
}
