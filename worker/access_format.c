#include "worker/access_format.h"
#include "common/clock.h"
#include "common/json_write.h"

#include <stdio.h>
#include <stdlib.h>

/* Of the last line: most are of the same second. */
struct stamp {
    int64_t second;
    char text[32];
};

/* ---- JSON ---- */

static void write_time(struct buf *out, int64_t now_us)
{
    static struct stamp stamp;
    int64_t second = now_us / US_PER_S;
    if (second != stamp.second) {
        clock_stamp(now_us, stamp.text);
        stamp.second = second;
    }
    buf_printf(out, "{\"time\":\"%s.%06dZ\"", stamp.text, (int)(now_us % US_PER_S));
}

static void write_text(struct buf *out, const char *name, const char *value)
{
    if (value == NULL)
        return;
    json_write_key(out, name);
    json_write_string(out, slice_str(value));
}

static void write_int(struct buf *out, const char *name, int64_t value)
{
    if (value < 0)
        return;
    json_write_key(out, name);
    json_write_int(out, value);
}

/* What is not UTF-8, and what a terminal would obey, is percent-encoded. */
static void write_encoded(struct buf *out, struct slice text, bool keeps_blanks)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];
        if (c < ' ' || c >= 0x7f || c == '"' || c == '\\' || (c == ' ' && !keeps_blanks))
            buf_printf(out, "%%%02X", c);
        else
            buf_addc(out, (char)c);
    }
}

void access_format_json(struct buf *out, const struct access_line *line, int64_t now_us)
{
    write_time(out, now_us);
    write_text(out, "request_id", line->request_id);
    if (line->trace_id.len > 0) {
        json_write_key(out, "trace_id");
        json_write_string(out, line->trace_id);
    }
    write_text(out, "remote", line->remote);
    write_text(out, "method", line->method);
    buf_adds(out, ",\"target\":\"");
    write_encoded(out, line->target, false);
    buf_addc(out, '"');
    write_int(out, "status", line->status);
    write_int(out, "bytes", (int64_t)line->sent_bytes);
    if (line->cut)
        buf_adds(out, ",\"cut\":true");
    write_int(out, "duration_us", line->took_us);
    write_text(out, "route", line->route);
    write_text(out, "cache", line->cache);
    write_int(out, "wait_us", line->wait_us);
    write_int(out, "database_us", line->database_us);
    if (*line->sqlstate != '\0')
        write_text(out, "sqlstate", line->sqlstate);
    buf_adds(out, "}\n");
}

/* ---- combined ---- */

/* "29/Nov/2026:17:40:00", out of "2026-11-29T17:40:00". */
static const char *common_stamp(int64_t now_us)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    static struct stamp stamp;
    int64_t second = now_us / US_PER_S;
    if (second != stamp.second) {
        char iso[CLOCK_STAMP_BYTES];
        clock_stamp(now_us, iso);
        snprintf(stamp.text, sizeof stamp.text, "%.2s/%.3s/%.4s:%.8s", iso + 8, months + 3 * (atoi(iso + 5) - 1), iso,
                 iso + 11);
        stamp.second = second;
    }
    return stamp.text;
}

static void write_quoted(struct buf *out, const char *before, struct slice text)
{
    buf_adds(out, before);
    buf_addc(out, '"');
    if (text.len == 0)
        buf_addc(out, '-');
    write_encoded(out, text, true);
    buf_addc(out, '"');
}

static const char *or_none(const char *text)
{
    return text != NULL && *text != '\0' ? text : "-";
}

static void write_time_of(struct buf *out, const char *name, int64_t us)
{
    if (us < 0)
        buf_printf(out, " %s=-", name);
    else
        buf_printf(out, " %s=%lld", name, (long long)us);
}

void access_format_combined(struct buf *out, const struct access_line *line, int64_t now_us)
{
    buf_printf(out, "%s - - [%s +0000] \"%s ", or_none(line->remote), common_stamp(now_us), line->method);
    write_encoded(out, line->target, false);
    buf_printf(out, " HTTP/1.%d\" %d %zu", line->minor, line->status, line->sent_bytes);
    write_quoted(out, " ", line->referer);
    write_quoted(out, " ", line->user_agent);
    write_time_of(out, "duration_us", line->took_us);
    write_quoted(out, " route=", slice_str(line->route));
    buf_printf(out, " cache=%s", or_none(line->cache));
    write_time_of(out, "wait_us", line->wait_us);
    write_time_of(out, "database_us", line->database_us);
    buf_printf(out, " sqlstate=%s request_id=%s%s\n", or_none(line->sqlstate), or_none(line->request_id),
               line->cut ? " cut" : "");
}
