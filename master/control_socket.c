#include "master/control_socket.h"
#include "common/log.h"
#include "common/slice.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4096, ANSWER_MAX_BYTES = 8 << 20 };

struct client {
    int fd;     /* -1: free */
    bool waits; /* for the end of waits_for: a reload, an upgrade or a purge */
    enum control_command waits_for;
    uint64_t order; /* of coming, from 1 */
    size_t len;
    char line[LINE_MAX_BYTES];
    char *rest; /* of its answer; NULL: none */
    size_t rest_len, rest_sent;
};

struct control_socket {
    char path[sizeof((struct sockaddr_un *)NULL)->sun_path];
    int fd;
    control_socket_asked *asked;
    void *arg;
    uint64_t accepted;
    struct client *asking; /* CONTROL_CONFIG is being answered to this one */
    struct client clients[CONTROL_CLIENTS];
};

static bool open_socket(struct control_socket *c, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", c->path);
    unlink(c->path); /* of a perfd that was killed; the lock tells that none lives */
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    mode_t before = umask(0177);
    bool bound = c->fd >= 0 && bind(c->fd, (struct sockaddr *)&address, sizeof address) == 0;
    bool ok = bound && listen(c->fd, 16) == 0;
    int failed = errno;
    umask(before);
    if (bound && !ok)
        unlink(c->path);
    return ok || err_set(err, "control socket %s: %s", c->path, strerror(failed));
}

struct control_socket *control_socket_create(const char *run_dir, int fd, control_socket_asked *asked, void *arg,
                                             struct err *err)
{
    struct control_socket *c = xcalloc(1, sizeof *c);
    c->asked = asked;
    c->arg = arg;
    c->fd = fd;
    for (int i = 0; i < CONTROL_CLIENTS; i++)
        c->clients[i].fd = -1;
    bool fits = snprintf(c->path, sizeof c->path, "%s/control.sock", run_dir) < (int)sizeof c->path;
    if (!fits)
        err_set(err, "run_dir %s: with /control.sock the path has more than the %zu bytes of a socket's name", run_dir,
                sizeof c->path - 1);
    if (!fits || (fd < 0 && !open_socket(c, err))) {
        if (c->fd >= 0)
            close(c->fd);
        free(c);
        return NULL;
    }
    return c;
}

static void drop(struct client *client)
{
    close(client->fd);
    free(client->rest);
    client->rest = NULL;
    client->rest_len = client->rest_sent = client->len = 0;
    client->fd = -1;
    client->waits = false;
}

int control_socket_fd(const struct control_socket *c)
{
    return c->fd;
}

void control_socket_destroy(struct control_socket **c)
{
    unlink((*c)->path);
    control_socket_leave(c);
}

void control_socket_retire(struct control_socket *c)
{
    close(c->fd);
    c->fd = -1;
}

void control_socket_leave(struct control_socket **c)
{
    if ((*c)->fd >= 0)
        close((*c)->fd);
    for (int i = 0; i < CONTROL_CLIENTS; i++)
        if ((*c)->clients[i].fd >= 0)
            drop(&(*c)->clients[i]);
    free(*c);
    *c = NULL;
}

void control_socket_forget(const struct control_socket *c)
{
    if (c->fd >= 0)
        close(c->fd);
    for (int i = 0; i < CONTROL_CLIENTS; i++)
        if (c->clients[i].fd >= 0)
            close(c->clients[i].fd);
}

static short wanted_of(const struct client *client)
{
    if (client->rest != NULL)
        return POLLOUT;
    return client->waits ? 0 : POLLIN;
}

int control_socket_poll(const struct control_socket *c, struct pollfd *fds)
{
    int count = 0;
    fds[count++] = (struct pollfd){c->fd, POLLIN, 0};
    for (int i = 0; i < CONTROL_CLIENTS; i++)
        if (c->clients[i].fd >= 0)
            fds[count++] = (struct pollfd){c->clients[i].fd, wanted_of(&c->clients[i]), 0};
    return count;
}

/* ---- one client ---- */

static void send_rest(struct client *client)
{
    ssize_t n = send(client->fd, client->rest + client->rest_sent, client->rest_len - client->rest_sent,
                     MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    client->rest_sent += (size_t)MAX(n, (ssize_t)0);
    if (n < 0 || client->rest_sent == client->rest_len)
        drop(client);
}

/* With a newline. The rest of what the socket does not take at once is kept. */
static void send_line(struct client *client, const char *text)
{
    size_t len = strlen(text);
    struct iovec parts[] = {{(char *)(uintptr_t)text, len}, {(char[]){'\n'}, 1}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t sent = sendmsg(client->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    bool again = sent >= 0 || errno == EAGAIN || errno == EINTR;
    size_t done = (size_t)MAX(sent, (ssize_t)0);
    client->rest = again && done < len + 1 ? malloc(len + 1 - done) : NULL; /* without memory the client is dropped */
    if (client->rest == NULL) {
        drop(client);
        return;
    }
    client->rest_len = len + 1 - done;
    memcpy(client->rest, text + done, len - MIN(done, len));
    client->rest[client->rest_len - 1] = '\n';
    client->waits = false;
}

/* message: of what went well; NULL: there is no more to say. */
static void answer_with(struct client *client, const char *error, const char *message)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddBoolToObject(json, "ok", error == NULL);
    if (error != NULL)
        cJSON_AddStringToObject(json, "error", error);
    else if (message != NULL)
        cJSON_AddStringToObject(json, "message", message);
    char *text = cJSON_PrintUnformatted(json);
    send_line(client, text);
    cJSON_free(text);
    cJSON_Delete(json);
}

static void answer(struct client *client, const char *error)
{
    answer_with(client, error, NULL);
}

/* Their answer comes from within asked(), of a purge only when it is refused. */
static bool is_asking(enum control_command command)
{
    return command == CONTROL_CONFIG || command == CONTROL_DRAIN || command == CONTROL_RESUME ||
           command == CONTROL_REPLACE || command == CONTROL_PURGE;
}

static bool is_awaited(enum control_command command)
{
    return command == CONTROL_RELOAD || command == CONTROL_UPGRADE || command == CONTROL_PURGE;
}

static void obey(struct control_socket *c, struct client *client, const char *command, struct control_order *order)
{
    static const struct {
        const char *name;
        enum control_command command;
    } commands[] = {{"reload", CONTROL_RELOAD},   {"upgrade", CONTROL_UPGRADE}, {"ping", CONTROL_PING},
                    {"reopen", CONTROL_REOPEN},   {"stop", CONTROL_STOP},       {"quit", CONTROL_QUIT},
                    {"config", CONTROL_CONFIG},   {"drain", CONTROL_DRAIN},     {"resume", CONTROL_RESUME},
                    {"replace", CONTROL_REPLACE}, {"purge", CONTROL_PURGE}};
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(command, commands[i].name) != 0)
            continue;
        if (c->fd < 0 && commands[i].command != CONTROL_PING) {
            answer(client, "a new perfd has just taken over; ask again");
            return;
        }
        client->waits_for = commands[i].command;
        client->waits = is_awaited(client->waits_for);
        c->asking = is_asking(commands[i].command) ? client : NULL;
        if (!client->waits && c->asking == NULL)
            answer(client, NULL);
        order->command = commands[i].command;
        order->ticket = client->order;
        c->asked(c->arg, order);
        return;
    }
    answer(client, "unknown command");
}

/* NULL: it is too long. */
static const char *text_in(const cJSON *json, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, name));
    return text == NULL ? "" : strlen(text) < CONTROL_NAME_BYTES ? text : NULL;
}

static void take_line(struct control_socket *c, struct client *client)
{
    cJSON *json = cJSON_ParseWithLength(client->line, client->len);
    const cJSON *command = cJSON_GetObjectItemCaseSensitive(json, "command");
    const cJSON *slot = cJSON_GetObjectItemCaseSensitive(json, "slot");
    struct control_order order = {.slot = cJSON_IsNumber(slot) ? slot->valueint : -1,
                                  .what = text_in(json, "what"),
                                  .name = text_in(json, "name")};
    if (!cJSON_IsString(command))
        answer(client, "a line {\"command\": \"...\"} was expected");
    else if (order.what == NULL || order.name == NULL)
        answer(client, "the name is too long");
    else
        obey(c, client, command->valuestring, &order);
    cJSON_Delete(json);
}

static void read_client(struct control_socket *c, struct client *client)
{
    ssize_t n = read(client->fd, client->line + client->len, sizeof client->line - client->len);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        drop(client);
        return;
    }
    client->len += (size_t)n;
    if (memchr(client->line, '\n', client->len) != NULL)
        take_line(c, client);
    else if (client->len == sizeof client->line)
        answer(client, "the line is longer than 4 KB");
}

/* When all places are taken, who has been silent for longest loses its own: NULL when all wait for a reload. */
static struct client *make_room(struct control_socket *c)
{
    struct client *oldest = NULL;
    for (int i = 0; i < CONTROL_CLIENTS; i++) {
        struct client *client = &c->clients[i];
        if (client->fd < 0)
            return client;
        if (!client->waits && (oldest == NULL || client->order < oldest->order))
            oldest = client;
    }
    if (oldest != NULL)
        drop(oldest);
    return oldest;
}

static void accept_client(struct control_socket *c)
{
    int fd = accept4(c->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct client *room = fd >= 0 ? make_room(c) : NULL;
    if (room != NULL) {
        room->fd = fd;
        room->order = ++c->accepted;
    } else if (fd >= 0) {
        close(fd);
    }
}

void control_socket_ready(struct control_socket *c, const struct pollfd *fds, int count)
{
    for (int f = 1; f < count; f++) {
        if (fds[f].revents == 0)
            continue;
        for (int i = 0; i < CONTROL_CLIENTS; i++)
            if (c->clients[i].fd == fds[f].fd && c->clients[i].rest != NULL)
                send_rest(&c->clients[i]);
            else if (c->clients[i].fd == fds[f].fd && !c->clients[i].waits)
                read_client(c, &c->clients[i]);
            else if (c->clients[i].fd == fds[f].fd && (fds[f].revents & (POLLHUP | POLLERR)))
                drop(&c->clients[i]);
    }
    /* Last: who has just spoken must not lose its place, and a new descriptor may have an old one's number. */
    if (count > 0 && fds[0].revents != 0)
        accept_client(c);
}

void control_socket_done(struct control_socket *c, enum control_command command, uint64_t ticket, const char *err,
                         const char *message)
{
    for (int i = 0; i < CONTROL_CLIENTS; i++)
        if (c->clients[i].fd >= 0 && c->clients[i].waits && c->clients[i].waits_for == command &&
            (ticket == 0 || ticket == c->clients[i].order))
            answer_with(&c->clients[i], err, message);
}

void control_socket_answer(struct control_socket *c, const char *err)
{
    answer(c->asking, err);
}

void control_socket_tell(struct control_socket *c, const char *json)
{
    if (json == NULL)
        answer(c->asking, "perfd has no memory for the answer");
    else if (strlen(json) > ANSWER_MAX_BYTES)
        answer(c->asking, "the answer is longer than 8 MB");
    else
        send_line(c->asking, json);
}
