/* The master process: binds, forks, reaps, reloads. No HTTP, no SQL, no threads: it must be the process that never
 * fails. */
#ifndef MASTER_MASTER_H
#define MASTER_MASTER_H

#include "common/conf.h"
#include "common/exit_code.h"

/* Takes conf over. Runs until a signal or a control command ends it. */
enum exit_code master_run(const char *conf_path, struct conf *conf);

#endif
