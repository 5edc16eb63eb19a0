#include "master/wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static const char *const words[] = {[WIRE_COLD] = "cold",   [WIRE_GO] = "go",       [WIRE_READY] = "ready",
                                    [WIRE_YOURS] = "yours", [WIRE_TAKEN] = "taken", [WIRE_FAILED] = "failed"};

bool wire_say(int fd, enum wire_word word, const char *text)
{
    char message[WIRE_TEXT_BYTES];
    int len = snprintf(message, sizeof message, "%s %s", words[word], text);
    return send(fd, message, (size_t)MIN(len, WIRE_TEXT_BYTES - 1), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

/* A word of a later perfd's says nothing here. */
static enum wire_word word_of(const char *message)
{
    size_t len = strcspn(message, " ");
    for (int word = WIRE_COLD; word < (int)ARRAY_LEN(words); word++)
        if (strlen(words[word]) == len && strncmp(words[word], message, len) == 0)
            return (enum wire_word)word;
    return WIRE_NOTHING;
}

enum wire_word wire_hear(int fd, char text[static WIRE_TEXT_BYTES])
{
    char message[WIRE_TEXT_BYTES];
    ssize_t len = recv(fd, message, sizeof message - 1, MSG_DONTWAIT);
    *text = '\0';
    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return WIRE_NOTHING;
    if (len <= 0)
        return WIRE_CLOSED;
    message[len] = '\0';
    const char *rest = strchr(message, ' ');
    if (rest != NULL)
        snprintf(text, WIRE_TEXT_BYTES, "%s", rest + 1);
    return word_of(message);
}
