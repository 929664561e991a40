// Requirements: what a worker or a node has to be, as people and jobs write it, and whether something meets them.
//
//   type=trading   exchange!=kraken   capabilities=swap   cpus>=4   label.desk=a   region=eu-*   gpu   !gpu
//
// KEY is a name: an attribute (node worker type exchange region state availability pool account capabilities ...),
// `label.<key>`, or a field of its own (`attributes` of the spec). `=` and `!=` compare as text, globs allowed; with several
// values (capabilities) `=` is met by any of them and `!=` only if none fits. `> >= < <=` compare numbers: a size such as
// 512M and a duration such as 5m count as bytes and ms. KEY alone: it has a value. !KEY: it has none.
// What is absent meets only `!=` and `!KEY`. Pure: no I/O, no clock.
#ifndef REEVE_MATCH_H
#define REEVE_MATCH_H

#include <reeve/value.h>

#define REEVE_REQUIREMENTS_MAX 32
#define REEVE_REQUIREMENT_TEXT_SIZE 192

enum reeve_compare {
    REEVE_COMPARE_HAS,
    REEVE_COMPARE_HAS_NOT,
    REEVE_COMPARE_EQ,
    REEVE_COMPARE_NE,
    REEVE_COMPARE_LT,
    REEVE_COMPARE_LE,
    REEVE_COMPARE_GT,
    REEVE_COMPARE_GE,
};
struct reeve_requirement {
    char key[64];
    enum reeve_compare compare;
    char text[128]; // right side; "" for HAS and HAS_NOT
    double number;  // for LT LE GT GE
};
struct reeve_requirements { // plain data; zeroed = none, which everything meets
    struct reeve_requirement items[REEVE_REQUIREMENTS_MAX];
    size_t len;
};

// One requirement of text. INVALID names what is wrong with it and shows a right one.
enum reeve_err reeve_requirement_parse(const char *text, struct reeve_requirement *ret, struct reeve_why *why);
// Adds to `requirements`: a string (one, or several with commas), a list of strings, or a map key -> value or list of
// values (`{type: trading, capabilities: [a, b], "cpus>": ...}` is refused: comparators stand in strings; a list under a
// key = all of them; `labels: {desk: a}` = label.desk=a). INVALID with the place below `path`; LIMIT above 32.
enum reeve_err reeve_requirements_add(struct reeve_requirements *requirements, const struct reeve_value *value,
                                      const char *path, struct reeve_why *why);

// The n-th value (from 0) of attribute `key` as text, or NULL past the end: how the thing asked about tells its attributes.
// `buf` (128 bytes) may be used for what has to be formatted.
typedef const char *reeve_attribute(const void *thing, const char *key, size_t n, char *buf);
bool reeve_requirement_met(const struct reeve_requirement *requirement, reeve_attribute *attribute, const void *thing);
// Whether all are met; the first one that is not in *ret_missed (NULL allowed).
bool reeve_requirements_met(const struct reeve_requirements *requirements, reeve_attribute *attribute, const void *thing,
                            const struct reeve_requirement **ret_missed);
// "cpus>=4" again, for explanations. Returns buf.
const char *reeve_requirement_text(const struct reeve_requirement *requirement, char buf[REEVE_REQUIREMENT_TEXT_SIZE]);

#endif
