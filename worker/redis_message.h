/* What perfds that share a Redis tell each other on its channel, as text: "1 SENDER drop SLOT SLOT...", "1 SENDER all",
 * "1 SENDER beat NUMBER". The first word is the format: who reads another one than its own takes it for "all". A tag's
 * slot is the same on every machine (tags_slot()). */
#ifndef WORKER_REDIS_MESSAGE_H
#define WORKER_REDIS_MESSAGE_H

#include "common/buf.h"

enum redis_message_kind { MESSAGE_DROP, MESSAGE_ALL, MESSAGE_BEAT };

struct redis_message {
    uint64_t sender; /* 0: of another format */
    enum redis_message_kind kind;
    uint64_t number;    /* MESSAGE_BEAT */
    struct slice slots; /* MESSAGE_DROP: for redis_message_next() */
};

/* Each ends with a NUL. */
void redis_message_drop(struct buf *out, uint64_t sender, const uint32_t *slots, int count);
void redis_message_all(struct buf *out, uint64_t sender);
void redis_message_beat(struct buf *out, uint64_t sender, uint64_t number);

/* False: no perfd says so. slots borrows from text. */
bool redis_message_read(struct slice text, struct redis_message *out) MUST_USE;
/* The next slot of those that are left; false: none is. */
bool redis_message_next(struct slice *slots, uint32_t *slot_out);

#endif
