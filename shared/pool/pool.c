// One pool spec: decoding, settling what follows from more than one field, encoding, comparing.
// Must not: read files, or know nodes and workers.
#include "pool_internal.h"

#include <reeve/units.h>

#include <stdio.h>
#include <string.h>

static const char *const threshold_keys[] = {"target", "up_above", "down_below"};

// ---- durations among the thresholds ---------------------------------------------------------------------

static bool metric_is_time(const struct reeve_value *scaling)
{
    const char *metric = reeve_get_str(scaling, "metric");
    return reeve_str_eq(metric, reeve_pool_metric_text(REEVE_METRIC_AGE)) ||
           reeve_str_eq(metric, reeve_pool_metric_text(REEVE_METRIC_WAIT));
}

// The milliseconds of one threshold; 1 in place of what is wrong with it, which is said.
static int64_t threshold_ms(const struct reeve_value *value, const char *path, const char *key,
                            struct reeve_errors *errors)
{
    char buf[REEVE_PATH_SIZE];
    struct reeve_why why = {0};
    int64_t ms = 1;
    enum reeve_kind kind = reeve_value_kind(value);
    if (kind == REEVE_STR) {
        if (reeve_duration_parse(reeve_value_text(value), &ms, &why) == REEVE_OK) {
            return ms;
        }
    } else if ((kind == REEVE_INT || kind == REEVE_FLOAT) && reeve_value_real(value, 1) == 0) {
        return 0;
    } else if (kind == REEVE_INT) {
        long long number = reeve_value_number(value, 0);
        (void)reeve_fail(&why, REEVE_INVALID, "%lld has no unit, did you mean %llds or %lldms?", number, number,
                         number);
    } else {
        (void)reeve_fail(&why, REEVE_INVALID, "this is a %s, expected a duration such as 30s", reeve_kind_text(kind));
    }
    reeve_errors_add(errors, value, reeve_path_join(buf, path, key), "%s", why.text);
    return 1;
}

// With the metrics that are times, thresholds are written as durations: a copy with plain numbers in their place.
// *ret stays NULL where nothing has to be changed.
static enum reeve_err plain_thresholds(const struct reeve_value *value, const char *path, struct reeve_value **ret,
                                       struct reeve_errors *errors)
{
    char scaling_path[REEVE_PATH_SIZE];
    if (!metric_is_time(reeve_value_get(value, "scaling"))) {
        return REEVE_OK;
    }
    REEVE_VALUE_AUTO plain = reeve_value_clone(value);
    struct reeve_value *scaling = reeve_value_get_mut(plain, "scaling");
    (void)reeve_path_join(scaling_path, path, "scaling");
    for (size_t i = 0; scaling != NULL && i < REEVE_ARRAY_LEN(threshold_keys); i++) {
        const struct reeve_value *given = reeve_value_get(scaling, threshold_keys[i]);
        if (reeve_value_kind(given) == REEVE_NULL) {
            continue;
        }
        struct reeve_mark mark = reeve_value_mark(given);
        struct reeve_value *number = reeve_value_int(threshold_ms(given, scaling_path, threshold_keys[i], errors));
        if (number != NULL) {
            reeve_value_set_mark(number, mark);
        }
        (void)reeve_value_put(scaling, threshold_keys[i], number); /* remembered: reeve_value_built() */
    }
    if (plain == NULL || reeve_value_built(plain) != REEVE_OK) {
        return REEVE_NOMEM;
    }
    *ret = reeve_value_take(&plain);
    return REEVE_OK;
}

// ---- settling -------------------------------------------------------------------------------------------

static void settle_scaling(const struct reeve_value *value, struct reeve_pool_scaling *scaling)
{
    scaling->enabled = reeve_value_kind(value) == REEVE_MAP;
    scaling->has_target = pool_given(value, "target");
    if (scaling->enabled && !scaling->has_target && scaling->metric == REEVE_METRIC_DEPTH) {
        scaling->up_above = pool_given(value, "up_above") ? scaling->up_above : POOL_UP_ABOVE_PRESET;
        scaling->down_below = pool_given(value, "down_below") ? scaling->down_below : POOL_DOWN_BELOW_PRESET;
    }
    if (!pool_given(value, "cooldown_up")) {
        scaling->cooldown_up_ms = scaling->cooldown_ms;
    }
    if (!pool_given(value, "cooldown_down")) {
        scaling->cooldown_down_ms = scaling->cooldown_ms;
    }
}

static void settle_single_active(const struct reeve_value *value, struct reeve_pool_spec *pool)
{
    const struct reeve_value *update = reeve_value_get(value, "update");
    struct reeve_pool_partition *partition = &pool->partition;
    if (!partition->single_active) {
        partition->self_stop_after_ms = 0;
        return;
    }
    if (!pool_given(reeve_value_get(value, "partition"), "self_stop_after")) {
        partition->self_stop_after_ms = partition->lost_after_ms / 2;
    }
    partition->reconcile = REEVE_RECONCILE_RETURNED;
    pool->update.max_surge = 0;
    if (!pool_given(update, "max_unavailable")) {
        pool->update.max_unavailable = 1;
    }
    if (!pool_given(value, "size")) {
        pool->size = 1;
    }
}

static int64_t settled_size(const struct reeve_value *value, const struct reeve_pool_spec *pool)
{
    const struct reeve_pool_region *regions = pool->placement.regions.items;
    int64_t sum = 0;
    if (pool_given(value, "size")) {
        return pool->size;
    }
    for (size_t i = 0; i < pool->placement.regions.len; i++) {
        sum += regions[i].size;
    }
    return pool->placement.regions.len > 0 ? sum : -1;
}

// What follows from more than one field. Only on a spec that was decoded without error.
static enum reeve_err settle(const struct reeve_value *value, struct reeve_pool_spec *pool)
{
    struct pool_bounds bounds = pool_bounds(pool, value);
    struct reeve_strv *spread = &pool->placement.spread;
    enum reeve_err err = REEVE_OK;
    pool->min = bounds.min;
    pool->max = bounds.max;
    pool->size = settled_size(value, pool);
    settle_scaling(reeve_value_get(value, "scaling"), &pool->scaling);
    settle_single_active(value, pool);
    if (!pool_given(reeve_value_get(value, "placement"), "spread")) {
        err = reeve_strv_add(spread, "node");
        err = err == REEVE_OK ? reeve_strv_add(spread, "region") : err;
    }
    return err;
}

// ---- decoding -------------------------------------------------------------------------------------------

static enum reeve_err decode_template(const struct reeve_value *value, const char *path, struct reeve_spec *ret,
                                      struct reeve_errors *errors)
{
    char template_path[REEVE_PATH_SIZE];
    const struct reeve_value *template = reeve_value_get(value, "template");
    if (reeve_value_kind(template) != REEVE_MAP) {
        return REEVE_INVALID; // the table says so
    }
    return reeve_spec_decode(template, reeve_path_join(template_path, path, "template"), ret, errors);
}

static enum reeve_err decode_plain(const struct reeve_value *value, const char *path, struct reeve_pool_spec *ret,
                                   struct reeve_errors *errors)
{
    struct reeve_pool_spec pool;
    struct reeve_spec template = {0};
    enum reeve_err err = reeve_record_decode(&reeve_pool_record, value, path, &pool, errors);
    enum reeve_err template_err = err == REEVE_NOMEM ? err : decode_template(value, path, &template, errors);
    if (err != REEVE_OK || template_err != REEVE_OK) {
        if (err == REEVE_OK) {
            reeve_record_done(&reeve_pool_record, &pool);
        }
        if (template_err == REEVE_OK) {
            reeve_spec_done(&template);
        }
        return err == REEVE_NOMEM || template_err == REEVE_NOMEM ? REEVE_NOMEM : REEVE_INVALID;
    }
    pool.template = template;
    err = settle(value, &pool);
    if (err != REEVE_OK) {
        reeve_pool_done(&pool);
        return err;
    }
    *ret = pool;
    return REEVE_OK;
}

enum reeve_err reeve_pool_decode(const struct reeve_value *value, const char *path, struct reeve_pool_spec *ret,
                                 struct reeve_errors *errors)
{
    REEVE_VALUE_AUTO plain = NULL;
    size_t before = errors->errors;
    enum reeve_err err = plain_thresholds(value, path, &plain, errors);
    if (err != REEVE_OK) {
        return err;
    }
    struct reeve_pool_spec pool;
    err = decode_plain(plain != NULL ? plain : value, path, &pool, errors);
    if (err == REEVE_OK && errors->errors > before) {
        reeve_pool_done(&pool);
        return REEVE_INVALID; // a threshold, which the table did not get to see
    }
    if (err == REEVE_OK) {
        *ret = pool;
    }
    return err;
}

// ---- encoding -------------------------------------------------------------------------------------------

// The map under `key`, made when it is not there. NULL when out of memory.
static struct reeve_value *part(struct reeve_value *map, const char *key)
{
    if (reeve_value_get(map, key) == NULL) {
        (void)reeve_value_put(map, key, reeve_value_map()); /* remembered: reeve_value_built() */
    }
    return reeve_value_get_mut(map, key);
}

static void put_threshold(struct reeve_value *map, const char *key, double number, int metric)
{
    char text[REEVE_UNITS_TEXT_LEN];
    bool whole = number == (double)(int64_t)number;
    if (reeve_pool_metric_is_time(metric)) {
        reeve_put_str(map, key, reeve_duration_format((int64_t)number, text));
    } else if (whole) {
        reeve_put_int(map, key, (int64_t)number);
    } else {
        (void)reeve_value_put(map, key, reeve_value_float(number)); /* remembered: reeve_value_built() */
    }
}

static void encode_scaling(const struct reeve_pool_spec *pool, struct reeve_value *value)
{
    const struct reeve_pool_scaling *scaling = &pool->scaling;
    if (!scaling->enabled) {
        (void)reeve_value_remove(value, "scaling");
        return;
    }
    struct reeve_value *map = part(value, "scaling");
    (void)reeve_value_remove(map, "cooldown"); // said by the two of each direction
    for (size_t i = 0; i < REEVE_ARRAY_LEN(threshold_keys); i++) {
        (void)reeve_value_remove(map, threshold_keys[i]);
    }
    if (scaling->has_target) {
        put_threshold(map, "target", scaling->target, scaling->metric);
    } else {
        put_threshold(map, "up_above", scaling->up_above, scaling->metric);
        put_threshold(map, "down_below", scaling->down_below, scaling->metric);
    }
    // Their presets are others with scaling.
    reeve_put_int(value, "min", pool->min);
    reeve_put_int(value, "max", pool->max);
}

static bool spread_is_preset(const struct reeve_strv *spread)
{
    return spread->len == 2 && reeve_strv_has(spread, "node") && reeve_strv_has(spread, "region");
}

static void encode_spread(const struct reeve_pool_spec *pool, unsigned flags, struct reeve_value *value)
{
    const struct reeve_strv *spread = &pool->placement.spread;
    struct reeve_value *placement = part(value, "placement");
    (void)reeve_value_remove(placement, "spread");
    if (!spread_is_preset(spread) || (flags & REEVE_ENCODE_SKIP_PRESETS) == 0) {
        struct reeve_value *list = reeve_value_list();
        for (size_t i = 0; list != NULL && i < spread->len; i++) {
            (void)reeve_value_add(list, reeve_value_str(spread->items[i])); /* remembered: reeve_value_built() */
        }
        (void)reeve_value_put(placement, "spread", list); /* remembered: reeve_value_built() */
    }
    if (reeve_value_built(placement) == REEVE_OK && reeve_value_len(placement) == 0) {
        (void)reeve_value_remove(value, "placement");
    }
}

static enum reeve_err encode_template(const struct reeve_pool_spec *pool, unsigned flags, struct reeve_value *value)
{
    struct reeve_value *masked = NULL;
    if (flags & REEVE_ENCODE_WITH_SECRETS) {
        return REEVE_OK; // as it was given
    }
    enum reeve_err err = reeve_spec_encode(&pool->template, flags | REEVE_ENCODE_SKIP_PRESETS, &masked);
    return err == REEVE_OK ? reeve_value_put(value, "template", masked) : err;
}

enum reeve_err reeve_pool_encode(const struct reeve_pool_spec *pool, unsigned flags, struct reeve_value **ret)
{
    REEVE_VALUE_AUTO value = NULL;
    enum reeve_err err = reeve_record_encode(&reeve_pool_record, pool, flags, &value);
    if (err != REEVE_OK) {
        return err;
    }
    (void)reeve_value_remove(value, "size");
    if (pool->size >= 0 && pool->placement.regions.len == 0) { // else it is their sum
        reeve_put_int(value, "size", pool->size);
    } else {
        reeve_put_int(value, "min", pool->min); // one of them has to be there
    }
    encode_scaling(pool, value);
    encode_spread(pool, flags, value);
    err = encode_template(pool, flags, value);
    err = err == REEVE_OK ? reeve_value_built(value) : err;
    if (err == REEVE_OK) {
        *ret = reeve_value_take(&value);
    }
    return err;
}

enum reeve_err reeve_pool_copy(const struct reeve_pool_spec *pool, struct reeve_pool_spec *ret)
{
    REEVE_VALUE_AUTO value = NULL;
    struct reeve_errors errors;
    struct reeve_pool_spec unsized = *pool; // borrows
    unsized.size = -1;
    enum reeve_err err = reeve_pool_encode(&unsized, REEVE_ENCODE_WITH_SECRETS, &value);
    if (err != REEVE_OK) {
        return err;
    }
    reeve_errors_init(&errors, NULL);
    err = reeve_pool_decode(value, "", ret, &errors);
    REEVE_ASSERT(err == REEVE_OK || err == REEVE_NOMEM); // a valid spec encodes to one
    if (err == REEVE_OK) {
        ret->size = pool->size; // whatever it was set to since it was decoded
    }
    return err;
}

void reeve_pool_done(struct reeve_pool_spec *pool)
{
    reeve_spec_done(&pool->template);
    reeve_record_done(&reeve_pool_record, pool); // zeroes all of it
}

uint64_t reeve_pool_template_digest(const struct reeve_pool_spec *pool)
{
    return reeve_spec_digest(&pool->template);
}
