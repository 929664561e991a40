// Strings: names, globs, near names, lists of strings.
#ifndef REEVE_STR_H
#define REEVE_STR_H

#include <stdint.h>

#include <reeve/err.h>

#define REEVE_NAME_LEN_MAX 63
#define REEVE_NAME_SIZE (REEVE_NAME_LEN_MAX + 1)

// [topic-2]: [a-z0-9][a-z0-9_-]{0,62}. INVALID names the offending character and its position:
// `name "Mm.1": 'M' at 1 is not allowed (a-z 0-9 _ -)`.
enum reeve_err reeve_name_check(const char *name, struct reeve_why *why);
// Make a valid name of any text (lower case, others become '-'); never empty. Returns buf.
const char *reeve_name_from(const char *text, char buf[REEVE_NAME_SIZE]);

// fnmatch-like, only * and ?; no allocation, linear in practice. "mm-*" matches "mm-1".
bool reeve_glob_match(const char *pattern, const char *text);
bool reeve_glob_is(const char *text); // contains * or ?

// The closest of `names` (NULL-terminated) to `text` by edit distance, or NULL when none is near
// (distance > 1 + len/4). For "did you mean".
const char *reeve_near(const char *text, const char *const *names);

bool reeve_str_eq(const char *a, const char *b); // NULL equals only NULL
bool reeve_str_starts(const char *text, const char *prefix);
// strtoll/strtoull that refuse empty text, trailing bytes and overflow.
enum reeve_err reeve_parse_i64(const char *text, int64_t *ret, struct reeve_why *why);
// UTF-8 validity of len bytes (no NUL inside).
bool reeve_utf8_valid(const char *text, size_t len);

// An owned list of strings; items[len] is NULL once anything was added.
struct reeve_strv {
    char **items;
    size_t len;
};
enum reeve_err reeve_strv_add(struct reeve_strv *list, const char *text); // copies
enum reeve_err reeve_strv_copy(const struct reeve_strv *from, struct reeve_strv *ret);
bool reeve_strv_has(const struct reeve_strv *list, const char *text);
void reeve_strv_done(struct reeve_strv *list);
#define REEVE_STRV_AUTO __attribute__((cleanup(reeve_strv_done))) struct reeve_strv

#endif
