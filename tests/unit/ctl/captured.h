/* What is printed to standard output, as a text. */
#ifndef TESTS_UNIT_CTL_CAPTURED_H
#define TESTS_UNIT_CTL_CAPTURED_H

#include <stdio.h>
#include <stdlib.h>

struct captured {
    FILE *before, *out;
    char *text;
    size_t bytes;
};

static inline void capture_begin(struct captured *c)
{
    c->before = stdout;
    stdout = c->out = open_memstream(&c->text, &c->bytes);
}

/* The text until capture_end(). */
static inline const char *capture_take(struct captured *c)
{
    stdout = c->before;
    fclose(c->out);
    return c->text;
}

static inline void capture_end(struct captured *c)
{
    free(c->text);
}

#endif
