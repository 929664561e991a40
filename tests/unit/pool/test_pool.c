// One pool spec: presets, what follows from more than one field, every rule across fields, round trips, secrets,
// digests. Must not: read files.
#include "pool_test.h"

#include <stdio.h>

#define T "template: {type: swap}\n"

static void a_small_pool_has_the_presets(void **state)
{
    struct reeve_pool_spec pool = pool_of("name: swap\nsize: 5\n" T);
    (void)state;
    assert_int_equal(errors.len, 0);
    assert_string_equal(pool.name, "swap");
    assert_int_equal(pool.size, 5);
    assert_int_equal(pool.min, 0);
    assert_int_equal(pool.max, REEVE_POOL_SIZE_MAX);
    assert_false(pool.paused);
    assert_false(pool.scaling.enabled);
    assert_string_equal(pool.template.type, "swap");
    assert_null(pool.template.name);
    assert_int_equal(pool.placement.spread.len, 2);
    assert_int_equal(pool.drain.deadline_ms, 600000);
    assert_int_equal(pool.drain.then, REEVE_POOL_WAIT);
    assert_int_equal(pool.update.max_surge, 1);
    assert_int_equal(pool.update.max_unavailable, 0);
    assert_int_equal(pool.update.healthy_ms, 5000);
    assert_int_equal(pool.update.deadline_ms, 120000);
    assert_int_equal(pool.update.failures_max, 1);
    assert_int_equal(pool.update.canary_ms, 60000);
    assert_int_equal(pool.partition.lost_after_ms, 30000);
    assert_int_equal(pool.partition.self_stop_after_ms, 0);
    assert_int_equal(pool.partition.reconcile, REEVE_RECONCILE_IDLE_FIRST);
    assert_int_equal(pool.acquire.lease_ms, 60000);
    assert_int_equal(pool.acquire.lease_max_ms, 86400000);
    assert_int_equal(pool.acquire.on_release, REEVE_RELEASE_REUSE);
    reeve_pool_done(&pool);
}

static void scaling_has_presets_of_its_own(void **state)
{
    struct reeve_pool_spec pool = pool_of("scaling: {}\n" T);
    (void)state;
    assert_true(pool.scaling.enabled);
    assert_int_equal(pool.size, -1);
    assert_int_equal(pool.min, 1);
    assert_int_equal(pool.max, 10);
    assert_int_equal(pool.scaling.metric, REEVE_METRIC_DEPTH);
    assert_null(pool.scaling.queue);
    assert_false(pool.scaling.has_target);
    assert_true(pool.scaling.up_above == 50);
    assert_true(pool.scaling.down_below == 5);
    assert_int_equal(pool.scaling.up_by, 2);
    assert_int_equal(pool.scaling.down_by, 1);
    assert_true(pool.scaling.tolerance == 0.1);
    assert_int_equal(pool.scaling.cooldown_up_ms, 300000);
    assert_int_equal(pool.scaling.cooldown_down_ms, 300000);
    assert_int_equal(pool.scaling.stabilise_ms, 0);
    reeve_pool_done(&pool);

    pool = pool_of("scaling: {cooldown: 1m, cooldown_down: 10m, down_below: 0, queue: q}\nmin: 0\nmax: 3\n" T);
    assert_int_equal(pool.min, 0);
    assert_int_equal(pool.max, 3);
    assert_true(pool.scaling.down_below == 0);
    assert_int_equal(pool.scaling.cooldown_up_ms, 60000);
    assert_int_equal(pool.scaling.cooldown_down_ms, 600000);
    assert_string_equal(pool.scaling.queue, "q");
    reeve_pool_done(&pool);
}

static void metrics_that_are_times_have_durations(void **state)
{
    struct reeve_pool_spec pool = pool_of("scaling: {metric: age, up_above: 1m, down_below: 0}\n" T);
    (void)state;
    assert_true(pool.scaling.up_above == 60000);
    assert_true(pool.scaling.down_below == 0);
    reeve_pool_done(&pool);
    pool = pool_of("scaling: {metric: wait, target: 1m30s}\n" T);
    assert_true(pool.scaling.has_target);
    assert_true(pool.scaling.target == 90000);
    assert_true(pool.scaling.up_above == 0);
    reeve_pool_done(&pool);
    pool = pool_of("scaling: {metric: utilisation, target: 0.7}\n" T);
    assert_true(pool.scaling.target == 0.7);
    reeve_pool_done(&pool);
}

static void single_active_is_one_worker_that_ends_first(void **state)
{
    struct reeve_pool_spec pool = pool_of("partition: {single_active: true}\n" T);
    (void)state;
    assert_int_equal(errors.len, 0);
    assert_int_equal(pool.size, 1);
    assert_int_equal(pool.min, 0);
    assert_int_equal(pool.max, 1);
    assert_int_equal(pool.update.max_surge, 0);
    assert_int_equal(pool.update.max_unavailable, 1);
    assert_int_equal(pool.partition.self_stop_after_ms, 15000);
    assert_int_equal(pool.partition.reconcile, REEVE_RECONCILE_RETURNED);
    reeve_pool_done(&pool);
    // Exactly enough: 9s + 10s + 1s.
    pool = pool_of("size: 0\npartition: {single_active: true, lost_after: 20s, self_stop_after: 9s}\n" T);
    assert_int_equal(pool.size, 0);
    assert_int_equal(pool.partition.self_stop_after_ms, 9000);
    reeve_pool_done(&pool);
    pool = pool_of("partition: {single_active: true, lost_after: 5s}\n"
                   "template: {type: a, stop: {grace: 1500ms}}\n");
    assert_int_equal(pool.partition.self_stop_after_ms, 2500);
    reeve_pool_done(&pool);
}

static void regions_make_the_size(void **state)
{
    struct reeve_pool_spec pool = pool_of("placement: {regions: [{region: eu, size: 3}, {region: us, size: 2}]}\n" T);
    (void)state;
    const struct reeve_pool_region *regions = pool.placement.regions.items;
    assert_int_equal(pool.size, 5);
    assert_int_equal(pool.placement.regions.len, 2);
    assert_string_equal(regions[1].region, "us");
    assert_int_equal(regions[1].size, 2);
    reeve_pool_done(&pool);
}

static void a_size_not_given_stays_open(void **state)
{
    struct reeve_pool_spec pool = pool_of("min: 2\n" T);
    (void)state;
    assert_int_equal(pool.size, -1);
    assert_int_equal(pool.min, 2);
    reeve_pool_done(&pool);
}

// One mistake a row: what is written, what is said about it.
static const struct {
    const char *yaml;
    const char *want;
} wrong[] = {
    {"size: 5\n", "f:1:1: template: is missing, expected a worker spec such as {type: swap}"},
    {"size: 5\ntemplate: 7\n", "f:2:11: template: whole number given, expected a worker spec such as {type: swap}"},
    {T, "f:1:1: size: is missing, expected a whole number such as 5, or scaling"},
    {"partition: {single_active: false}\n" T, "f:1:1: size: is missing, expected a whole number such as 5, or scaling"},
    {"size: 10001\n" T, "f:1:7: size: 10001 is above the maximum of 10000"},
    {"size: -1\n" T, "f:1:7: size: -1 is below the minimum of 0"},
    {"size: 5\nmin: 6\n" T, "f:1:7: size: 5 is below min, which is 6"},
    {"size: 5\nmax: 4\n" T, "f:1:7: size: 5 is above max, which is 4"},
    {"size: 5\nmin: 6\nmax: 4\n" T, "f:2:6: min: min is 6, above max, which is 4"},
    {"size: 12\nscaling: {}\n" T, "f:1:7: size: 12 is above max, which is 10 by preset with scaling"},
    {"size: 0\nscaling: {}\n" T, "f:1:7: size: 0 is below min, which is 1 by preset with scaling"},
    {"min: 12\nscaling: {}\n" T, "f:1:6: min: min is 12, above max, which is 10 by preset with scaling"},
    {"max: 0\nscaling: {}\n" T, "f:1:6: max: min is 1 by preset with scaling, above max, which is 0"},
    {"sise: 5\nsize: 5\n" T, "f:1:1: sise: unknown key, did you mean size?"},
    {"size: 1\ntemplate: {type: swap, name: x}\n",
     "f:2:30: template.name: is given, but the manager names a pool's workers: leave it out"},
    {"size: 1\ntemplate: {type: swap, desired: stopped}\n",
     "f:2:33: template.desired: is stopped, but a pool's workers run: use size or paused"},
    {"size: 1\ntemplate: {type: swap, memory_limit: 12 apples}\n",
     "f:2:38: template.memory_limit: \"12 apples\" is no size, expected one such as 512M, 1G or 64KiB"},
    {"size: 1\nplacement: {spread: [node, regoin]}\n" T,
     "f:2:28: placement.spread[1]: is not known, did you mean region?, expected node or region"},
    {"size: 1\nplacement: {spread: rack}\n" T, "f:2:21: placement.spread[0]: is not known, expected node or region"},
    {"size: 1\nplacement: {near_max: 5ms}\n" T,
     "f:2:23: placement.near_max: only counts with near, which is not given"},
    {"placement: {regions: [{region: eu, size: 1}, {region: eu, size: 1}]}\n" T,
     "f:1:55: placement.regions[1].region: eu is given twice: keep one of them"},
    {"placement: {regions: [{region: eu}]}\n" T,
     "f:1:23: placement.regions[0].size: is missing, expected a whole number from 0 to 10000"},
    {"size: 4\nplacement: {regions: [{region: eu, size: 3}]}\n" T,
     "f:2:22: placement.regions: have 3 workers together, but size is 4: leave size out"},
    {"max: 2\nplacement: {regions: [{region: eu, size: 3}]}\n" T,
     "f:2:22: placement.regions: have 3 workers together, expected 0 to 2"},
    {"scaling: {}\nplacement: {regions: [{region: eu, size: 3}]}\n" T,
     "f:2:22: placement.regions: can't be scaled: make it a pool per region, each with scaling"},
    {"scaling: {metric: utilization, target: 1}\n" T, "f:1:19: scaling.metric: \"utilization\" is not known, did you "
                                                      "mean utilisation?, expected one of depth, age, wait, "
                                                      "utilisation"},
    {"scaling: {metric: age}\n" T,
     "f:1:10: scaling.up_above: is missing: the metric age has no preset, expected target, or up_above and down_below, "
     "such as 30s"},
    {"scaling: {metric: utilisation, up_above: 0.8}\n" T,
     "f:1:10: scaling.down_below: is missing: the metric utilisation has no preset, expected target, or up_above and "
     "down_below, such as 0.7"},
    {"scaling: {metric: wait, target: 30}\n" T, "f:1:33: scaling.target: 30 has no unit, did you mean 30s or 30ms?"},
    {"scaling: {metric: wait, target: 30 apples}\n" T,
     "f:1:33: scaling.target: \"30 apples\" is no duration, expected one such as 250ms, 30s, 5m or 1h30m"},
    {"scaling: {metric: wait, target: [1]}\n" T,
     "f:1:33: scaling.target: this is a list, expected a duration such as 30s"},
    {"scaling: {metric: wait, target: 0}\n" T, "f:1:33: scaling.target: is 0, expected a target above it such as 30s"},
    {"scaling: {target: 30s}\n" T,
     "f:1:19: scaling.target: \"30s\" is text, expected a number from 0 to 1000000000000"},
    {"scaling: {target: 30, up_above: 5}\n" T,
     "f:1:33: scaling.up_above: and target are both given: scale by thresholds or to a target"},
    {"scaling: {up_above: 5, down_below: 6}\n" T,
     "f:1:36: scaling.down_below: the size would go up and down at once: down_below is 6, up_above is 5"},
    {"scaling: {up_above: 3}\n" T,
     "f:1:21: scaling.up_above: the size would go up and down at once: down_below is 5, up_above is 3"},
    {"scaling: {metric: age, up_above: 5s, down_below: 6s}\n" T,
     "f:1:50: scaling.down_below: the size would go up and down at once: down_below is 6000 ms, up_above is 5000 ms"},
    {"scaling: {metric: utilisation, target: 70}\n" T,
     "f:1:40: scaling.target: 70 is above 1, expected a share of the workers such as 0.7"},
    {"scaling: {tolerance: 2}\n" T, "f:1:22: scaling.tolerance: 2 is out of bounds, expected a number from 0 to 1"},
    {"scaling: {schedules: [{for: 1h, min: 2}]}\n" T, "f:1:23: scaling.schedules[0].cron: is missing, expected text"},
    {"scaling: {schedules: [{cron: '@daily', for: 1h}]}\n" T,
     "f:1:23: scaling.schedules[0]: has neither min nor max: it would change nothing"},
    {"scaling: {schedules: [{cron: '@daily', for: 1h, min: 3, max: 2}]}\n" T,
     "f:1:54: scaling.schedules[0].min: 3 is above max, which is 2"},
    {"scaling: {schedules: [{cron: '@daily', for: 1h, min: 11}]}\n" T,
     "f:1:54: scaling.schedules[0].min: 11 is above the pool's max, which is 10: give the schedule a max too"},
    {"scaling: {schedules: [{cron: '@daily', for: 1h, max: 0}]}\n" T,
     "f:1:54: scaling.schedules[0].max: 0 is below the pool's min, which is 1: give the schedule a min too"},
    {"size: 1\nupdate: {max_surge: 0}\n" T,
     "f:2:21: update.max_surge: no worker could ever be replaced: max_unavailable and max_surge are both 0"},
    {"size: 1\nupdate: {healthy: 3m}\n" T,
     "f:2:19: update.healthy: no new worker could count in time: healthy is 3m, deadline is 2m"},
    {"size: 1\nacquire: {lease: 2d}\n" T, "f:2:18: acquire.lease: lease is 2d, above lease_max, which is 1d"},
    {"size: 1\ndrain: {then: kill}\n" T, "f:2:15: drain.then: \"kill\" is not known, expected one of wait, force"},
    {"size: 2\npartition: {single_active: true}\n" T, "f:1:7: size: is 2, but with single_active there is one worker"},
    {"size: 1\nmax: 2\npartition: {single_active: true}\n" T,
     "f:2:6: max: is 2, but with single_active there is one worker"},
    {"scaling: {}\npartition: {single_active: true}\n" T,
     "f:1:10: scaling: is given, but with single_active there is one worker"},
    {"size: 1\nplacement: {regions: [{region: eu, size: 1}]}\npartition: {single_active: true}\n" T,
     "f:2:22: placement.regions: are given, but with single_active there is one worker"},
    {"size: 1\nupdate: {max_surge: 1}\npartition: {single_active: true}\n" T,
     "f:2:21: update.max_surge: is 1, but with single_active the old worker ends first, expected 0"},
    {"size: 1\nupdate: {max_unavailable: 0}\npartition: {single_active: true}\n" T,
     "f:2:27: update.max_unavailable: no worker could ever be replaced: max_unavailable and max_surge are both 0"},
    {"partition: {single_active: true, lost_after: 20s}\n" T,
     "f:1:46: partition.lost_after: two workers could run at once: self_stop_after 10s + template.stop.grace 10s + 1s "
     "have to be within lost_after, which is 20s"},
    {"partition: {single_active: true, self_stop_after: 20s}\n" T,
     "f:1:51: partition.self_stop_after: two workers could run at once: self_stop_after 20s + template.stop.grace 10s "
     "+ "
     "1s have to be within lost_after, which is 30s"},
    {"partition: {single_active: true}\ntemplate: {type: a, stop: {grace: 14001ms}}\n",
     "f:1:12: partition.lost_after: two workers could run at once: self_stop_after 15s + template.stop.grace 14s1ms + "
     "1s "
     "have to be within lost_after, which is 30s"},
};

static void each_mistake_is_one_error_at_its_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(wrong); i++) {
        REEVE_VALUE_AUTO value = yaml_value(wrong[i].yaml);
        struct reeve_pool_spec pool = {.size = -77};
        reeve_errors_init(&errors, "f");
        errors_are(reeve_pool_decode(value, "", &pool, &errors), &wrong[i].want, 1);
        assert_int_equal(pool.size, -77);
    }
}

static void wrong_requirements_have_their_place(void **state)
{
    REEVE_VALUE_AUTO value =
        yaml_value("size: 1\nplacement:\n  require: [region=eu, 'cpus>=many']\n  prefer: ['=']\n" T);
    struct reeve_pool_spec pool;
    (void)state;
    reeve_errors_init(&errors, "f");
    assert_int_equal(reeve_pool_decode(value, "", &pool, &errors), REEVE_INVALID);
    assert_int_equal(errors.len, 2);
    assert_string_equal(errors.items[0].path, "placement.require[1]");
    assert_int_equal(errors.items[0].mark.line, 3);
    assert_int_equal(errors.items[0].mark.col, 24);
    assert_string_equal(errors.items[1].path, "placement.prefer[0]");
    assert_true(strlen(errors.items[1].text) > 10);
}

static void what_does_not_count_is_warned_about(void **state)
{
    static const char *const wants[] = {
        "f:2:23: update.canary_wait: warning: only counts with canary, which is not given",
        "f:3:30: partition.self_stop_after: warning: only counts with single_active, which is not given",
    };
    struct reeve_pool_spec pool = pool_of("size: 1\nupdate: {canary_wait: 5m}\npartition: {self_stop_after: 5s}\n" T);
    (void)state;
    errors_are(REEVE_OK, wants, REEVE_ARRAY_LEN(wants));
    reeve_pool_done(&pool);
}

static const char *const rights[] = {
    "name: swap\nsize: 5\n" T,
    "min: 0\n" T,
    "min: 3\n" T,
    "size: 0\nmax: 0\n" T,
    "scaling: {}\n" T,
    "scaling: {}\nmin: 0\nmax: 10000\nsize: 7\n" T,
    "scaling: {down_below: 0, cooldown: 0}\n" T,
    "scaling: {cooldown_up: 0}\n" T,
    "scaling: {metric: age, up_above: 1m, down_below: 0}\n" T,
    "scaling: {metric: wait, target: 1h1ms, tolerance: 0, stabilise: 5m, queue: q}\n" T,
    "scaling: {metric: utilisation, up_above: 0.85, down_below: 0.25}\n" T,
    "scaling: {target: 2.5, schedules: [{cron: '0 8 * * *', for: 10h, time_zone: Europe/Berlin, min: 4},"
    " {cron: '@daily', for: 1h, max: 20, min: 0}]}\n" T,
    "size: 1\nplacement: {spread: []}\n" T,
    "size: 1\nplacement: {spread: node, pack: true}\n" T,
    "size: 1\nplacement: {require: [region=eu, 'cpus>=4'], prefer: gpu, near: kraken, near_max: 20ms, per_node_max: "
    "2}\n" T,
    "placement: {regions: [{region: eu, size: 3}, {region: us, size: 0}]}\n" T,
    "partition: {single_active: true}\n" T,
    "size: 0\npartition: {single_active: true, lost_after: 1m}\nupdate: {max_unavailable: 1}\n" T,
    "size: 1\ndrain: 5m\nupdate: {max_unavailable: 2, max_surge: 0, canary: 1, failures_max: 0}\n" T,
    "size: 1\npaused: true\nlabels: {desk: a}\nacquire: {lease: 5s, on_release: restart}\n"
    "template: {type: a, env: {KEY: geheim}, config: {key: geheim, a: [1, 2]}, labels: {b: c}, stop: {grace: 1s}}\n",
};

static bool same(const struct reeve_pool_spec *a, const struct reeve_pool_spec *b)
{
    REEVE_VALUE_AUTO value_a = NULL;
    REEVE_VALUE_AUTO value_b = NULL;
    assert_int_equal(reeve_pool_encode(a, REEVE_ENCODE_WITH_SECRETS, &value_a), REEVE_OK);
    assert_int_equal(reeve_pool_encode(b, REEVE_ENCODE_WITH_SECRETS, &value_b), REEVE_OK);
    return reeve_value_equal(value_a, value_b) && a->size == b->size && a->min == b->min && a->max == b->max &&
           a->scaling.enabled == b->scaling.enabled && a->scaling.has_target == b->scaling.has_target &&
           a->scaling.target == b->scaling.target && a->scaling.up_above == b->scaling.up_above &&
           a->scaling.down_below == b->scaling.down_below && a->scaling.cooldown_up_ms == b->scaling.cooldown_up_ms &&
           a->scaling.cooldown_down_ms == b->scaling.cooldown_down_ms &&
           a->placement.spread.len == b->placement.spread.len &&
           a->partition.self_stop_after_ms == b->partition.self_stop_after_ms &&
           a->update.max_surge == b->update.max_surge && a->update.max_unavailable == b->update.max_unavailable &&
           reeve_pool_template_digest(a) == reeve_pool_template_digest(b);
}

static void reads_back_equal(const struct reeve_pool_spec *pool, unsigned flags)
{
    REEVE_VALUE_AUTO value = NULL;
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(0);
    assert_int_equal(reeve_pool_encode(pool, flags | REEVE_ENCODE_WITH_SECRETS, &value), REEVE_OK);
    assert_int_equal(reeve_yaml_write(value, &text), REEVE_OK);
    struct reeve_pool_spec back = pool_of(reeve_buf_str(&text));
    assert_int_equal(errors.len, 0);
    if (!same(pool, &back)) {
        fail_msg("does not read back equal: %s", reeve_buf_str(&text));
    }
    reeve_pool_done(&back);
}

static void what_is_written_reads_back_equal(void **state)
{
    (void)state;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rights); i++) {
        struct reeve_pool_spec pool = pool_of(rights[i]);
        struct reeve_pool_spec copy;
        reads_back_equal(&pool, 0);
        reads_back_equal(&pool, REEVE_ENCODE_SKIP_PRESETS);
        assert_int_equal(reeve_pool_copy(&pool, &copy), REEVE_OK);
        assert_true(same(&pool, &copy));
        reeve_pool_done(&copy);
        reeve_pool_done(&pool);
    }
}

static void a_copy_has_the_size_that_was_set_since(void **state)
{
    struct reeve_pool_spec pool = pool_of("scaling: {}\n" T);
    struct reeve_pool_spec copy;
    (void)state;
    pool.size = 0; // below min: drained
    assert_int_equal(reeve_pool_copy(&pool, &copy), REEVE_OK);
    assert_int_equal(copy.size, 0);
    reeve_pool_done(&copy);
    reeve_pool_done(&pool);
    pool = pool_of("placement: {regions: [{region: eu, size: 3}]}\n" T);
    pool.size = 0;
    assert_int_equal(reeve_pool_copy(&pool, &copy), REEVE_OK);
    assert_int_equal(copy.size, 0);
    reeve_pool_done(&copy);
    reeve_pool_done(&pool);
}

static void secrets_stay_inside(void **state)
{
    struct reeve_pool_spec pool = pool_of(rights[REEVE_ARRAY_LEN(rights) - 1]);
    REEVE_VALUE_AUTO value = NULL;
    REEVE_BUF_AUTO text = REEVE_BUF_INIT(0);
    (void)state;
    assert_int_equal(reeve_pool_encode(&pool, 0, &value), REEVE_OK);
    assert_int_equal(reeve_yaml_write(value, &text), REEVE_OK);
    assert_null(strstr(reeve_buf_str(&text), "geheim"));
    assert_non_null(strstr(reeve_buf_str(&text), "KEY"));
    assert_string_equal(reeve_get_str(reeve_value_get(value, "template"), "type"), "a");
    // Nor do they leave through the table itself.
    reeve_value_freep(&value);
    assert_int_equal(reeve_record_encode(&reeve_pool_record, &pool, 0, &value), REEVE_OK);
    assert_int_equal(reeve_yaml_write(value, &text), REEVE_OK);
    assert_null(strstr(reeve_buf_str(&text), "geheim"));
    reeve_pool_done(&pool);
}

static void only_the_template_counts_for_its_digest(void **state)
{
    struct reeve_pool_spec a = pool_of("size: 1\ntemplate: {type: a, memory_limit: 512M}\n");
    struct reeve_pool_spec b = pool_of("size: 7\npaused: true\ntemplate: {memory_limit: 536870912, type: a}\n");
    struct reeve_pool_spec c = pool_of("size: 1\ntemplate: {type: a, memory_limit: 513M}\n");
    (void)state;
    assert_true(reeve_pool_template_digest(&a) == reeve_pool_template_digest(&b));
    assert_true(reeve_pool_template_digest(&a) != reeve_pool_template_digest(&c));
    reeve_pool_done(&a);
    reeve_pool_done(&b);
    reeve_pool_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_pool_has_the_presets),
        cmocka_unit_test(scaling_has_presets_of_its_own),
        cmocka_unit_test(metrics_that_are_times_have_durations),
        cmocka_unit_test(single_active_is_one_worker_that_ends_first),
        cmocka_unit_test(regions_make_the_size),
        cmocka_unit_test(a_size_not_given_stays_open),
        cmocka_unit_test(each_mistake_is_one_error_at_its_place),
        cmocka_unit_test(wrong_requirements_have_their_place),
        cmocka_unit_test(what_does_not_count_is_warned_about),
        cmocka_unit_test(what_is_written_reads_back_equal),
        cmocka_unit_test(a_copy_has_the_size_that_was_set_since),
        cmocka_unit_test(secrets_stay_inside),
        cmocka_unit_test(only_the_template_counts_for_its_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
