#include "common/net.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

enum { V4_OFFSET = 96 };

static bool parse_address(const char *text, uint8_t out[16], bool *v4)
{
    *v4 = strchr(text, ':') == NULL;
    if (!*v4)
        return inet_pton(AF_INET6, text, out) == 1;
    memset(out, 0, 10);
    memset(out + 10, 0xff, 2);
    return inet_pton(AF_INET, text, out + 12) == 1;
}

static bool bit_of(const uint8_t *address, int i)
{
    return address[i / 8] >> (7 - i % 8) & 1;
}

bool net_parse(const char *text, struct net *out)
{
    char address[INET6_ADDRSTRLEN];
    const char *slash = strchrnul(text, '/');
    size_t len = (size_t)(slash - text);
    bool v4;
    if (len >= sizeof address)
        return false;
    *(char *)mempcpy(address, text, len) = '\0';
    if (!parse_address(address, out->address, &v4))
        return false;
    out->bits = 128;
    if (*slash == '/') {
        char *end;
        long bits = strtol(slash + 1, &end, 10);
        if (slash[1] < '0' || slash[1] > '9' || *end != '\0' || bits > (v4 ? 32 : 128))
            return false;
        out->bits = (int)bits + (v4 ? V4_OFFSET : 0);
    }
    for (int i = out->bits; i < 128; i++)
        if (bit_of(out->address, i))
            return false;
    return true;
}

static bool is_in(const struct net *net, const uint8_t *address)
{
    int whole = net->bits / 8;
    if (net->bits == NET_NONE || memcmp(net->address, address, (size_t)whole) != 0)
        return false;
    for (int i = whole * 8; i < net->bits; i++)
        if (bit_of(net->address, i) != bit_of(address, i))
            return false;
    return true;
}

bool net_has(const struct net *nets, int count, const char *text)
{
    uint8_t address[16];
    bool v4;
    if (count == 0 || !parse_address(text, address, &v4))
        return false;
    for (int i = 0; i < count; i++)
        if (is_in(&nets[i], address))
            return true;
    return false;
}

bool net_consumer(const char *text, uint8_t out[NET_ADDRESS_BYTES])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    bool v4;
    if (!parse_address(text, out, &v4))
        return false;
    if (memcmp(out, mapped, sizeof mapped) != 0)
        memset(out + 8, 0, 8);
    return true;
}
