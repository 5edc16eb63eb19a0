/* Memory for libevent, which makes and frees dozens of small pieces for each request that evhttp sees: pieces of a few
 * sizes that go back into lists, one a size. For the loop's thread alone. */
#ifndef WORKER_EVENT_MEMORY_H
#define WORKER_EVENT_MEMORY_H

/* Before anything of libevent is called in this process. What libevent returns for its caller to free
 * (evhttp_encode_uri(), evbuffer_readln() and the like) must not be used from then on. */
void event_memory_setup(void);
/* What is in the lists goes back to malloc(). */
void event_memory_spare(void);

#endif
