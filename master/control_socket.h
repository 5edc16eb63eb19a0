/* run_dir/control.sock: what perfctl asks of the master. One line of JSON in, {"command": "reload" | "upgrade" | "ping"
 * | "reopen" | "stop" | "quit" | "config" | "drain" | "resume" | "replace" | "purge"}, with a "slot" for the three
 * before the last, and for that a "what" and a "name"; one line out, {"ok": true, ...} or {"ok": false, "error":
 * "..."}. Only this user may connect. No client can make the master wait: a line has 4 KB, of an answer that does not
 * fit the socket's buffer the rest, 8 MB at most, is sent as its client reads, and when more than CONTROL_CLIENTS are
 * connected the longest silent one is. */
#ifndef MASTER_CONTROL_SOCKET_H
#define MASTER_CONTROL_SOCKET_H

#include "common/err.h"

#include <poll.h>

struct control_socket;

enum control_command {
    CONTROL_RELOAD,
    CONTROL_UPGRADE,
    CONTROL_PING,
    CONTROL_REOPEN,
    CONTROL_STOP,
    CONTROL_QUIT,
    CONTROL_CONFIG,
    CONTROL_DRAIN,
    CONTROL_RESUME,
    CONTROL_REPLACE,
    CONTROL_PURGE
};

enum { CONTROL_NAME_BYTES = 512 };

struct control_order {
    enum control_command command;
    int slot;                /* -1 when none is named */
    const char *what, *name; /* "" likewise; at most CONTROL_NAME_BYTES - 1 long */
    uint64_t ticket;         /* of who asks, for control_socket_done() */
};

/* The answer went out already; that to CONTROL_RELOAD and CONTROL_UPGRADE comes from control_socket_done(), that to
 * CONTROL_CONFIG from control_socket_tell(), and that to those of slots from control_socket_answer(), before this
 * returns. That to CONTROL_PURGE is an error by control_socket_answer() before this returns, or comes from
 * control_socket_done(). */
typedef void control_socket_asked(void *arg, const struct control_order *order);

enum { CONTROL_CLIENTS = 16 };

/* fd: the listening socket that was handed over, which is taken over; -1: one is made. */
struct control_socket *control_socket_create(const char *run_dir, int fd, control_socket_asked *asked, void *arg,
                                             struct err *err) MUST_USE;
int control_socket_fd(const struct control_socket *control); /* to hand over */
void control_socket_destroy(struct control_socket **control);
void control_socket_leave(struct control_socket **control); /* to who has a copy: it keeps its name */
/* Others accept on it from now on. Who is connected is answered still, but is obeyed no more. */
void control_socket_retire(struct control_socket *control);

/* Descriptors for poll(), at most CONTROL_CLIENTS + 1, and what poll() said of them, in the same order. */
int control_socket_poll(const struct control_socket *control, struct pollfd *fds);
void control_socket_ready(struct control_socket *control, const struct pollfd *fds, int count);
/* To all who wait for the end of the command, or to the one with this ticket; 0: to all. err NULL: it went well, and
 * message, which may be NULL, tells how. */
void control_socket_done(struct control_socket *control, enum control_command command, uint64_t ticket, const char *err,
                         const char *message);
/* To who asks just now: json is an object; NULL: memory is out. */
void control_socket_tell(struct control_socket *control, const char *json);
void control_socket_answer(struct control_socket *control, const char *err); /* NULL: it is done */
void control_socket_forget(const struct control_socket *control); /* in a child: closes all its descriptors */

#endif
