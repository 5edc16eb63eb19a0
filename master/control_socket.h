/* run_dir/control.sock: what perfctl asks of the master. One line of JSON in, {"command": "reload" | "ping" | "reopen"
 * | "stop" | "quit" | "config" | "drain" | "resume" | "replace"}, with a "slot" for the last three; one line out,
 * {"ok": true, ...} or {"ok": false, "error": "..."}. Only this user may connect. No client can make the master wait: a
 * line has 4 KB, of an answer that does not fit the socket's buffer the rest, 8 MB at most, is sent as its client
 * reads, and when more than CONTROL_CLIENTS are connected the longest silent one is. */
#ifndef MASTER_CONTROL_SOCKET_H
#define MASTER_CONTROL_SOCKET_H

#include "common/err.h"

#include <poll.h>

struct control_socket;

enum control_command {
    CONTROL_RELOAD,
    CONTROL_PING,
    CONTROL_REOPEN,
    CONTROL_STOP,
    CONTROL_QUIT,
    CONTROL_CONFIG,
    CONTROL_DRAIN,
    CONTROL_RESUME,
    CONTROL_REPLACE
};

/* The answer went out already; that to CONTROL_RELOAD comes from control_socket_reloaded(), that to CONTROL_CONFIG from
 * control_socket_tell(), and that to those of slots from control_socket_answer(), before this returns. slot: -1 when
 * none is named. */
typedef void control_socket_asked(void *arg, enum control_command command, int slot);

enum { CONTROL_CLIENTS = 16 };

struct control_socket *control_socket_create(const char *run_dir, control_socket_asked *asked, void *arg,
                                             struct err *err) MUST_USE;
void control_socket_destroy(struct control_socket **control);

/* Descriptors for poll(), at most CONTROL_CLIENTS + 1, and what poll() said of them, in the same order. */
int control_socket_poll(const struct control_socket *control, struct pollfd *fds);
void control_socket_ready(struct control_socket *control, const struct pollfd *fds, int count);
/* err NULL: the new configuration is in force. */
void control_socket_reloaded(struct control_socket *control, const char *err);
/* To who asks just now: json is an object; NULL: memory is out. */
void control_socket_tell(struct control_socket *control, const char *json);
void control_socket_answer(struct control_socket *control, const char *err); /* NULL: it is done */
void control_socket_forget(const struct control_socket *control); /* in a child: closes all its descriptors */

#endif
