#include "worker/proxy_protocol.h"

#include <arpa/inet.h>

enum { V1_MOST = 107, V2_HEAD = 16, V2_MOST = 4096 };
static const struct slice v1_sign = {"PROXY ", 6}, v2_sign = {"\r\n\r\n\0\r\nQUIT\n", 12};

/* False: these bytes are not how it begins. */
static bool begins(struct slice bytes, struct slice sign)
{
    return memcmp(bytes.at, sign.at, MIN(bytes.len, sign.len)) == 0;
}

static bool next_word(const char **at, const char *end, struct slice *out)
{
    const char *space = memchr(*at, ' ', (size_t)(end - *at));
    const char *stop = space ? space : end;
    *out = slice_of(*at, (size_t)(stop - *at));
    *at = space ? space + 1 : end;
    return out->len > 0;
}

static bool is_port(struct slice text)
{
    unsigned port = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9' || i > 4)
            return false;
        port = port * 10 + (unsigned)(text.at[i] - '0');
    }
    return text.len > 0 && port <= 65535;
}

static bool set_address(int family, const void *address, char out[ADDRESS_BYTES])
{
    return inet_ntop(family, address, out, ADDRESS_BYTES) != NULL;
}

static bool read_text(int family, struct slice text, struct in6_addr *out)
{
    char copy[ADDRESS_BYTES];
    if (text.len >= sizeof copy)
        return false;
    *(char *)mempcpy(copy, text.at, text.len) = '\0';
    return inet_pton(family, copy, out) == 1;
}

/* "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443" and the line's end, or "PROXY UNKNOWN" and whatever. */
static enum http_read read_v1(struct slice bytes, char remote_out[ADDRESS_BYTES], size_t *used)
{
    const char *line_end = memchr(bytes.at, '\n', MIN(bytes.len, (size_t)V1_MOST));
    if (line_end == NULL)
        return bytes.len < V1_MOST ? HTTP_READ_MORE : HTTP_READ_BAD;
    const char *at = bytes.at + v1_sign.len, *end = line_end - 1;
    struct slice kind, from, to, from_port, to_port;
    struct in6_addr source, destination;
    *used = (size_t)(line_end + 1 - bytes.at);
    if (end < at || *end != '\r' || !next_word(&at, end, &kind))
        return HTTP_READ_BAD;
    if (slice_is(kind, "UNKNOWN"))
        return HTTP_READ_WHOLE;
    int family = slice_is(kind, "TCP4") ? AF_INET : slice_is(kind, "TCP6") ? AF_INET6 : -1;
    bool ok = family >= 0 && next_word(&at, end, &from) && next_word(&at, end, &to) &&
              next_word(&at, end, &from_port) && next_word(&at, end, &to_port) && at == end && is_port(from_port) &&
              is_port(to_port) && read_text(family, from, &source) && read_text(family, to, &destination);
    return ok && set_address(family, &source, remote_out) ? HTTP_READ_WHOLE : HTTP_READ_BAD;
}

static enum http_read read_v2(struct slice bytes, char remote_out[ADDRESS_BYTES], size_t *used)
{
    enum { LOCAL, PROXY, TCP4 = 0x11, TCP6 = 0x21, TCP4_BYTES = 12, TCP6_BYTES = 36 };
    if (bytes.len < V2_HEAD)
        return HTTP_READ_MORE;
    const uint8_t *head = (const uint8_t *)bytes.at;
    int version = head[12] >> 4, command = head[12] & 15;
    size_t len = (size_t)head[14] << 8 | head[15];
    if (version != 2 || command > PROXY || len > V2_MOST)
        return HTTP_READ_BAD;
    if (bytes.len < V2_HEAD + len)
        return HTTP_READ_MORE;
    *used = V2_HEAD + len;
    if (command == LOCAL)
        return HTTP_READ_WHOLE;
    if (head[13] == TCP4 && len >= TCP4_BYTES)
        return set_address(AF_INET, head + V2_HEAD, remote_out) ? HTTP_READ_WHOLE : HTTP_READ_BAD;
    if (head[13] == TCP6 && len >= TCP6_BYTES)
        return set_address(AF_INET6, head + V2_HEAD, remote_out) ? HTTP_READ_WHOLE : HTTP_READ_BAD;
    return (head[13] == TCP4 || head[13] == TCP6) ? HTTP_READ_BAD : HTTP_READ_WHOLE;
}

enum http_read proxy_protocol_read(struct slice bytes, char remote_out[ADDRESS_BYTES], size_t *used)
{
    *used = 0;
    if (bytes.len == 0)
        return HTTP_READ_MORE;
    if (begins(bytes, v1_sign))
        return bytes.len < v1_sign.len ? HTTP_READ_MORE : read_v1(bytes, remote_out, used);
    if (begins(bytes, v2_sign))
        return read_v2(bytes, remote_out, used);
    return HTTP_READ_BAD;
}
