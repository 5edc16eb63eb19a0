/* Strict RFC 8259 scanner for request bodies: UTF-8 checked, duplicate keys refused, depth at most 64, at most 1,024
 * names an object, numbers kept as they were written. Top-level fields are handed on as raw bytes. */
#ifndef COMMON_JSON_SCAN_H
#define COMMON_JSON_SCAN_H

#include "common/arena.h"

enum json_type { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_field {
    struct slice name; /* decoded */
    enum json_type type;
    struct slice raw; /* the value's bytes as they stand in the body */
};

struct json_error {
    size_t offset;    /* byte in the text, from 0 */
    const char *what; /* "a comma or } was expected" */
};

/* The text must be one object. Fields in the body's order, in arena. */
bool json_scan_object(struct slice text, struct arena *arena, struct json_field **fields_out, int *count_out,
                      struct json_error *error_out) MUST_USE;

struct json_object {
    struct json_field *fields;
    int field_count;
    size_t offset; /* of its brace in the text */
};

/* The text must be one array of objects. With more than `most` of them *count_out is most + 1, and nothing else is
 * told: what stands behind was not looked at. */
bool json_scan_objects(struct slice text, int most, struct arena *arena, struct json_object **objects_out,
                       int *count_out, struct json_error *error_out) MUST_USE;
/* The text is one value of whatever type, and nothing else. */
bool json_is_text(struct slice text) MUST_USE;

/* The elements of a raw array that the scanner passed (name is empty). */
int json_scan_elements(struct slice raw_array, struct arena *arena, struct json_field **elements_out);
/* The decoded bytes of a raw string that the scanner passed. \u0000 comes out as a NUL byte. */
struct slice json_decode_string(struct slice raw, struct arena *arena);

/* Offset of the first byte that is not UTF-8 (RFC 3629: no surrogates, no overlong forms), or -1. */
ptrdiff_t utf8_check(struct slice s);

#endif
