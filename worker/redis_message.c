#include "worker/redis_message.h"

#include <inttypes.h>

enum { FORMAT = 1, DIGITS_MAX = 18, SENDER_DIGITS = 16 };

static void begin(struct buf *out, uint64_t sender, const char *kind)
{
    buf_printf(out, "%d %016" PRIx64 " %s", FORMAT, sender, kind);
}

void redis_message_drop(struct buf *out, uint64_t sender, const uint32_t *slots, int count)
{
    begin(out, sender, "drop");
    for (int i = 0; i < count; i++)
        buf_printf(out, " %" PRIu32, slots[i]);
    buf_addc(out, '\0');
}

void redis_message_all(struct buf *out, uint64_t sender)
{
    begin(out, sender, "all");
    buf_addc(out, '\0');
}

void redis_message_beat(struct buf *out, uint64_t sender, uint64_t number)
{
    begin(out, sender, "beat");
    buf_printf(out, " %" PRIu64, number);
    buf_addc(out, '\0');
}

/* Up to a blank or the end; the blank goes with it. */
static struct slice take_word(struct slice *text)
{
    const char *blank = text->len > 0 ? memchr(text->at, ' ', text->len) : NULL;
    struct slice word = slice_of(text->at, blank ? (size_t)(blank - text->at) : text->len);
    size_t taken = word.len + (blank != NULL);
    *text = slice_of(text->at + taken, text->len - taken);
    return word;
}

static bool read_number(struct slice word, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < word.len && word.len <= DIGITS_MAX; i++) {
        if (word.at[i] < '0' || word.at[i] > '9')
            return false;
        *out = *out * 10 + (uint64_t)(word.at[i] - '0');
    }
    return word.len > 0 && word.len <= DIGITS_MAX;
}

static bool read_sender(struct slice word, uint64_t *out)
{
    static const char digits[] = "0123456789abcdef";
    *out = 0;
    for (size_t i = 0; i < word.len && word.len == SENDER_DIGITS; i++) {
        const char *digit = memchr(digits, word.at[i], sizeof digits - 1);
        if (digit == NULL)
            return false;
        *out = *out << 4 | (uint64_t)(digit - digits);
    }
    return word.len == SENDER_DIGITS && *out != 0;
}

static bool are_slots(struct slice text)
{
    uint64_t slot;
    bool good = text.len > 0;
    while (good && text.len > 0)
        good = read_number(take_word(&text), &slot) && slot <= UINT32_MAX;
    return good;
}

/* Of the own format. Its sender is known: what cannot be read behind it drops too much rather than too little. */
static void read_kind(struct slice text, struct redis_message *out)
{
    struct slice kind = take_word(&text);
    out->kind = MESSAGE_ALL;
    if (slice_is(kind, "beat") && read_number(text, &out->number))
        out->kind = MESSAGE_BEAT;
    else if (slice_is(kind, "drop") && are_slots(text))
        out->kind = MESSAGE_DROP;
    out->slots = text;
}

bool redis_message_read(struct slice text, struct redis_message *out)
{
    uint64_t format;
    *out = (struct redis_message){.kind = MESSAGE_ALL};
    if (!read_number(take_word(&text), &format))
        return false;
    if (format != FORMAT)
        return true;
    if (!read_sender(take_word(&text), &out->sender))
        return false;
    read_kind(text, out);
    return true;
}

bool redis_message_next(struct slice *slots, uint32_t *slot_out)
{
    uint64_t slot;
    if (slots->len == 0 || !read_number(take_word(slots), &slot))
        return false;
    *slot_out = (uint32_t)slot;
    return true;
}
