/* The tags that a notification names: separated by commas. A backslash takes the next byte into the tag, whatever it
 * is, so that values of a key may hold commas. */
#ifndef WORKER_TAG_LIST_H
#define WORKER_TAG_LIST_H

#include "common/slice.h"

/* The next tag that is not empty; *at moves behind it. room: for as many bytes as the list has; the tag is there until
 * the next call. False: there is none. */
bool tag_list_next(const char **at, char *room, struct slice *tag_out) MUST_USE;

#endif
