/* A real evhttp, which must frame what perfd accepts in the same way. Part of fuzz_gate.c. */
#ifndef TESTS_GATE_REFERENCE_H
#define TESTS_GATE_REFERENCE_H

#include "tests/fuzz/gate_plain.h"

void reference_setup(void);
bool reference_knows_method(struct slice method);
/* raw: the request as it came. */
void reference_compare(const struct http_head *head, const struct plain *plain, struct slice raw, struct slice body);

#endif
