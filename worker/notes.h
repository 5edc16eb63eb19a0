/* What is kept with an upstream's answer so that it can be used again as HTTP lets (cache_entry.notes), or in place of
 * one: word of the request's fields that answers vary by. Consumers never see it. Redis has it too: with another layout
 * goes another mark of the envelopes (envelope.c). */
#ifndef WORKER_NOTES_H
#define WORKER_NOTES_H

#include "common/arena.h"

struct notes {
    uint32_t varies_by;                  /* not 0: no answer; those are kept apart by these fields (variant.h) */
    bool shareable;                      /* with consumers who tell the upstream who they are */
    int64_t age_us;                      /* that it had when it came */
    int64_t stale_us, stale_if_error_us; /* after its time */
    struct slice fields;                 /* the upstream's header fields that tell all that, lines of field_lines.h */
};

struct slice notes_write(const struct notes *notes, struct arena *arena);
/* All zero where there are none: nothing of it may be used again. out->fields borrows from bytes. */
void notes_read(struct slice bytes, struct notes *out);
/* How long the answer is of any use after its time: what can be asked about, for a day. */
int64_t notes_keep_us(const struct notes *notes);

#endif
