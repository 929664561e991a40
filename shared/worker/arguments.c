// Checks arguments against their declaration, one row per type.
// What a person may write is generous (text for numbers, units), what `run` gets is one spelling.
// Must not: know the bus or the worker.
#include "arguments.h"

#include <reeve/units.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool counts_in_ms(const char *name)
{
    size_t len = strlen(name);
    return strcmp(name, "ms") == 0 || (len > 3 && strcmp(name + len - 3, "_ms") == 0);
}

static struct reeve_value *read_string(const char *name, const struct reeve_value *given)
{
    (void)name; /* only durations ask for it */
    return reeve_value_kind(given) == REEVE_STR ? reeve_value_clone(given) : NULL;
}

static struct reeve_value *read_int(const char *name, const struct reeve_value *given)
{
    int64_t number;
    (void)name; /* only durations ask for it */
    if (reeve_value_kind(given) == REEVE_STR) {
        return reeve_parse_i64(reeve_value_text(given), &number, NULL) == REEVE_OK ? reeve_value_int(number) : NULL;
    }
    // Two fallbacks tell a number from none.
    number = reeve_value_number(given, 0);
    return number == reeve_value_number(given, 1) ? reeve_value_int(number) : NULL;
}

static struct reeve_value *read_real(const char *name, const struct reeve_value *given)
{
    (void)name; /* only durations ask for it */
    enum reeve_kind kind = reeve_value_kind(given);
    if (kind == REEVE_STR) {
        const char *text = reeve_value_text(given);
        char *end;
        double number = strtod(text, &end);
        bool whole = end != text && *end == '\0' && __builtin_isfinite(number);
        return whole ? reeve_value_float(number) : NULL;
    }
    return kind == REEVE_INT || kind == REEVE_FLOAT ? reeve_value_float(reeve_value_real(given, 0)) : NULL;
}

static struct reeve_value *read_bool(const char *name, const struct reeve_value *given)
{
    (void)name; /* only durations ask for it */
    if (reeve_value_kind(given) == REEVE_BOOL) {
        return reeve_value_clone(given);
    }
    const char *text = reeve_value_kind(given) == REEVE_STR ? reeve_value_text(given) : "";
    bool on = strcmp(text, "true") == 0;
    return on || strcmp(text, "false") == 0 ? reeve_value_bool(on) : NULL;
}

static struct reeve_value *read_duration(const char *name, const struct reeve_value *given)
{
    int64_t ms;
    if (reeve_value_kind(given) == REEVE_STR && reeve_duration_parse(reeve_value_text(given), &ms, NULL) == REEVE_OK) {
        return reeve_value_int(ms);
    }
    // A bare number says nothing about its unit, unless the name does.
    REEVE_VALUE_AUTO number = counts_in_ms(name) ? read_int(name, given) : NULL;
    return reeve_value_number(number, -1) >= 0 ? reeve_value_take(&number) : NULL;
}

static struct reeve_value *read_size(const char *name, const struct reeve_value *given)
{
    int64_t bytes;
    if (reeve_value_kind(given) == REEVE_STR) {
        return reeve_size_parse(reeve_value_text(given), &bytes, NULL) == REEVE_OK ? reeve_value_int(bytes) : NULL;
    }
    REEVE_VALUE_AUTO number = read_int(name, given);
    return reeve_value_number(number, -1) >= 0 ? reeve_value_take(&number) : NULL;
}

static struct reeve_value *read_any(const char *name, const struct reeve_value *given)
{
    (void)name; /* only durations ask for it */
    return reeve_value_clone(given);
}

static const struct {
    const char *name;
    struct reeve_value *(*read)(const char *name, const struct reeve_value *given); // NULL = not of this type
    const char *expected;
} types[] = {
    {"string", read_string, "text"},
    {"int", read_int, "a whole number"},
    {"real", read_real, "a number"},
    {"bool", read_bool, "true or false"},
    {"duration", read_duration, "a duration such as 500ms or 2s"},
    {"size", read_size, "a size such as 64M or a number of bytes"},
    {"any", read_any, "anything"},
};

static enum reeve_err read_one(const struct reeve_worker_arg *arg, const struct reeve_value *given,
                               struct reeve_value *checked, struct reeve_why *why)
{
    size_t row = 0;
    while (row < REEVE_ARRAY_LEN(types) && strcmp(types[row].name, arg->type) != 0) {
        row++;
    }
    REEVE_ASSERT(row < REEVE_ARRAY_LEN(types)); // the worker's own table
    struct reeve_value *value = types[row].read(arg->name, given);
    if (value == NULL) {
        const char *text = reeve_value_kind(given) == REEVE_STR ? reeve_value_text(given) : NULL;
        return reeve_fail(why, REEVE_INVALID, "%s: %s%.40s%s is not %s", arg->name, text == NULL ? "a " : "'",
                          text == NULL ? reeve_kind_text(reeve_value_kind(given)) : text, text == NULL ? "" : "'",
                          types[row].expected);
    }
    return reeve_value_put(checked, arg->name, value);
}

static const struct reeve_worker_arg *find(const struct reeve_worker_arg *declared, const char *name)
{
    for (; declared->name != NULL; declared++) {
        if (strcmp(declared->name, name) == 0) {
            return declared;
        }
    }
    return NULL;
}

static enum reeve_err unknown(const struct reeve_worker_arg *declared, const char *name, struct reeve_why *why)
{
    const char *names[33];
    size_t len = 0;
    for (; declared->name != NULL && len + 1 < REEVE_ARRAY_LEN(names); declared++) {
        names[len++] = declared->name;
    }
    names[len] = NULL;
    const char *near = reeve_near(name, names);
    return reeve_fail(why, REEVE_INVALID, "%.64s is no argument of this command%s%s%s", name,
                      near == NULL ? "" : "; did you mean ", near == NULL ? "" : near, near == NULL ? "" : "?");
}

enum reeve_err arguments_check(const struct reeve_worker_arg *declared, const struct reeve_value *args,
                               struct reeve_value **ret, struct reeve_why *why)
{
    REEVE_VALUE_AUTO checked = declared == NULL ? reeve_value_clone(args) : reeve_value_map();
    for (size_t i = 0; declared != NULL && i < reeve_value_len(args); i++) {
        const char *name = reeve_value_key(args, i);
        const struct reeve_worker_arg *arg = find(declared, name);
        enum reeve_err err =
            arg == NULL ? unknown(declared, name, why) : read_one(arg, reeve_value_at(args, i), checked, why);
        if (err != REEVE_OK) {
            return err;
        }
    }
    for (const struct reeve_worker_arg *arg = declared; arg != NULL && arg->name != NULL; arg++) {
        if (arg->required && reeve_value_get(checked, arg->name) == NULL) {
            return reeve_fail(why, REEVE_INVALID, "%s is missing (%s)", arg->name, arg->type);
        }
    }
    if (checked == NULL || reeve_value_built(checked) != REEVE_OK) {
        return reeve_fail(why, REEVE_NOMEM, "no memory for the arguments");
    }
    *ret = reeve_value_take(&checked);
    return REEVE_OK;
}
