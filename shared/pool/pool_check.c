// Rules across the fields of a pool spec. Each reports at the field that a person would change.
// Must not: judge again what a field is wrong by itself about, or look at cron expressions; the manager knows those.
#include "pool_internal.h"

#include <reeve/units.h>

#include <stdio.h>
#include <string.h>

// An error about two fields, unless one of them is wrong by itself.
static bool sound(const struct reeve_errors *errors, const char *path, const char *key)
{
    char buf[REEVE_PATH_SIZE];
    return !reeve_errors_has(errors, reeve_path_join(buf, path, key));
}

// ---- placement ----------------------------------------------------------------------------------------

typedef bool entry_check(const char *text, struct reeve_why *why);

static bool requirement_ok(const char *text, struct reeve_why *why)
{
    struct reeve_requirement requirement;
    return reeve_requirement_parse(text, &requirement, why) == REEVE_OK;
}

static bool spread_ok(const char *text, struct reeve_why *why)
{
    static const char *const names[] = {"node", "region", NULL};
    if (strcmp(text, names[0]) == 0 || strcmp(text, names[1]) == 0) {
        return true;
    }
    const char *near = reeve_near(text, names);
    (void)reeve_fail(why, REEVE_INVALID, "is not known%s%s%s, expected node or region",
                     near != NULL ? ", did you mean " : "", near != NULL ? near : "", near != NULL ? "?" : "");
    return false;
}

static void check_entries(const struct reeve_strv *list, const struct reeve_value *value, const char *path,
                          const char *key, entry_check *ok, struct reeve_errors *errors)
{
    const struct reeve_value *given = reeve_value_get(value, key);
    for (size_t i = 0; i < list->len; i++) {
        char name[64];
        char buf[REEVE_PATH_SIZE];
        struct reeve_why why = {0};
        if (ok(list->items[i], &why)) {
            continue;
        }
        (void)snprintf(name, sizeof(name), "%s[%zu]", key, i);
        reeve_errors_add(errors, reeve_value_kind(given) == REEVE_LIST ? reeve_value_at(given, i) : given,
                         reeve_path_join(buf, path, name), "%s", why.text);
    }
}

static void check_regions(const struct reeve_records *regions, const struct reeve_value *value, const char *path,
                          struct reeve_errors *errors)
{
    const struct reeve_pool_region *items = regions->items;
    for (size_t i = 0; i < regions->len; i++) {
        for (size_t earlier = 0; earlier < i; earlier++) {
            char name[32];
            char buf[REEVE_PATH_SIZE];
            if (!reeve_str_eq(items[i].region, items[earlier].region)) {
                continue;
            }
            (void)snprintf(name, sizeof(name), "regions[%zu].region", i);
            reeve_errors_add(errors, reeve_value_get(reeve_value_at(reeve_value_get(value, "regions"), i), "region"),
                             reeve_path_join(buf, path, name), "%s is given twice: keep one of them", items[i].region);
            break;
        }
    }
}

void pool_check_placement(const void *object, const struct reeve_value *value, const char *path,
                          struct reeve_errors *errors)
{
    const struct reeve_pool_placement *placement = object;
    char buf[REEVE_PATH_SIZE];
    check_entries(&placement->require, value, path, "require", requirement_ok, errors);
    check_entries(&placement->prefer, value, path, "prefer", requirement_ok, errors);
    check_entries(&placement->spread, value, path, "spread", spread_ok, errors);
    check_regions(&placement->regions, value, path, errors);
    if (placement->near_max_ms > 0 && !pool_given(value, "near")) {
        reeve_errors_add(errors, reeve_value_get(value, "near_max"), reeve_path_join(buf, path, "near_max"),
                         "only counts with near, which is not given");
    }
}

// ---- scaling ------------------------------------------------------------------------------------------

void pool_check_schedule(const void *object, const struct reeve_value *value, const char *path,
                         struct reeve_errors *errors)
{
    const struct reeve_pool_schedule *schedule = object;
    char buf[REEVE_PATH_SIZE];
    if (schedule->min >= 0 && schedule->max >= 0 && schedule->min > schedule->max) {
        reeve_errors_add(errors, reeve_value_get(value, "min"), reeve_path_join(buf, path, "min"),
                         "%lld is above max, which is %lld", (long long)schedule->min, (long long)schedule->max);
    }
    if (schedule->min < 0 && schedule->max < 0 && sound(errors, path, "min") && sound(errors, path, "max")) {
        reeve_errors_add(errors, value, path, "has neither min nor max: it would change nothing");
    }
}

// What a metric is counted in, for examples in messages.
static const char *example(int metric)
{
    return reeve_pool_metric_is_time(metric) ? "30s" : metric == REEVE_METRIC_UTILISATION ? "0.7" : "20";
}

static void check_target(const struct reeve_pool_scaling *scaling, const struct reeve_value *value, const char *path,
                         struct reeve_errors *errors)
{
    static const char *const thresholds[] = {"up_above", "down_below"};
    char buf[REEVE_PATH_SIZE];
    if (!(scaling->target > 0) && sound(errors, path, "target")) {
        reeve_errors_add(errors, reeve_value_get(value, "target"), reeve_path_join(buf, path, "target"),
                         "is 0, expected a target above it such as %s", example(scaling->metric));
    }
    for (size_t i = 0; i < REEVE_ARRAY_LEN(thresholds); i++) {
        if (pool_given(value, thresholds[i])) {
            reeve_errors_add(errors, reeve_value_get(value, thresholds[i]), reeve_path_join(buf, path, thresholds[i]),
                             "and target are both given: scale by thresholds or to a target");
        }
    }
}

static double threshold(const struct reeve_value *value, const char *key, double given, double preset)
{
    return pool_given(value, key) ? given : preset;
}

static void check_thresholds(const struct reeve_pool_scaling *scaling, const struct reeve_value *value,
                             const char *path, struct reeve_errors *errors)
{
    char buf[REEVE_PATH_SIZE];
    bool up = pool_given(value, "up_above");
    bool down = pool_given(value, "down_below");
    if (scaling->metric != REEVE_METRIC_DEPTH && (!up || !down)) {
        reeve_errors_add(
            errors, value, reeve_path_join(buf, path, up ? "down_below" : "up_above"),
            "is missing: the metric %s has no preset, expected target, or up_above and down_below, such as %s",
            reeve_pool_metric_text(scaling->metric), example(scaling->metric));
        return;
    }
    double above = threshold(value, "up_above", scaling->up_above, POOL_UP_ABOVE_PRESET);
    double below = threshold(value, "down_below", scaling->down_below, POOL_DOWN_BELOW_PRESET);
    if (below > above && sound(errors, path, "up_above") && sound(errors, path, "down_below")) {
        const char *key = down ? "down_below" : "up_above";
        reeve_errors_add(errors, reeve_value_get(value, key), reeve_path_join(buf, path, key),
                         "the size would go up and down at once: down_below is %.12g%s, up_above is %.12g%s", below,
                         reeve_pool_metric_is_time(scaling->metric) ? " ms" : "", above,
                         reeve_pool_metric_is_time(scaling->metric) ? " ms" : "");
    }
}

static void check_share(const struct reeve_value *value, const char *path, const char *key, double number,
                        struct reeve_errors *errors)
{
    char buf[REEVE_PATH_SIZE];
    if (pool_given(value, key) && number > 1 && sound(errors, path, key)) {
        reeve_errors_add(errors, reeve_value_get(value, key), reeve_path_join(buf, path, key),
                         "%.12g is above 1, expected a share of the workers such as 0.7", number);
    }
}

void pool_check_scaling(const void *object, const struct reeve_value *value, const char *path,
                        struct reeve_errors *errors)
{
    const struct reeve_pool_scaling *scaling = object;
    if (!sound(errors, path, "metric")) {
        return; // the numbers belong to another one
    }
    if (scaling->metric == REEVE_METRIC_UTILISATION) {
        check_share(value, path, "target", scaling->target, errors);
        check_share(value, path, "up_above", scaling->up_above, errors);
        check_share(value, path, "down_below", scaling->down_below, errors);
    }
    if (pool_given(value, "target")) {
        check_target(scaling, value, path, errors);
    } else {
        check_thresholds(scaling, value, path, errors);
    }
}

// ---- update, acquire --------------------------------------------------------------------------------------

void pool_check_update(const void *object, const struct reeve_value *value, const char *path,
                       struct reeve_errors *errors)
{
    const struct reeve_pool_update *update = object;
    char buf[REEVE_PATH_SIZE];
    char healthy[REEVE_UNITS_TEXT_LEN];
    char deadline[REEVE_UNITS_TEXT_LEN];
    if (update->healthy_ms >= update->deadline_ms && sound(errors, path, "healthy") &&
        sound(errors, path, "deadline")) {
        const char *key = pool_given(value, "healthy") ? "healthy" : "deadline";
        reeve_errors_add(errors, reeve_value_get(value, key), reeve_path_join(buf, path, key),
                         "no new worker could count in time: healthy is %s, deadline is %s",
                         reeve_duration_format(update->healthy_ms, healthy),
                         reeve_duration_format(update->deadline_ms, deadline));
    }
    if (pool_given(value, "canary_wait") && !pool_given(value, "canary")) {
        reeve_errors_warn(errors, reeve_value_get(value, "canary_wait"), reeve_path_join(buf, path, "canary_wait"),
                          "only counts with canary, which is not given");
    }
}

void pool_check_acquire(const void *object, const struct reeve_value *value, const char *path,
                        struct reeve_errors *errors)
{
    const struct reeve_pool_acquire *acquire = object;
    char buf[REEVE_PATH_SIZE];
    char lease[REEVE_UNITS_TEXT_LEN];
    char max[REEVE_UNITS_TEXT_LEN];
    if (acquire->lease_ms > acquire->lease_max_ms && sound(errors, path, "lease") && sound(errors, path, "lease_max")) {
        const char *key = pool_given(value, "lease") ? "lease" : "lease_max";
        reeve_errors_add(errors, reeve_value_get(value, key), reeve_path_join(buf, path, key),
                         "lease is %s, above lease_max, which is %s", reeve_duration_format(acquire->lease_ms, lease),
                         reeve_duration_format(acquire->lease_max_ms, max));
    }
}

// ---- the pool -----------------------------------------------------------------------------------------

struct pool_bounds pool_bounds(const struct reeve_pool_spec *pool, const struct reeve_value *value)
{
    bool scaled = pool_given(value, "scaling");
    struct pool_bounds bounds = {.min = pool->min, .max = pool->max};
    if (!pool_given(value, "min")) {
        bounds.min = scaled ? POOL_MIN_PRESET_SCALED : 0;
    }
    if (!pool_given(value, "max")) {
        bounds.max = pool->partition.single_active ? 1 : scaled ? POOL_MAX_PRESET_SCALED : REEVE_POOL_SIZE_MAX;
    }
    return bounds;
}

// What is checked about a pool as a whole.
struct whole {
    const struct reeve_pool_spec *pool;
    const struct reeve_value *value;
    const char *path;
    struct reeve_errors *errors;
    struct pool_bounds bounds;
};

// Adds an error at `key`, unless that was wrong by itself.
__attribute__((format(printf, 3, 4))) static void complain(const struct whole *whole, const char *key, const char *fmt,
                                                           ...)
{
    char path[REEVE_PATH_SIZE];
    char text[256];
    va_list ap;
    const struct reeve_value *at = whole->value;
    const char *rest = key;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    for (size_t len; *rest != '\0'; rest += len + (rest[len] == '.')) { // the deepest part of `key` that is there
        char name[64];
        len = strcspn(rest, ".");
        (void)snprintf(name, sizeof(name), "%.*s", (int)len, rest);
        const struct reeve_value *below = reeve_value_get(at, name);
        if (below == NULL) {
            break;
        }
        at = below;
    }
    if (sound(whole->errors, whole->path, key)) {
        reeve_errors_add(whole->errors, at, reeve_path_join(path, whole->path, key), "%s", text);
    }
}

static bool given_in(const struct whole *whole, const char *part, const char *key)
{
    return pool_given(reeve_value_get(whole->value, part), key);
}

static void check_size_said(const struct whole *whole)
{
    bool said = pool_given(whole->value, "size") || pool_given(whole->value, "min") ||
                pool_given(whole->value, "scaling") || given_in(whole, "placement", "regions") ||
                reeve_get_bool(reeve_value_get(whole->value, "partition"), "single_active", false);
    if (!said) {
        complain(whole, "size", "is missing, expected a whole number such as 5, or scaling");
    }
}

static void check_bounds(const struct whole *whole)
{
    const struct pool_bounds *bounds = &whole->bounds;
    const char *scaled = pool_given(whole->value, "scaling") ? " with scaling" : "";
    int64_t size = whole->pool->size;
    if (!sound(whole->errors, whole->path, "min") || !sound(whole->errors, whole->path, "max")) {
        return;
    }
    if (bounds->min > bounds->max) {
        complain(whole, pool_given(whole->value, "min") ? "min" : "max",
                 "min is %lld%s%s, above max, which is %lld%s%s", (long long)bounds->min,
                 pool_given(whole->value, "min") ? "" : " by preset", pool_given(whole->value, "min") ? "" : scaled,
                 (long long)bounds->max, pool_given(whole->value, "max") ? "" : " by preset",
                 pool_given(whole->value, "max") ? "" : scaled);
        return;
    }
    if (pool_given(whole->value, "size") && size < bounds->min) {
        complain(whole, "size", "%lld is below min, which is %lld%s%s", (long long)size, (long long)bounds->min,
                 pool_given(whole->value, "min") ? "" : " by preset", pool_given(whole->value, "min") ? "" : scaled);
    }
    if (pool_given(whole->value, "size") && size > bounds->max && !whole->pool->partition.single_active) {
        complain(whole, "size", "%lld is above max, which is %lld%s%s", (long long)size, (long long)bounds->max,
                 pool_given(whole->value, "max") ? "" : " by preset", pool_given(whole->value, "max") ? "" : scaled);
    }
}

static int64_t regions_sum(const struct reeve_records *regions)
{
    const struct reeve_pool_region *items = regions->items;
    int64_t sum = 0;
    for (size_t i = 0; i < regions->len; i++) {
        sum += items[i].size;
    }
    return sum;
}

static void check_regional(const struct whole *whole)
{
    const struct reeve_records *regions = &whole->pool->placement.regions;
    int64_t sum = regions_sum(regions);
    if (regions->len == 0) {
        return;
    }
    if (pool_given(whole->value, "scaling")) {
        complain(whole, "placement.regions", "can't be scaled: make it a pool per region, each with scaling");
    } else if (pool_given(whole->value, "size") && sum != whole->pool->size &&
               sound(whole->errors, whole->path, "size")) {
        complain(whole, "placement.regions", "have %lld workers together, but size is %lld: leave size out",
                 (long long)sum, (long long)whole->pool->size);
    } else if (sum < whole->bounds.min || sum > whole->bounds.max) {
        complain(whole, "placement.regions", "have %lld workers together, expected %lld to %lld", (long long)sum,
                 (long long)whole->bounds.min, (long long)whole->bounds.max);
    }
}

static void check_schedules(const struct whole *whole)
{
    const struct reeve_pool_schedule *items = whole->pool->scaling.schedules.items;
    for (size_t i = 0; i < whole->pool->scaling.schedules.len; i++) {
        const struct reeve_value *list = reeve_value_get(reeve_value_get(whole->value, "scaling"), "schedules");
        bool raised = items[i].max < 0 && items[i].min > whole->bounds.max;
        bool lowered = items[i].min < 0 && items[i].max >= 0 && items[i].max < whole->bounds.min;
        const char *key = raised ? "min" : "max";
        char path[REEVE_PATH_SIZE];
        char name[48];
        if (!raised && !lowered) {
            continue;
        }
        (void)snprintf(name, sizeof(name), "scaling.schedules[%zu].%s", i, key);
        reeve_errors_add(
            whole->errors, reeve_value_get(reeve_value_at(list, i), key), reeve_path_join(path, whole->path, name),
            "%lld is %s the pool's %s, which is %lld: give the "
            "schedule a %s too",
            (long long)(raised ? items[i].min : items[i].max), raised ? "above" : "below", raised ? "max" : "min",
            (long long)(raised ? whole->bounds.max : whole->bounds.min), raised ? "max" : "min");
    }
}

// The worker's time from the signal to its end, as the template says or as the table of specs presets it.
static int64_t template_grace(const struct reeve_value *template)
{
    const char *text = reeve_get_str(reeve_value_get(template, "stop"), "grace");
    int64_t grace = 0;
    for (size_t i = 0; text == NULL && i < reeve_spec_record.fields_len; i++) {
        const struct reeve_field *field = &reeve_spec_record.fields[i];
        for (size_t at = 0; strcmp(field->name, "stop") == 0 && at < field->record->fields_len; at++) {
            text = strcmp(field->record->fields[at].name, "grace") == 0 ? field->record->fields[at].preset : text;
        }
    }
    (void)reeve_duration_parse(text != NULL ? text : "0", &grace, NULL); /* a wrong one is an error of the template */
    return grace;
}

static void check_fence(const struct whole *whole)
{
    const struct reeve_pool_partition *partition = &whole->pool->partition;
    bool given = given_in(whole, "partition", "self_stop_after");
    int64_t self_stop = given ? partition->self_stop_after_ms : partition->lost_after_ms / 2;
    int64_t grace = template_grace(reeve_value_get(whole->value, "template"));
    char lost_text[REEVE_UNITS_TEXT_LEN];
    char stop_text[REEVE_UNITS_TEXT_LEN];
    char grace_text[REEVE_UNITS_TEXT_LEN];
    bool fits = self_stop + grace + POOL_FENCE_MARGIN_MS <= partition->lost_after_ms;
    if (fits || !sound(whole->errors, whole->path, "partition.lost_after")) {
        return;
    }
    complain(whole, given ? "partition.self_stop_after" : "partition.lost_after",
             "two workers could run at once: self_stop_after %s + template.stop.grace %s + 1s have to be within "
             "lost_after, which is %s",
             reeve_duration_format(self_stop, stop_text), reeve_duration_format(grace, grace_text),
             reeve_duration_format(partition->lost_after_ms, lost_text));
}

static void check_single_active(const struct whole *whole)
{
    const struct reeve_pool_spec *pool = whole->pool;
    char path[REEVE_PATH_SIZE];
    if (!pool->partition.single_active) {
        if (given_in(whole, "partition", "self_stop_after")) {
            reeve_errors_warn(whole->errors,
                              reeve_value_get(reeve_value_get(whole->value, "partition"), "self_stop_after"),
                              reeve_path_join(path, whole->path, "partition.self_stop_after"),
                              "only counts with single_active, which is not given");
        }
        return;
    }
    if (pool->size > 1) {
        complain(whole, "size", "is %lld, but with single_active there is one worker", (long long)pool->size);
    }
    if (pool_given(whole->value, "max") && pool->max > 1) {
        complain(whole, "max", "is %lld, but with single_active there is one worker", (long long)pool->max);
    }
    if (pool_given(whole->value, "scaling")) {
        complain(whole, "scaling", "is given, but with single_active there is one worker");
    }
    if (pool->placement.regions.len > 0) {
        complain(whole, "placement.regions", "are given, but with single_active there is one worker");
    }
    if (given_in(whole, "update", "max_surge") && pool->update.max_surge > 0) {
        complain(whole, "update.max_surge", "is %lld, but with single_active the old worker ends first, expected 0",
                 (long long)pool->update.max_surge);
    }
    check_fence(whole);
}

static void check_replaceable(const struct whole *whole)
{
    const struct reeve_pool_update *update = &whole->pool->update;
    bool single = whole->pool->partition.single_active;
    bool surge = !single && update->max_surge > 0;
    bool unavailable = update->max_unavailable > 0 || (single && !given_in(whole, "update", "max_unavailable"));
    if (!surge && !unavailable && sound(whole->errors, whole->path, "update.max_unavailable")) {
        complain(whole, single ? "update.max_unavailable" : "update.max_surge",
                 "no worker could ever be replaced: max_unavailable and max_surge are both 0");
    }
}

static void check_template(const struct whole *whole)
{
    const struct reeve_value *template = reeve_value_get(whole->value, "template");
    if (!pool_given(whole->value, "template")) {
        complain(whole, "template", "is missing, expected a worker spec such as {type: swap}");
        return;
    }
    if (reeve_value_kind(template) != REEVE_MAP) {
        complain(whole, "template", "%s given, expected a worker spec such as {type: swap}",
                 reeve_kind_text(reeve_value_kind(template)));
        return;
    }
    if (pool_given(template, "name")) {
        complain(whole, "template.name", "is given, but the manager names a pool's workers: leave it out");
    }
    if (reeve_str_eq(reeve_get_str(template, "desired"), "stopped")) {
        complain(whole, "template.desired", "is stopped, but a pool's workers run: use size or paused");
    }
}

void pool_check_all(const void *object, const struct reeve_value *value, const char *path, struct reeve_errors *errors)
{
    const struct reeve_pool_spec *pool = object;
    struct whole whole = {pool, value, path, errors, pool_bounds(pool, value)};
    check_size_said(&whole);
    check_bounds(&whole);
    check_regional(&whole);
    check_schedules(&whole);
    check_single_active(&whole);
    check_replaceable(&whole);
    check_template(&whole);
}
