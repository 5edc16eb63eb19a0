/* What libevent has to say goes into the error log. */
#ifndef WORKER_EVENT_WORDS_H
#define WORKER_EVENT_WORDS_H

/* From now on, and until event_words_started() a descriptor that the kernel has no memory to watch ends the process
 * with EXIT_RESOURCES: nobody would hear of its listen socket, its signals or its master again. Later ones are
 * connections, which a timer ends. */
void event_words_setup(void);
void event_words_started(void); /* the loop has run */

#endif
