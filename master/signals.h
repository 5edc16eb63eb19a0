/* The signals of signals.def, for people. */
#ifndef MASTER_SIGNALS_H
#define MASTER_SIGNALS_H

#include <stdio.h>

void signals_print_help(FILE *out);
void signals_print_help_mdoc(FILE *out); /* items of a list, for perfd(8) */

#endif
