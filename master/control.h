/* run_dir/control.sock: what perfctl asks of the master. One line of JSON in, {"command": "reload" | "ping" | "stop" |
 * "quit"}; one line out, {"ok": true, ...} or {"ok": false, "error": "..."}. Only this user may connect. No client can
 * make the master wait: a line has 4 KB, an answer that does not fit the socket's buffer is dropped with its client,
 * and when more than CONTROL_CLIENTS are connected the longest silent one is. */
#ifndef MASTER_CONTROL_H
#define MASTER_CONTROL_H

#include "common/err.h"

#include <poll.h>

struct control;

enum control_command { CONTROL_RELOAD, CONTROL_PING, CONTROL_STOP, CONTROL_QUIT };

/* The answer went out already; that to CONTROL_RELOAD comes from control_reloaded(). */
typedef void control_asked(void *arg, enum control_command command);

enum { CONTROL_CLIENTS = 16 };

struct control *control_create(const char *run_dir, control_asked *asked, void *arg, struct err *err) MUST_USE;
void control_destroy(struct control **control);

/* Descriptors for poll(), at most CONTROL_CLIENTS + 1, and what poll() said of them, in the same order. */
int control_poll(const struct control *control, struct pollfd *fds);
void control_ready(struct control *control, const struct pollfd *fds, int count);
/* err NULL: the new configuration is in force. */
void control_reloaded(struct control *control, const char *err);
void control_forget(const struct control *control); /* in a child: closes all its descriptors */

#endif
