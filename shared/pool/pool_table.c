// The record tables of a pool spec: what can be written, bounds, presets, documentation.
// Must not: judge fields against each other; that is pool_check.c.
#include "pool_internal.h"

#define DURATION_MAX (INT64_C(366) * 24 * 3600 * 1000) // longer is a mistyped unit
#define DAY_MS       (INT64_C(24) * 3600 * 1000)
#define LIST_MAX     32 // entries of lists and maps; requirements have the same bound

static const struct reeve_choice metric_choices[] = {
    {"depth", REEVE_METRIC_DEPTH},
    {"age", REEVE_METRIC_AGE},
    {"wait", REEVE_METRIC_WAIT},
    {"utilisation", REEVE_METRIC_UTILISATION},
    {NULL, 0},
};
static const struct reeve_choice then_choices[] = {
    {"wait", REEVE_POOL_WAIT},
    {"force", REEVE_POOL_FORCE},
    {NULL, 0},
};
static const struct reeve_choice reconcile_choices[] = {
    {"idle-first", REEVE_RECONCILE_IDLE_FIRST},
    {"returned", REEVE_RECONCILE_RETURNED},
    {NULL, 0},
};
static const struct reeve_choice release_choices[] = {
    {"reuse", REEVE_RELEASE_REUSE},
    {"restart", REEVE_RELEASE_RESTART},
    {"replace", REEVE_RELEASE_REPLACE},
    {NULL, 0},
};

const char *reeve_pool_metric_text(int metric)
{
    return metric_choices[metric].text;
}

bool reeve_pool_metric_is_time(int metric)
{
    return metric == REEVE_METRIC_AGE || metric == REEVE_METRIC_WAIT;
}

// ---- placement ----------------------------------------------------------------------------------------

#define AT(member) offsetof(struct reeve_pool_region, member)
static const struct reeve_field region_fields[] = {
    {.name = "region",
     .type = REEVE_FIELD_NAME,
     .flags = REEVE_FIELD_REQUIRED,
     .offset = AT(region),
     .doc = "Region of the nodes."},
    {.name = "size",
     .type = REEVE_FIELD_INT,
     .flags = REEVE_FIELD_REQUIRED,
     .offset = AT(size),
     .max = REEVE_POOL_SIZE_MAX,
     .doc = "Workers there."},
};
#undef AT
static const struct reeve_record region_record =
    REEVE_RECORD("region", struct reeve_pool_region, region_fields, "A size of its own for one region.");

#define AT(member) offsetof(struct reeve_pool_placement, member)
static const struct reeve_field placement_fields[] = {
    {.name = "require",
     .type = REEVE_FIELD_STRV,
     .offset = AT(require),
     .min = 0,
     .max = LIST_MAX,
     .doc = "Requirements on the node, such as `region=eu-*`, `label.ssd` or `cpus>=4`; it has to meet all."},
    {.name = "prefer",
     .type = REEVE_FIELD_STRV,
     .offset = AT(prefer),
     .min = 0,
     .max = LIST_MAX,
     .doc = "Requirements that a node need not meet: the more it meets the sooner it is taken."},
    {.name = "spread",
     .type = REEVE_FIELD_STRV,
     .offset = AT(spread),
     .min = 0,
     .max = 2,
     .doc = "Over what the workers are spread evenly: `node`, `region`. Preset: both; `[]` is neither."},
    {.name = "pack",
     .type = REEVE_FIELD_BOOL,
     .offset = AT(pack),
     .preset = "false",
     .doc = "Fill one node after the other instead of spreading."},
    {.name = "near",
     .type = REEVE_FIELD_NAME,
     .offset = AT(near),
     .doc = "Endpoint of the nodes' `round_trip`: the nodes nearest to it are taken first."},
    {.name = "near_max",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(near_max_ms),
     .max = DURATION_MAX,
     .preset = "0",
     .doc = "Nodes with a longer round trip to `near`, or an unknown one, are not taken. 0 = no bound."},
    {.name = "per_node_max",
     .type = REEVE_FIELD_INT,
     .offset = AT(per_node_max),
     .max = REEVE_POOL_SIZE_MAX,
     .preset = "0",
     .doc = "Workers of this pool on one node. 0 = no bound."},
    {.name = "regions",
     .type = REEVE_FIELD_RECORDS,
     .offset = AT(regions),
     .record = &region_record,
     .min = 0,
     .max = LIST_MAX,
     .doc = "A size per region; `size` is then their sum and need not be given."},
};
#undef AT
static const struct reeve_record placement_record = {
    .name = "placement",
    .size = sizeof(struct reeve_pool_placement),
    .fields = placement_fields,
    .fields_len = REEVE_ARRAY_LEN(placement_fields),
    .doc = "On which nodes the workers run.",
    .check = pool_check_placement,
};

// ---- scaling ------------------------------------------------------------------------------------------

#define AT(member) offsetof(struct reeve_pool_schedule, member)
static const struct reeve_field schedule_fields[] = {
    {.name = "cron",
     .type = REEVE_FIELD_STR,
     .flags = REEVE_FIELD_REQUIRED,
     .offset = AT(cron),
     .min = 1,
     .max = 128,
     .doc = "When it begins: minute, hour, day of month, month, day of week, such as `0 8 * * mon-fri`."},
    {.name = "for",
     .type = REEVE_FIELD_DURATION,
     .flags = REEVE_FIELD_REQUIRED,
     .offset = AT(for_ms),
     .min = 1000,
     .max = DURATION_MAX,
     .doc = "How long it lasts."},
    {.name = "time_zone",
     .type = REEVE_FIELD_STR,
     .offset = AT(time_zone),
     .min = 1,
     .max = 64,
     .doc = "Zone that `cron` is meant in, such as `Europe/Berlin`. Preset: UTC."},
    {.name = "min",
     .type = REEVE_FIELD_INT,
     .offset = AT(min),
     .min = -1,
     .max = REEVE_POOL_SIZE_MAX,
     .preset = "-1",
     .doc = "Smallest size meanwhile. -1 = the pool's."},
    {.name = "max",
     .type = REEVE_FIELD_INT,
     .offset = AT(max),
     .min = -1,
     .max = REEVE_POOL_SIZE_MAX,
     .preset = "-1",
     .doc = "Largest size meanwhile. -1 = the pool's."},
};
#undef AT
static const struct reeve_record schedule_record = {
    .name = "schedule",
    .size = sizeof(struct reeve_pool_schedule),
    .fields = schedule_fields,
    .fields_len = REEVE_ARRAY_LEN(schedule_fields),
    .doc = "Bounds of its own for some time. Where several are in force the highest `min` and the highest `max` count.",
    .check = pool_check_schedule,
};

#define AT(member) offsetof(struct reeve_pool_scaling, member)
static const struct reeve_field scaling_fields[] = {
    {.name = "metric",
     .type = REEVE_FIELD_CHOICE,
     .offset = AT(metric),
     .choices = metric_choices,
     .preset = "depth",
     .doc = "What is measured. `depth`: jobs waiting; `age`: of the oldest of them; `wait`: predicted for a new job, "
            "waiting jobs x mean service time / workers; `utilisation`: busy workers / ready workers."},
    {.name = "queue",
     .type = REEVE_FIELD_NAME,
     .offset = AT(queue),
     .doc = "Queue whose jobs count. Preset: the pool's name."},
    {.name = "target",
     .type = REEVE_FIELD_REAL,
     .offset = AT(target),
     .max = INT64_C(1000000000000),
     .doc = "Size that follows the metric instead of thresholds: with `depth` so many jobs per worker; otherwise the "
            "value "
            "to be kept, a duration for `age` and `wait`, a share such as 0.7 for `utilisation`."},
    {.name = "up_above",
     .type = REEVE_FIELD_REAL,
     .offset = AT(up_above),
     .max = INT64_C(1000000000000),
     .doc = "More workers above this value, a duration for `age` and `wait`. Preset for `depth`: 50."},
    {.name = "down_below",
     .type = REEVE_FIELD_REAL,
     .offset = AT(down_below),
     .max = INT64_C(1000000000000),
     .doc = "Fewer workers below this value. Preset for `depth`: 5."},
    {.name = "up_by",
     .type = REEVE_FIELD_INT,
     .offset = AT(up_by),
     .min = 1,
     .max = REEVE_POOL_SIZE_MAX,
     .preset = "2",
     .doc = "At most so many more at a time."},
    {.name = "down_by",
     .type = REEVE_FIELD_INT,
     .offset = AT(down_by),
     .min = 1,
     .max = REEVE_POOL_SIZE_MAX,
     .preset = "1",
     .doc = "At most so many fewer at a time."},
    {.name = "tolerance",
     .type = REEVE_FIELD_REAL,
     .offset = AT(tolerance),
     .min = 0,
     .max = 1,
     .preset = "0.1",
     .doc = "With `target`: no change while the value is off by no more than this share of it."},
    {.name = "cooldown",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(cooldown_ms),
     .max = DURATION_MAX,
     .preset = "5m",
     .doc = "Short for both that follow."},
    {.name = "cooldown_up",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(cooldown_up_ms),
     .max = DURATION_MAX,
     .preset = "5m",
     .doc = "Time between two steps up."},
    {.name = "cooldown_down",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(cooldown_down_ms),
     .max = DURATION_MAX,
     .preset = "5m",
     .doc = "Time from a step, up or down, to the next step down."},
    {.name = "stabilise",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(stabilise_ms),
     .max = DAY_MS,
     .preset = "0",
     .doc = "The size goes down no further than to the highest one recommended within this time."},
    {.name = "schedules",
     .type = REEVE_FIELD_RECORDS,
     .offset = AT(schedules),
     .record = &schedule_record,
     .min = 0,
     .max = LIST_MAX,
     .doc = "Bounds by time of day."},
};
#undef AT
static const struct reeve_record scaling_record = {
    .name = "scaling",
    .size = sizeof(struct reeve_pool_scaling),
    .fields = scaling_fields,
    .fields_len = REEVE_ARRAY_LEN(scaling_fields),
    .doc = "Lets the size follow the load; `scaling: {}` does so with the presets, between 1 and 10 workers.",
    .check = pool_check_scaling,
};

// ---- drain, update, partition, acquire ------------------------------------------------------------------

#define AT(member) offsetof(struct reeve_pool_drain, member)
static const struct reeve_field drain_fields[] = {
    {.name = "deadline",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(deadline_ms),
     .max = DURATION_MAX,
     .preset = "10m",
     .doc = "How long a worker that is busy, or not safe to stop, is waited for."},
    {.name = "then",
     .type = REEVE_FIELD_CHOICE,
     .offset = AT(then),
     .choices = then_choices,
     .preset = "wait",
     .doc = "What follows: `wait` goes on waiting and raises an alarm, `force` stops it."},
};
#undef AT
static const struct reeve_record drain_record =
    REEVE_RECORD("drain", struct reeve_pool_drain, drain_fields, "How a worker that has to go is waited for.");

#define AT(member) offsetof(struct reeve_pool_update, member)
static const struct reeve_field update_fields[] = {
    {.name = "max_unavailable",
     .type = REEVE_FIELD_INT,
     .offset = AT(max_unavailable),
     .max = REEVE_POOL_SIZE_MAX,
     .preset = "0",
     .doc = "Workers that may be missing meanwhile. Preset with `single_active`: 1."},
    {.name = "max_surge",
     .type = REEVE_FIELD_INT,
     .offset = AT(max_surge),
     .max = REEVE_POOL_SIZE_MAX,
     .preset = "1",
     .doc = "Workers that may be there on top of the size meanwhile. With `single_active`: 0."},
    {.name = "healthy",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(healthy_ms),
     .max = DURATION_MAX,
     .preset = "5s",
     .doc = "A new worker counts once it was healthy for so long."},
    {.name = "deadline",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(deadline_ms),
     .min = 1,
     .max = DURATION_MAX,
     .preset = "2m",
     .doc = "A new worker that is not healthy by then has failed."},
    {.name = "failures_max",
     .type = REEVE_FIELD_INT,
     .offset = AT(failures_max),
     .max = REEVE_POOL_SIZE_MAX,
     .preset = "1",
     .doc = "So many failed new workers undo the update. 0 = it is never undone."},
    {.name = "canary",
     .type = REEVE_FIELD_INT,
     .offset = AT(canary),
     .max = REEVE_POOL_SIZE_MAX,
     .preset = "0",
     .doc = "So many workers are replaced first. 0 = none."},
    {.name = "canary_wait",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(canary_ms),
     .max = DURATION_MAX,
     .preset = "1m",
     .doc = "With `canary`: time until the rest follows."},
};
#undef AT
static const struct reeve_record update_record = {
    .name = "update",
    .size = sizeof(struct reeve_pool_update),
    .fields = update_fields,
    .fields_len = REEVE_ARRAY_LEN(update_fields),
    .doc = "How the workers are replaced when the template changes.",
    .check = pool_check_update,
};

#define AT(member) offsetof(struct reeve_pool_partition, member)
static const struct reeve_field partition_fields[] = {
    {.name = "lost_after",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(lost_after_ms),
     .min = 1000,
     .max = DURATION_MAX,
     .preset = "30s",
     .doc = "A worker that is out of reach for so long is replaced."},
    {.name = "single_active",
     .type = REEVE_FIELD_BOOL,
     .offset = AT(single_active),
     .preset = "false",
     .doc = "Never two workers at once, at any price: one worker, under a lease that the manager renews."},
    {.name = "self_stop_after",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(self_stop_after_ms),
     .min = 500,
     .max = DURATION_MAX,
     .doc = "With `single_active`: without renewal for so long, the node ends its worker. With the worker's grace time "
            "and "
            "1 s on top it has to be within `lost_after`. Preset: half of `lost_after`."},
    {.name = "reconcile",
     .type = REEVE_FIELD_CHOICE,
     .offset = AT(reconcile),
     .choices = reconcile_choices,
     .preset = "idle-first",
     .doc =
         "When a lost worker returns that was replaced: `idle-first` counts it again and ends what is too many, idle "
         "ones first; `returned` ends the one that returned, as `single_active` always does."},
};
#undef AT
static const struct reeve_record partition_record = REEVE_RECORD(
    "partition", struct reeve_pool_partition, partition_fields, "What happens to workers that are out of reach.");

#define AT(member) offsetof(struct reeve_pool_acquire, member)
static const struct reeve_field acquire_fields[] = {
    {.name = "lease",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(lease_ms),
     .min = 1000,
     .max = DURATION_MAX,
     .preset = "60s",
     .doc = "How long a worker stays acquired without renewal, when `acquire` says nothing."},
    {.name = "lease_max",
     .type = REEVE_FIELD_DURATION,
     .offset = AT(lease_max_ms),
     .min = 1000,
     .max = DURATION_MAX,
     .preset = "1d",
     .doc = "Longest lease that `acquire` may ask for."},
    {.name = "on_release",
     .type = REEVE_FIELD_CHOICE,
     .offset = AT(on_release),
     .choices = release_choices,
     .preset = "reuse",
     .doc = "What happens to the worker then: it takes work again as it is, is restarted first, or is replaced."},
};
#undef AT
static const struct reeve_record acquire_record = {
    .name = "acquire",
    .size = sizeof(struct reeve_pool_acquire),
    .fields = acquire_fields,
    .fields_len = REEVE_ARRAY_LEN(acquire_fields),
    .doc = "Exclusive use of a worker of the pool.",
    .check = pool_check_acquire,
};

// ---- the pool -----------------------------------------------------------------------------------------

#define AT(member) offsetof(struct reeve_pool_spec, member)
static const struct reeve_field pool_fields[] = {
    {.name = "name",
     .type = REEVE_FIELD_NAME,
     .offset = AT(name),
     .doc = "Name of the pool. Needed in a file; in a command the topic says it."},
    {.name = "size",
     .type = REEVE_FIELD_INT,
     .offset = AT(size),
     .max = REEVE_POOL_SIZE_MAX,
     .doc = "Workers there are to be. Preset: the sum of `placement.regions`, 1 with `single_active`, else `min`."},
    {.name = "min",
     .type = REEVE_FIELD_INT,
     .offset = AT(min),
     .max = REEVE_POOL_SIZE_MAX,
     .preset = "0",
     .doc = "Smallest size that `scale` and the autoscaler may set. Preset with `scaling`: 1."},
    {.name = "max",
     .type = REEVE_FIELD_INT,
     .offset = AT(max),
     .max = REEVE_POOL_SIZE_MAX,
     .preset = "10000",
     .doc = "Largest size. Preset with `scaling`: 10; with `single_active`: 1."},
    {.name = "paused",
     .type = REEVE_FIELD_BOOL,
     .offset = AT(paused),
     .preset = "false",
     .doc = "Nothing is started or ended on its behalf."},
    {.name = "labels",
     .type = REEVE_FIELD_MAP,
     .offset = AT(labels),
     .min = 0,
     .max = LIST_MAX,
     .doc = "Free labels of the pool."},
    {.name = "template",
     .type = REEVE_FIELD_VALUE,
     .flags = REEVE_FIELD_SECRET,
     .offset = AT(template_value),
     .doc = "The workers, required: a worker spec without `name`, see configuration.md."},
    {.name = "placement",
     .type = REEVE_FIELD_RECORD,
     .offset = AT(placement),
     .record = &placement_record,
     .doc = "On which nodes they run."},
    {.name = "scaling",
     .type = REEVE_FIELD_RECORD,
     .offset = AT(scaling),
     .record = &scaling_record,
     .doc = "Lets the size follow the load. Without it the size is what is said."},
    {.name = "drain",
     .type = REEVE_FIELD_RECORD,
     .offset = AT(drain),
     .record = &drain_record,
     .scalar_member = "deadline",
     .doc = "How workers that have to go are waited for."},
    {.name = "update",
     .type = REEVE_FIELD_RECORD,
     .offset = AT(update),
     .record = &update_record,
     .doc = "How they are replaced."},
    {.name = "partition",
     .type = REEVE_FIELD_RECORD,
     .offset = AT(partition),
     .record = &partition_record,
     .doc = "What happens when they are out of reach."},
    {.name = "acquire",
     .type = REEVE_FIELD_RECORD,
     .offset = AT(acquire),
     .record = &acquire_record,
     .doc = "Exclusive use of one."},
};
#undef AT

const struct reeve_record reeve_pool_record = {
    .name = "pool",
    .size = sizeof(struct reeve_pool_spec),
    .fields = pool_fields,
    .fields_len = REEVE_ARRAY_LEN(pool_fields),
    .doc = "How many workers of one template there are to be, where, how they are replaced and scaled.",
    .check = pool_check_all,
};
