/* Values that show every wrong byte: head, etag, length and body all follow from a key's number and a version.
 * The number also tells how large a value is. */
#ifndef TESTS_FAULT_VALUE_H
#define TESTS_FAULT_VALUE_H

#include "shm/cache.h"

/* The first number of each kind of key, all beyond are small; a segment of the tests is 32 KB. */
enum {
    VALUE_MIXED = 0,       /* from 100 bytes to four segments, some of them absences */
    VALUE_SMALL = 10000,   /* about 200 bytes */
    VALUE_WHOLE = 20000,   /* one fills a segment */
    VALUE_TWO = 30000,     /* two segments side by side */
    VALUE_FOUR = 40000,    /* four of them */
    VALUE_ABSENCE = 50000, /* about 200 bytes in the negative queue */
    VALUE_PAGE = 60000,    /* 8 KB */
    VALUE_KIND_KEYS = 10000
};
enum { VALUE_BYTES_MAX = 124 << 10, VALUE_KEY_BYTES = 24 };
#define VALUE_WRONG UINT64_MAX /* in place of a version */

uint64_t value_mix(uint64_t x); /* every bit of x changes about half of the result's */

struct slice value_key(int key, char room[static VALUE_KEY_BYTES]);
uint32_t value_tag(int key); /* of this key alone */
uint32_t value_group(int key);
/* body, head and etag point into room or live in *out. version is not 0. */
void value_fill(int key, uint64_t version, char room[static VALUE_BYTES_MAX], struct cache_entry *out);
/* The version that every byte agrees with, gzip included; VALUE_WRONG when there is none. */
uint64_t value_version(int key, const struct cache_entry *entry) MUST_USE;

#endif
