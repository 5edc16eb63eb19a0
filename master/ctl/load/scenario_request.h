/* The requests of a scenario's file. */
#ifndef CTL_LOAD_SCENARIO_REQUEST_H
#define CTL_LOAD_SCENARIO_REQUEST_H

#include "master/ctl/load/scenario.h"

/* "headers" and "requests" of the root; the variables must have been read. */
bool requests_read(struct node_object *root, struct scenario *scenario, struct err *err) MUST_USE;

#endif
