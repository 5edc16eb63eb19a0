#include "tests/bench/peers/answers.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define STATUS_LINE "HTTP/1.1 200 OK\r\n"
#define DATE_FIELD "Date: "
#define NO_DATE "Thu, 01 Jan 1970 00:00:00 GMT"
enum { DATE_AT = sizeof STATUS_LINE DATE_FIELD - 1, LISTEN_BACKLOG = 4096 };

static struct message make_message(const char *body, size_t body_bytes, const char *more_fields)
{
    char head[256];
    int head_bytes = snprintf(head, sizeof head,
                              STATUS_LINE DATE_FIELD NO_DATE "\r\nContent-Type: application/json\r\n"
                                                             "Content-Length: %zu\r\n%s\r\n",
                              body_bytes, more_fields);
    struct message message = {malloc((size_t)head_bytes + body_bytes), (size_t)head_bytes + body_bytes};
    if (message.at == NULL)
        err(1, "malloc");
    memcpy(message.at, head, (size_t)head_bytes);
    memcpy(message.at + head_bytes, body, body_bytes);
    return message;
}

static char *read_file(const char *path, size_t *bytes_out)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0)
        err(1, "%s", path);
    long bytes = ftell(file);
    char *text = bytes > 0 ? malloc((size_t)bytes) : NULL;
    rewind(file);
    if (text == NULL || fread(text, 1, (size_t)bytes, file) != (size_t)bytes)
        errx(1, "%s: cannot be read", path);
    fclose(file);
    *bytes_out = (size_t)bytes;
    return text;
}

static void add_answer(struct answers *answers, const char *folder, const char *name)
{
    if (answers->count == ANSWERS_MAX)
        errx(1, "%s: more than %d files", folder, ANSWERS_MAX);
    struct answer *answer = &answers->at[answers->count++];
    char file[4096];
    int path_bytes = snprintf(answer->path, sizeof answer->path, "/body/%s", name);
    int file_bytes = snprintf(file, sizeof file, "%s/%s", folder, name);
    if (path_bytes >= (int)sizeof answer->path || file_bytes >= (int)sizeof file)
        errx(1, "%s: the name is too long", name);
    answer->path_bytes = (size_t)path_bytes;
    answer->body = read_file(file, &answer->body_bytes);
    answer->keep = make_message(answer->body, answer->body_bytes, "");
    answer->close = make_message(answer->body, answer->body_bytes, "Connection: close\r\n");
}

void answers_load(struct answers *answers, const char *folder)
{
    DIR *listing = opendir(folder);
    if (listing == NULL)
        err(1, "%s", folder);
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;)
        if (entry->d_name[0] != '.')
            add_answer(answers, folder, entry->d_name);
    closedir(listing);
    answers_set_date(answers, time(NULL));
}

const struct answer *answers_find(const struct answers *answers, const char *path, size_t path_bytes)
{
    for (int i = 0; i < answers->count; i++)
        if (answers->at[i].path_bytes == path_bytes && memcmp(answers->at[i].path, path, path_bytes) == 0)
            return &answers->at[i];
    return NULL;
}

void answers_set_date(struct answers *answers, time_t now)
{
    struct tm utc;
    strftime(answers->date, sizeof answers->date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &utc));
    for (int i = 0; i < answers->count; i++) {
        memcpy(answers->at[i].keep.at + DATE_AT, answers->date, DATE_BYTES - 1);
        memcpy(answers->at[i].close.at + DATE_AT, answers->date, DATE_BYTES - 1);
    }
}

int answers_listen(const char *port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        err(1, "socket");
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) != 0 || listen(fd, LISTEN_BACKLOG) != 0)
        err(1, "port %s", port);
    return fd;
}
