/* Networks such as 10.0.0.0/8 and 2001:db8::/32. */
#ifndef COMMON_NET_H
#define COMMON_NET_H

#include "common/base.h"

/* A v4 address is the v6 one that it is mapped to. */
struct net {
    uint8_t address[16];
    int bits; /* that count */
};
enum { NET_NONE = -1 }; /* as bits: no address is in it */

/* An address, which is a network of one, or ADDRESS/BITS. False: it is neither, or has bits beyond the network. */
bool net_parse(const char *text, struct net *out) MUST_USE;
/* The part that one consumer has for itself: all of a v4 address, which is the v6 one that it is mapped to, the first
 * 64 bits of another, the rest zeroed. False: it is no address. */
enum { NET_ADDRESS_BYTES = 16 };
bool net_consumer(const char *address, uint8_t out[NET_ADDRESS_BYTES]) MUST_USE;
bool net_has(const struct net *nets, int count, const char *address); /* false for what is no address */

#endif
