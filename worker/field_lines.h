/* Header fields of an answer as text: lines "Name: value", each with its CRLF. */
#ifndef WORKER_FIELD_LINES_H
#define WORKER_FIELD_LINES_H

#include "worker/http_head.h"

/* The next line, from *lines, which it moves. What has no colon is passed over. False: there is none. */
bool field_lines_next(struct slice *lines, struct http_field *field_out) MUST_USE;
/* The value of the first field of that name, whatever the case; at NULL: there is none. */
struct slice field_lines_find(struct slice lines, const char *name);
/* Those of all its fields, with commas between them (RFC 9110 5.3); at NULL: there is none. */
struct slice field_lines_list(struct slice lines, const char *name, struct arena *arena);
/* The lines whose names are among these; names ends with NULL. */
struct slice field_lines_only(struct slice lines, const char *const *names, struct arena *arena);
/* The old lines, with the new ones in the place of those of the same name (RFC 9111 3.2). */
struct slice field_lines_update(struct slice old, struct slice newer, struct arena *arena);
/* A field's value that is a list of names, such as Connection's or Vary's, has this one, whatever the case. */
bool field_list_has(struct slice list, struct slice name) MUST_USE;

#endif
