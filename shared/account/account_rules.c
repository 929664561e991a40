// Rules: what the numbers and texts of an account have to keep to. A table; `rules.yaml` of a directory adds rows.
// Must not: repeat a secret, or judge what is no value of the right type (the record table has said so already).
#include "account_internal.h"

#include <reeve/codec.h>
#include <reeve/log.h>
#include <reeve/units.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RULES_MAX  256
#define ONE_OF_MAX 64
#define TEXT_MAX   200
#define FIELD_MAX  100

// How a value is measured: as the bound is written.
enum measure {
    MEASURE_NUMBER, // a number; of a text its characters, of a list or map its entries
    MEASURE_DURATION,
    MEASURE_SIZE,
};

struct bound {
    bool given;
    double number;
};

struct rule {
    char *field; // path; `[]` = each entry of a list
    struct bound min, max;
    int measure; // enum measure
    struct reeve_strv one_of;
    bool required;
    bool warning;
    char *text; // NULL = none
};

struct reeve_account_rules {
    struct rule *items;
    size_t len;
};

// ---- the built-in table ---------------------------------------------------------------------------------------------

#define NO_BOUND                                                                                                       \
    {                                                                                                                  \
        false, 0                                                                                                       \
    }
#define BOUND(n)                                                                                                       \
    {                                                                                                                  \
        true, (n)                                                                                                      \
    }
// A row about something that has both a bound that is an error and one that is a warning is two rows.
static const struct {
    const char *field;
    struct bound min, max;
    bool required, warning;
    const char *text;
} built_in[] = {
    {"account_id", BOUND(1), NO_BOUND, true, false, "an account needs a name"},
    {"default_risk.risk_percent", BOUND(0.1), NO_BOUND, true, false, "below it nothing can be traded"},
    {"default_risk.risk_percent", NO_BOUND, BOUND(10), false, true, "one trade may lose a lot"},
    {"default_risk.max_positions", BOUND(1), NO_BOUND, true, false, NULL},
    {"default_risk.portfolio_risk_percent", BOUND(1), NO_BOUND, true, false, "below it nothing can be traded"},
    {"default_risk.portfolio_risk_percent", NO_BOUND, BOUND(20), false, true, "all trades together may lose a lot"},
    {"default_risk.max_concurrent_trades", BOUND(1), NO_BOUND, true, false, NULL},
    {"currencies", BOUND(1), NO_BOUND, true, false, "an account trades at least one currency"},
    {"currencies[].symbol", BOUND(1), NO_BOUND, true, false, "a currency needs a symbol"},
    {"currencies[].risk.risk_percent", BOUND(0.1), NO_BOUND, false, false, "below it nothing can be traded"},
    {"currencies[].risk.risk_percent", NO_BOUND, BOUND(10), false, true, "one trade may lose a lot"},
    {"currencies[].risk.max_positions", BOUND(1), NO_BOUND, false, false, NULL},
    {"currencies[].risk.portfolio_risk_percent", BOUND(1), NO_BOUND, false, false, "below it nothing can be traded"},
    {"currencies[].risk.portfolio_risk_percent", NO_BOUND, BOUND(20), false, true,
     "all trades together may lose a lot"},
    {"currencies[].risk.max_concurrent_trades", BOUND(1), NO_BOUND, false, false, NULL},
};

static void rule_done(struct rule *rule)
{
    free(rule->field);
    free(rule->text);
    reeve_strv_done(&rule->one_of);
}

// Takes the rule in any case.
static enum reeve_err keep(struct reeve_account_rules *rules, struct rule *rule)
{
    struct rule *items = rules->len < RULES_MAX ? reallocarray(rules->items, rules->len + 1, sizeof *items) : NULL;
    if (items == NULL) {
        rule_done(rule);
        return rules->len < RULES_MAX ? REEVE_NOMEM : REEVE_LIMIT;
    }
    rules->items = items;
    rules->items[rules->len++] = *rule;
    return REEVE_OK;
}

enum reeve_err reeve_account_rules_new(struct reeve_account_rules **ret)
{
    struct reeve_account_rules *rules = calloc(1, sizeof *rules);
    enum reeve_err err = rules != NULL ? REEVE_OK : REEVE_NOMEM;
    for (size_t i = 0; err == REEVE_OK && i < REEVE_ARRAY_LEN(built_in); i++) {
        struct rule rule = {.field = strdup(built_in[i].field),
                            .min = built_in[i].min,
                            .max = built_in[i].max,
                            .required = built_in[i].required,
                            .warning = built_in[i].warning,
                            .text = built_in[i].text != NULL ? strdup(built_in[i].text) : NULL};
        if (rule.field == NULL || (rule.text == NULL && built_in[i].text != NULL)) {
            rule_done(&rule);
            err = REEVE_NOMEM;
        } else {
            err = keep(rules, &rule);
        }
    }
    if (err != REEVE_OK) {
        reeve_account_rules_free(rules);
        return err;
    }
    *ret = rules;
    return REEVE_OK;
}

static void truncate_rules(struct reeve_account_rules *rules, size_t len)
{
    while (rules->len > len) {
        rule_done(&rules->items[--rules->len]);
    }
}

void reeve_account_rules_free(struct reeve_account_rules *rules)
{
    if (rules != NULL) {
        truncate_rules(rules, 0);
        free(rules->items);
        free(rules);
    }
}

// ---- judging --------------------------------------------------------------------------------------------------------

struct judge {
    const struct rule *rule;
    bool given_only;
    struct reeve_errors *errors;
};

static void say(const struct judge *judge, const struct reeve_value *value, const char *path, const char *what)
{
    const char *text = judge->rule->text != NULL ? judge->rule->text : "";
    const char *colon = text[0] != '\0' ? ": " : "";
    if (reeve_errors_has(judge->errors, path)) {
        return; // one mistake at a place is enough
    }
    if (judge->rule->warning) {
        reeve_errors_warn(judge->errors, value, path, "%s%s%s", what, colon, text);
    } else {
        reeve_errors_add(judge->errors, value, path, "%s%s%s", what, colon, text);
    }
}

static bool real_of(const struct reeve_value *value, double *ret)
{
    enum reeve_kind kind = reeve_value_kind(value);
    if (kind == REEVE_INT || kind == REEVE_FLOAT) {
        *ret = reeve_value_real(value, 0);
        return true;
    }
    return false;
}

static bool number_in_text(const char *text, double *ret)
{
    char *end;
    if (text[0] == '\0' || text[strspn(text, "+-.0123456789eE")] != '\0') {
        return false;
    }
    *ret = strtod(text, &end);
    return *end == '\0' && isfinite(*ret);
}

static bool unit_of(const char *text, int measure, double *ret)
{
    int64_t number;
    enum reeve_err err =
        measure == MEASURE_DURATION ? reeve_duration_parse(text, &number, NULL) : reeve_size_parse(text, &number, NULL);
    *ret = err == REEVE_OK ? (double)number : 0;
    return err == REEVE_OK;
}

// What the value comes to. `what` says of what: "characters", "entries", or "" for a number.
static bool measured(const struct rule *rule, const struct reeve_value *value, double *ret, const char **ret_what)
{
    const char *text = reeve_value_kind(value) == REEVE_STR ? reeve_value_text(value) : NULL;
    *ret_what = "";
    if (rule->measure != MEASURE_NUMBER) {
        return text != NULL && unit_of(text, rule->measure, ret);
    }
    const char *last = strrchr(rule->field, '.');
    bool numeric = text != NULL && last != NULL && account_is_risk(last + 1);
    if (real_of(value, ret) || (numeric && number_in_text(text, ret))) {
        return true;
    }
    bool container = reeve_value_kind(value) == REEVE_LIST || reeve_value_kind(value) == REEVE_MAP;
    *ret_what = container ? "entries" : "characters";
    *ret = (double)reeve_value_len(value);
    return container || text != NULL;
}

static const char *bound_text(const struct rule *rule, double number, char buf[REEVE_UNITS_TEXT_LEN])
{
    switch ((enum measure)rule->measure) {
    case MEASURE_DURATION:
        return reeve_duration_format((int64_t)number, buf);
    case MEASURE_SIZE:
        return reeve_size_format((int64_t)number, buf);
    case MEASURE_NUMBER:
        break;
    }
    (void)snprintf(buf, REEVE_UNITS_TEXT_LEN, "%.12g", number);
    return buf;
}

static void judge_bounds(const struct judge *judge, const struct reeve_value *value, const char *path)
{
    const struct rule *rule = judge->rule;
    char what[160];
    char number_text[REEVE_UNITS_TEXT_LEN];
    char limit_text[REEVE_UNITS_TEXT_LEN];
    const char *unit;
    double number;
    if (!rule->min.given && !rule->max.given) {
        return;
    }
    if (!measured(rule, value, &number, &unit)) {
        say(judge, value, path,
            rule->measure == MEASURE_DURATION ? "is no duration such as 30s"
            : rule->measure == MEASURE_SIZE   ? "is no size such as 512M"
                                              : "is nothing that has a size");
        return;
    }
    bool below = rule->min.given && number < rule->min.number;
    bool above = rule->max.given && number > rule->max.number;
    if (!below && !above) {
        return;
    }
    const char *limit = bound_text(rule, below ? rule->min.number : rule->max.number, limit_text);
    if (unit[0] != '\0' && number == 0) {
        (void)snprintf(what, sizeof what, "is empty");
    } else if (account_path_secret(path)) {
        (void)snprintf(what, sizeof what, "is %s %s", below ? "below" : "above", limit);
    } else {
        (void)snprintf(what, sizeof what, "%s%s%s is %s %s", bound_text(rule, number, number_text),
                       unit[0] != '\0' ? " " : "", unit, below ? "below the minimum of" : "above the maximum of",
                       limit);
    }
    say(judge, value, path, what);
}

static const char *scalar_text(const struct reeve_value *value, char buf[40])
{
    switch (reeve_value_kind(value)) {
    case REEVE_STR:
        return reeve_value_text(value);
    case REEVE_BOOL:
        return reeve_value_truth(value, false) ? "true" : "false";
    case REEVE_INT:
        (void)snprintf(buf, 40, "%lld", (long long)reeve_value_number(value, 0));
        return buf;
    case REEVE_FLOAT:
        (void)snprintf(buf, 40, "%.12g", reeve_value_real(value, 0));
        return buf;
    case REEVE_NULL:
    case REEVE_BIN:
    case REEVE_LIST:
    case REEVE_MAP:
        break;
    }
    return NULL;
}

static void judge_choice(const struct judge *judge, const struct reeve_value *value, const char *path)
{
    const struct reeve_strv *one_of = &judge->rule->one_of;
    char number[40];
    char quoted[80];
    const char *text = scalar_text(value, number);
    if (one_of->len == 0 || (text != NULL && reeve_strv_has(one_of, text))) {
        return;
    }
    REEVE_BUF_AUTO what = REEVE_BUF_INIT(400);
    const char *shown =
        text == NULL || account_path_secret(path) ? "this" : reeve_log_quote(text, quoted, sizeof quoted);
    reeve_buf_printf(&what, "%s is none of ", shown);
    for (size_t i = 0; i < one_of->len && what.len < 150; i++) {
        reeve_buf_printf(&what, "%s%s", i > 0 ? ", " : "", one_of->items[i]);
    }
    say(judge, value, path, reeve_buf_str(&what));
}

static void judge_missing(const struct judge *judge, const struct reeve_value *parent, const char *path)
{
    if (judge->rule->required && !judge->given_only) {
        say(judge, parent, path, "is missing");
    }
}

// The value at `rest` of a path, below `value`, which is at `path`.
static void judge_path(const struct judge *judge, const struct reeve_value *value, const char *path, const char *rest);

static void judge_each(const struct judge *judge, const struct reeve_value *list, const char *path, const char *rest)
{
    for (size_t i = 0; reeve_value_kind(list) == REEVE_LIST && i < reeve_value_len(list); i++) {
        char buf[REEVE_PATH_SIZE];
        char name[32];
        (void)snprintf(name, sizeof name, "[%zu]", i);
        judge_path(judge, reeve_value_at(list, i), reeve_path_join(buf, path, name), rest);
    }
}

static void judge_path(const struct judge *judge, const struct reeve_value *value, const char *path, const char *rest)
{
    char name[FIELD_MAX + 1];
    char buf[REEVE_PATH_SIZE];
    if (*rest == '\0') {
        judge_bounds(judge, value, path);
        judge_choice(judge, value, path);
        return;
    }
    if (reeve_value_kind(value) != REEVE_MAP) {
        return; // the table has said what it should be
    }
    size_t len = strcspn(rest, ".[");
    (void)snprintf(name, sizeof name, "%.*s", (int)(len < FIELD_MAX ? len : FIELD_MAX), rest);
    const struct reeve_value *item = reeve_value_get(value, name);
    (void)reeve_path_join(buf, path, name);
    if (reeve_value_kind(item) == REEVE_NULL) {
        judge_missing(judge, value, buf);
        return;
    }
    if (rest[len] == '[') {
        judge_each(judge, item, buf, rest[len + 2] == '.' ? rest + len + 3 : "");
        return;
    }
    judge_path(judge, item, buf, rest[len] == '.' ? rest + len + 1 : "");
}

void reeve_account_rules_judge(const struct reeve_account_rules *rules, const struct reeve_value *account,
                               bool given_only, struct reeve_errors *errors)
{
    for (size_t i = 0; i < rules->len; i++) {
        const struct judge judge = {.rule = &rules->items[i], .given_only = given_only, .errors = errors};
        judge_path(&judge, account, "", rules->items[i].field);
    }
}

// ---- rules of a project ---------------------------------------------------------------------------------------------

struct rule_row { // as it is written
    char *field;
    struct reeve_value *min, *max;
    struct reeve_strv one_of;
    bool required;
    int severity;
    char *text;
};
struct rules_file {
    struct reeve_records rules;
};

// A name of the account's table: so much can be checked of a field; below `worker` and the maps anything goes.
static bool known_field(const char *field, const char **ret_near)
{
    static const char *names[64];
    char first[FIELD_MAX + 1];
    size_t len = strcspn(field, ".[");
    (void)snprintf(first, sizeof first, "%.*s", (int)(len < FIELD_MAX ? len : FIELD_MAX), field);
    const struct reeve_record *record = &reeve_account_record;
    REEVE_ASSERT(record->fields_len < REEVE_ARRAY_LEN(names));
    for (size_t i = 0; i < record->fields_len; i++) {
        names[i] = record->fields[i].name;
        names[i + 1] = NULL;
        if (strcmp(record->fields[i].name, first) == 0) {
            return true;
        }
    }
    *ret_near = reeve_near(first, names);
    return false;
}

// a.b[].c: names with dots, `[]` only at the end of a name.
static bool well_formed(const char *field)
{
    size_t len = strlen(field);
    for (size_t i = 0; i < len; i++) {
        bool name_before = i > 0 && field[i - 1] != '.' && field[i - 1] != '[';
        bool ends = field[i + 1] == '\0' || field[i + 1] == '.';
        if ((field[i] == '.' && (!name_before || field[i + 1] == '\0')) ||
            (field[i] == ']' && (i == 0 || field[i - 1] != '[' || !ends)) ||
            (field[i] == '[' && (!name_before || field[i - 1] == ']' || field[i + 1] != ']'))) {
            return false;
        }
    }
    return len > 0;
}

// A bound and how it is to be measured; an error about anything else.
static bool read_bound(const struct reeve_value *value, const char *path, struct bound *ret, int *ret_measure,
                       struct reeve_errors *errors)
{
    const char *text = reeve_value_kind(value) == REEVE_STR ? reeve_value_text(value) : NULL;
    double number;
    int measure = MEASURE_NUMBER;
    if (reeve_value_kind(value) == REEVE_NULL) {
        return true;
    }
    bool ok = real_of(value, &number) || (text != NULL && number_in_text(text, &number));
    for (int unit = MEASURE_DURATION; !ok && text != NULL && unit <= MEASURE_SIZE; unit++) {
        ok = unit_of(text, unit, &number);
        measure = unit;
    }
    if (!ok) {
        reeve_errors_add(errors, value, path,
                         "is no bound, expected a number, a duration such as 30s or a size such as 512M");
        return false;
    }
    *ret = (struct bound){true, number};
    *ret_measure = measure;
    return true;
}

static void check_row_bounds(const struct rule_row *row, const char *path, struct reeve_errors *errors)
{
    char buf[REEVE_PATH_SIZE];
    struct bound min = NO_BOUND;
    struct bound max = NO_BOUND;
    int min_measure = MEASURE_NUMBER;
    int max_measure = MEASURE_NUMBER;
    bool ok = read_bound(row->min, reeve_path_join(buf, path, "min"), &min, &min_measure, errors);
    ok = read_bound(row->max, reeve_path_join(buf, path, "max"), &max, &max_measure, errors) && ok;
    if (ok && min.given && max.given && (min_measure != max_measure || min.number > max.number)) {
        reeve_errors_add(errors, row->max, reeve_path_join(buf, path, "max"),
                         min_measure != max_measure ? "is of another kind than min" : "is below min");
    }
}

static void check_row(const void *object, const struct reeve_value *value, const char *path,
                      struct reeve_errors *errors)
{
    const struct rule_row *row = object;
    char buf[REEVE_PATH_SIZE];
    const char *near = NULL;
    const struct reeve_value *field = reeve_value_get(value, "field");
    check_row_bounds(row, path, errors);
    if (row->field != NULL && !well_formed(row->field)) {
        reeve_errors_add(errors, field, reeve_path_join(buf, path, "field"),
                         "is no field, expected names such as default_risk.risk_percent or currencies[].strategy");
    } else if (row->field != NULL && !known_field(row->field, &near)) {
        reeve_errors_add(errors, field, reeve_path_join(buf, path, "field"), "accounts have no such key%s%s%s",
                         near != NULL ? ", did you mean " : "", near != NULL ? near : "", near != NULL ? "?" : "");
    }
    if (row->min == NULL && row->max == NULL && row->one_of.len == 0 && !row->required) {
        reeve_errors_add(errors, value, path, "asks for nothing, expected min, max, one_of or required");
    }
}

static const struct reeve_choice severity_choices[] = {{"error", 0}, {"warning", 1}, {NULL, 0}};

#define AT(member) offsetof(struct rule_row, member)
static const struct reeve_field row_fields[] = {
    {.name = "field",
     .type = REEVE_FIELD_STR,
     .flags = REEVE_FIELD_REQUIRED,
     .offset = AT(field),
     .min = 1,
     .max = FIELD_MAX,
     .doc = "`default_risk.risk_percent`; `currencies[].strategy` is about each of them."},
    {.name = "min",
     .type = REEVE_FIELD_VALUE,
     .offset = AT(min),
     .doc = "Smallest number, duration (`30s`) or size (`512M`); of a text its characters, of a list its entries."},
    {.name = "max", .type = REEVE_FIELD_VALUE, .offset = AT(max), .doc = "Largest."},
    {.name = "one_of",
     .type = REEVE_FIELD_STRV,
     .flags = REEVE_FIELD_SCALAR_OK,
     .offset = AT(one_of),
     .min = 1,
     .max = ONE_OF_MAX,
     .doc = "Allowed values."},
    {.name = "required",
     .type = REEVE_FIELD_BOOL,
     .offset = AT(required),
     .doc = "It must be there, here or in the defaults."},
    {.name = "severity",
     .type = REEVE_FIELD_CHOICE,
     .offset = AT(severity),
     .choices = severity_choices,
     .preset = "error",
     .doc = "An account with an error is not started."},
    {.name = "text",
     .type = REEVE_FIELD_STR,
     .offset = AT(text),
     .min = 1,
     .max = TEXT_MAX,
     .doc = "Why, for who reads the message."},
};
#undef AT
static const struct reeve_record row_record = {.name = "rules",
                                               .size = sizeof(struct rule_row),
                                               .fields = row_fields,
                                               .fields_len = REEVE_ARRAY_LEN(row_fields),
                                               .doc = "One rule.",
                                               .check = check_row};
static const struct reeve_field file_fields[] = {
    {.name = "rules",
     .type = REEVE_FIELD_RECORDS,
     .flags = REEVE_FIELD_REQUIRED,
     .offset = offsetof(struct rules_file, rules),
     .min = 0,
     .max = RULES_MAX - (int64_t)REEVE_ARRAY_LEN(built_in),
     .record = &row_record,
     .doc = "Rules, on top of the built-in ones."},
};
static const struct reeve_record file_record =
    REEVE_RECORD("rules.yaml", struct rules_file, file_fields, "Rules of a project.");

// Out of a row that was checked; takes its strings.
static struct rule rule_of(struct rule_row *row)
{
    struct rule rule = {.field = row->field,
                        .one_of = row->one_of,
                        .required = row->required,
                        .warning = row->severity == 1,
                        .text = row->text};
    (void)read_bound(row->min, "", &rule.min, &rule.measure, NULL); /* was checked */
    (void)read_bound(row->max, "", &rule.max, &rule.measure, NULL); /* was checked */
    row->field = row->text = NULL;
    row->one_of = (struct reeve_strv){0};
    return rule;
}

enum reeve_err reeve_account_rules_add(struct reeve_account_rules *rules, const struct reeve_value *document,
                                       struct reeve_errors *errors)
{
    struct rules_file file;
    size_t before = rules->len;
    enum reeve_err err = reeve_record_decode(&file_record, document, "", &file, errors);
    if (err != REEVE_OK) {
        return err;
    }
    for (size_t i = 0; err == REEVE_OK && i < file.rules.len; i++) {
        struct rule rule = rule_of(&((struct rule_row *)file.rules.items)[i]);
        err = keep(rules, &rule);
        if (err == REEVE_LIMIT) {
            reeve_errors_add(errors, document, "rules", "are too many, at most %d with the built-in ones", RULES_MAX);
        }
    }
    if (err != REEVE_OK) {
        truncate_rules(rules, before);
    }
    reeve_record_done(&file_record, &file);
    return err;
}

enum reeve_err reeve_account_rules_load(struct reeve_account_rules *rules, const char *path,
                                        struct reeve_errors *errors)
{
    REEVE_VALUE_AUTO document = NULL;
    struct reeve_why why = {0};
    enum reeve_err err = reeve_file_read_value(path, &reeve_limits_file, &document, &why);
    if (err != REEVE_OK) {
        reeve_errors_add_why(errors, &why);
        return err;
    }
    return reeve_account_rules_add(rules, document, errors);
}

// ---- the reference --------------------------------------------------------------------------------------------------

static void print_built_in(struct reeve_buf *buf)
{
    reeve_buf_puts(buf, "### Built-in rules\n\n| field | at least | at most | otherwise | |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < REEVE_ARRAY_LEN(built_in); i++) {
        char min[32] = "";
        char max[32] = "";
        if (built_in[i].min.given) {
            (void)snprintf(min, sizeof min, "%g", built_in[i].min.number);
        }
        if (built_in[i].max.given) {
            (void)snprintf(max, sizeof max, "%g", built_in[i].max.number);
        }
        reeve_buf_printf(buf, "| `%s` | %s | %s | %s%s | %s |\n", built_in[i].field, min, max,
                         built_in[i].warning ? "warning" : "error", built_in[i].required ? ", and if missing" : "",
                         built_in[i].text != NULL ? built_in[i].text : "");
    }
}

// Of the defaults only what accounts do not have.
static enum reeve_err print_defaults(struct reeve_buf *buf)
{
    struct reeve_record own = account_defaults_record;
    own.fields = &account_defaults_record.fields[account_defaults_record.fields_len - 1];
    own.fields_len = 1;
    REEVE_ASSERT(strcmp(own.fields->name, "watch") == 0);
    own.doc =
        "`defaults.yaml` of the directory: what accounts leave out. The same keys but `account_id` and `login`, and:";
    return reeve_record_markdown(&own, 3, buf);
}

enum reeve_err reeve_account_markdown(struct reeve_buf *buf)
{
    enum reeve_err err = reeve_record_markdown(&reeve_account_record, 3, buf);
    err = err == REEVE_OK ? print_defaults(buf) : err;
    err = err == REEVE_OK ? reeve_record_markdown(&file_record, 3, buf) : err;
    print_built_in(buf);
    return err == REEVE_OK ? buf->err : err;
}
