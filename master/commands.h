/* What the master does when it is told to: by a signal (signals.def) or by perfctl (control_socket.h). */
#ifndef MASTER_COMMANDS_H
#define MASTER_COMMANDS_H

#include "master/master_state.h"

/* From here on they wait in m->signal_fd, for commands_take_signals(). */
bool commands_watch_signals(struct master *m, struct err *err) MUST_USE;
void commands_take_signals(struct master *m);
void commands_obey(void *master, const struct control_order *order); /* control_socket_asked */
/* As SIGTERM does. how stands behind "stopping" in the log. */
void commands_stop(struct master *m, const char *how);

#endif
