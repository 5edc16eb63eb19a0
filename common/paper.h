/* Text of tables for people: wrapped for a terminal, escaped for a manual page in mdoc. */
#ifndef COMMON_PAPER_H
#define COMMON_PAPER_H

#include <stdio.h>

/* The words of text in lines of at most 96 columns, each behind `indent`; ends with a newline. */
void paper_wrap(const char *text, const char *indent, FILE *out);
/* text as mdoc takes it, where a backslash is an escape a leading dot or quote a macro and a new
 * sentence a new line. No newline at its end. */
void paper_mdoc(const char *text, FILE *out);

#endif
