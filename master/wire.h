/* What the masters of an upgrade say to each other: one word, and for some a text behind a blank, in each message of a
 * SOCK_SEQPACKET socket. The new one says, in this order,
 *
 *   cold WHY     the shared memory is not the old one's: answer nothing from the cache either, as writes through the
 *                one's workers do not reach the other's. Then it waits for "go" before it starts any worker.
 *   ready TEXT   its workers serve; TEXT tells what it found. Then it waits for "yours".
 *   taken        it is the master now: the lock, the files and the control socket are its own
 *   failed WHY   it ends
 *
 * and the old one "go" and "yours". End of file: the other one is dead. */
#ifndef MASTER_WIRE_H
#define MASTER_WIRE_H

#include "common/base.h"

enum wire_word {
    WIRE_NOTHING, /* no message is there */
    WIRE_CLOSED,
    WIRE_COLD,
    WIRE_GO,
    WIRE_READY,
    WIRE_YOURS,
    WIRE_TAKEN,
    WIRE_FAILED
};

enum { WIRE_TEXT_BYTES = 1024 };

/* False, with errno: it could not be said. */
bool wire_say(int fd, enum wire_word word, const char *text);
/* Never waits. text_out: what stands behind the word. */
enum wire_word wire_hear(int fd, char text_out[static WIRE_TEXT_BYTES]);

#endif
