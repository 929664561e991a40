// Mistakes of files; see mistakes.h.
// Must not: print values of secrets; the errors it is given hold none.
#include "mistakes.h"

#include "output.h"

#include <stdio.h>

void mistakes_init(struct mistakes *mistakes)
{
    *mistakes = (struct mistakes){.list = reeve_value_list()};
}

void mistakes_done(struct mistakes *mistakes)
{
    reeve_value_free(mistakes->list);
    *mistakes = (struct mistakes){0};
}

static void note(struct mistakes *mistakes, const struct reeve_errors *errors, size_t i)
{
    const struct reeve_error *error = &errors->items[i];
    char text[sizeof error->text + sizeof error->path + 512];
    struct reeve_value *map = reeve_value_map();
    reeve_put_str_opt(map, "file", errors->source);
    reeve_put_int(map, "line", error->mark.line);
    reeve_put_int(map, "col", error->mark.col);
    reeve_put_str_opt(map, "path", error->path);
    reeve_put_str(map, "message", error->text);
    reeve_put_bool(map, "warning", error->warning);
    (void)reeve_value_add(mistakes->list, map); /* remembered: reeve_value_built() */
    // One line each, in the way of compilers, so that editors find the place.
    (void)fprintf(stderr, "%s%s\n", reeve_error_format(errors, i, text, sizeof text),
                  error->warning ? " (warning)" : "");
}

void mistakes_take(struct mistakes *mistakes, struct reeve_errors *errors)
{
    if (errors == NULL) {
        return;
    }
    reeve_errors_sort(errors);
    for (size_t i = 0; i < errors->len; i++) {
        note(mistakes, errors, i);
    }
    if (errors->errors + errors->warnings > errors->len) {
        (void)fprintf(stderr, "%s: ... and %zu more\n", errors->source != NULL ? errors->source : "",
                      errors->errors + errors->warnings - errors->len);
    }
    mistakes->errors += errors->errors;
}

int mistakes_fail(const struct invocation *inv, const struct mistakes *mistakes, enum reeve_err err,
                  const struct reeve_why *why)
{
    if (!opt_given(inv, OPT_JSON)) {
        return output_fail_why(inv, err, why);
    }
    REEVE_VALUE_AUTO map = reeve_value_map();
    struct reeve_value *error = reeve_value_map();
    reeve_put_str(error, "code", reeve_err_text(err));
    reeve_put_str(error, "message", why->text);
    reeve_put_int(error, "exit", output_exit_of(err));
    (void)reeve_value_put(error, "mistakes", reeve_value_clone(mistakes->list)); /* remembered: reeve_value_built() */
    (void)reeve_value_put(map, "error", error);                                  /* remembered: reeve_value_built() */
    output_note("%s", why->text);
    (void)output_json(map, false); /* it fails already */
    return output_exit_of(err);
}
