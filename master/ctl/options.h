/* The words of perfctl's command line. */
#ifndef MASTER_CTL_OPTIONS_H
#define MASTER_CTL_OPTIONS_H

#include "master/ctl/ctl.h"

#include <stdio.h>

struct command {
    const char *name;
    enum ctl_needs needs;
    const char *args, *help; /* of commands.def */
    enum ctl_exit (*run)(const struct ctl *ctl);
};

/* Fills ctl. command_out is NULL where --help or --version was all, as was printed. Otherwise than CTL_OK: what is
 * wrong was said on stderr. */
enum ctl_exit options_read(struct ctl *ctl, int argc, char **argv, const struct command **command_out) MUST_USE;

#endif
