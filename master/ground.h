/* What a master stands on before it has workers: its log, the lock, the sockets, the memory, the control socket. Made
 * here, or taken over from an older master. */
#ifndef MASTER_GROUND_H
#define MASTER_GROUND_H

#include "master/master_state.h"

bool ground_open_log(struct master *m, const struct conf *conf, struct err *err) MUST_USE;
bool ground_make(struct master *m, const struct conf *conf, struct err *err) MUST_USE;
/* Whatever ground_make() came to. Files and names of sockets stay where they are another master's by now. */
void ground_clear(struct master *m, const char *run_dir);
/* Nobody accepts any more. */
void ground_close_listeners(struct master *m);

#endif
