/* A question to the master: one line of JSON over the socket run_dir/control.sock, one line back. */
#ifndef MASTER_CTL_CONTROL_H
#define MASTER_CTL_CONTROL_H

#include "master/ctl/ctl.h"

/* Sends ctl->command and waits at most timeout_us for the answer. CTL_OK: it is ok, the caller frees it; otherwise why
 * not was said on stderr, and CTL_NOT_RUNNING is that nobody listens there. */
enum ctl_exit control_get(const struct ctl *ctl, int64_t timeout_us, cJSON **answer_out) MUST_USE;
/* The same with a question of more than ctl->command, which it frees. */
enum ctl_exit control_ask_by(const struct ctl *ctl, cJSON **question, int64_t timeout_us);
/* With its schema, as JSON; frees it. */
enum ctl_exit control_print(const struct ctl *ctl, cJSON **answer);
/* Sends ctl->command, waits at most timeout_us for the answer and prints it: its "message" when it is ok, else its
 * "error" to stderr and CTL_FAILED; CTL_NOT_RUNNING when nobody listens there. */
enum ctl_exit control_ask(const struct ctl *ctl, int64_t timeout_us);

#endif
