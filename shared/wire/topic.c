// Topics: building and taking apart `reeve/v1/<site>/...`, and filter matching [topic-1..3].
// The table of forms is the only place that knows the depth and the names of the levels.
// Must not: allocate, or trust a level that is no name.
#include <reeve/id.h>
#include <reeve/topic.h>

#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define REPLY_LEVELS_MAX 64

// What stands on one level below the root.
enum level { LEVEL_END, LEVEL_NODE, LEVEL_WORKER, LEVEL_LEAF, LEVEL_CMD, LEVEL_OP, LEVEL_CLIENT, LEVEL_ID, LEVEL_JOB };
#define LEVELS_MAX 4

static const char *const node_leaves[] = {"status", "lwt", "metrics", "event", NULL};
static const char *const worker_leaves[] = {"process", "status", "lwt", "metrics", "progress",
                                            "event",   "log",    "job", NULL};
static const char *const pool_leaves[] = {"spec", "status", "event", NULL};
static const char *const queue_leaves[] = {"status", "report", "event", NULL};
static const char *const account_leaves[] = {"status", NULL};
static const char *const manager_leaves[] = {"status", "lwt", NULL};

struct form {
    const char *part;
    enum reeve_topic_kind kind;
    enum level levels[LEVELS_MAX + 1];
    const char *const *leaves; // what LEVEL_LEAF may be
};
static const struct form forms[] = {
    {"node", REEVE_TOPIC_NODE, {LEVEL_NODE, LEVEL_LEAF}, node_leaves},
    {"node", REEVE_TOPIC_NODE_CMD, {LEVEL_NODE, LEVEL_CMD, LEVEL_OP}, NULL},
    {"worker", REEVE_TOPIC_WORKER, {LEVEL_NODE, LEVEL_WORKER, LEVEL_LEAF}, worker_leaves},
    {"worker", REEVE_TOPIC_WORKER_CMD, {LEVEL_NODE, LEVEL_WORKER, LEVEL_CMD, LEVEL_OP}, NULL},
    {"fleet", REEVE_TOPIC_FLEET, {LEVEL_NODE, LEVEL_WORKER}, NULL},
    {"pool", REEVE_TOPIC_POOL, {LEVEL_CLIENT, LEVEL_LEAF}, pool_leaves},
    {"pool", REEVE_TOPIC_POOL_CMD, {LEVEL_CLIENT, LEVEL_CMD, LEVEL_OP}, NULL},
    {"queue", REEVE_TOPIC_QUEUE, {LEVEL_CLIENT, LEVEL_LEAF}, queue_leaves},
    {"queue", REEVE_TOPIC_QUEUE_CMD, {LEVEL_CLIENT, LEVEL_CMD, LEVEL_OP}, NULL},
    {"job", REEVE_TOPIC_JOB, {LEVEL_CLIENT, LEVEL_JOB}, NULL},
    {"account", REEVE_TOPIC_ACCOUNT, {LEVEL_CLIENT, LEVEL_LEAF}, account_leaves},
    {"account", REEVE_TOPIC_ACCOUNT_CMD, {LEVEL_CLIENT, LEVEL_CMD, LEVEL_OP}, NULL},
    {"manager", REEVE_TOPIC_MANAGER, {LEVEL_CLIENT, LEVEL_LEAF}, manager_leaves},
    {"manager", REEVE_TOPIC_MANAGER_CMD, {LEVEL_CLIENT, LEVEL_CMD, LEVEL_OP}, NULL},
    {"reply", REEVE_TOPIC_REPLY, {LEVEL_CLIENT, LEVEL_ID}, NULL},
    {"audit", REEVE_TOPIC_AUDIT, {LEVEL_CLIENT}, NULL},
    {"alarm", REEVE_TOPIC_ALARM, {LEVEL_CLIENT, LEVEL_OP}, NULL},
};

// The longest topic of all is worker/<node>/<worker>/cmd/<op>; a root that passed the check leaves room for it.
#define BELOW_ROOT_LEN_MAX (sizeof("/worker///cmd/") - 1 + (size_t)3 * REEVE_NAME_LEN_MAX)
#define ROOT_LEN_MAX       (REEVE_TOPIC_LEN_MAX - BELOW_ROOT_LEN_MAX)
#define ROOT_LEVELS_MAX    6
static_assert(ROOT_LEN_MAX >= sizeof(REEVE_ROOT_PRESET) + 16, "the usual root leaves room for a tenant's prefix");

static bool id_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '-';
}

enum reeve_err reeve_root_check(const char *root, struct reeve_why *why)
{
    size_t len = strlen(root);
    if (len == 0 || len > ROOT_LEN_MAX) {
        return reeve_fail(why, REEVE_INVALID, "root has %zu bytes, expected 1 to %zu such as " REEVE_ROOT_PRESET, len,
                          (size_t)ROOT_LEN_MAX);
    }
    size_t levels = 1;
    for (size_t i = 0; i < len; i++) {
        bool level_ends = root[i] == '/';
        bool level_empty = level_ends && (i == 0 || i + 1 == len || root[i - 1] == '/');
        if (level_empty) {
            return reeve_fail(why, REEVE_INVALID, "root has an empty level at %zu (no '/' at its ends, none doubled)",
                              i + 1);
        }
        if (!level_ends && !id_byte(root[i])) {
            return reeve_fail(why, REEVE_INVALID, "root has byte 0x%02x at %zu, allowed are A-Z a-z 0-9 _ - and '/'",
                              (unsigned)(unsigned char)root[i], i + 1);
        }
        levels += level_ends ? 1 : 0;
    }
    if (levels > ROOT_LEVELS_MAX) {
        return reeve_fail(why, REEVE_INVALID, "root has %zu levels, at most %d are allowed", levels, ROOT_LEVELS_MAX);
    }
    return REEVE_OK;
}

// The next level of *at into `ret` (REEVE_TOPIC_ID_SIZE bytes); false when it is empty or too long. *at becomes NULL at
// the end.
static bool next_level(const char **at, char ret[REEVE_TOPIC_ID_SIZE])
{
    size_t len = strcspn(*at, "/");
    if (len == 0 || len >= REEVE_TOPIC_ID_SIZE) {
        return false;
    }
    memcpy(ret, *at, len);
    ret[len] = '\0';
    *at = (*at)[len] == '/' ? *at + len + 1 : NULL;
    return true;
}

static bool leaf_known(const char *text, const char *const *leaves)
{
    for (; *leaves != NULL; leaves++) {
        if (strcmp(*leaves, text) == 0) {
            return true;
        }
    }
    return false;
}

static bool take_name(const char *text, char ret[REEVE_NAME_SIZE])
{
    if (reeve_name_check(text, NULL) != REEVE_OK) {
        return false;
    }
    (void)snprintf(ret, REEVE_NAME_SIZE, "%s", text);
    return true;
}

// A job's id [job-11]; its length is that of a level.
static bool made_of_id_bytes(const char *text)
{
    while (id_byte(*text)) {
        text++;
    }
    return *text == '\0';
}

static bool take_level(const struct form *form, enum level level, const char *text, struct reeve_topic *topic)
{
    switch (level) {
    case LEVEL_NODE:
        return take_name(text, topic->node);
    case LEVEL_WORKER:
        return take_name(text, topic->worker);
    case LEVEL_CLIENT:
        return take_name(text, topic->client);
    case LEVEL_OP:
        return take_name(text, topic->leaf);
    case LEVEL_CMD:
        return strcmp(text, "cmd") == 0;
    case LEVEL_LEAF:
        (void)snprintf(topic->leaf, sizeof(topic->leaf), "%s", text);
        return leaf_known(text, form->leaves);
    case LEVEL_ID:
        (void)snprintf(topic->leaf, sizeof(topic->leaf), "%s", text);
        return reeve_id_valid(text);
    case LEVEL_JOB:
        (void)snprintf(topic->leaf, sizeof(topic->leaf), "%s", text);
        return made_of_id_bytes(text);
    case LEVEL_END:
        break;
    }
    return false;
}

// `at` = what follows the part, NULL for nothing.
static bool match_form(const struct form *form, const char *at, struct reeve_topic *ret)
{
    struct reeve_topic topic = {.kind = form->kind};
    for (const enum level *level = form->levels; *level != LEVEL_END; level++) {
        char text[REEVE_TOPIC_ID_SIZE];
        if (at == NULL || !next_level(&at, text) || !take_level(form, *level, text, &topic)) {
            return false;
        }
    }
    if (at != NULL) {
        return false;
    }
    *ret = topic;
    return true;
}

// What follows the root, NULL when `topic` is not below it.
static const char *below_root(const char *root, const char *topic)
{
    size_t len = strlen(root);
    return strncmp(topic, root, len) == 0 && topic[len] == '/' ? topic + len + 1 : NULL;
}

struct reeve_topic reeve_topic_parse(const char *root, const char *topic)
{
    struct reeve_topic parsed = {.kind = REEVE_TOPIC_NONE};
    char part[REEVE_TOPIC_ID_SIZE];
    const char *at = below_root(root, topic);
    if (at == NULL || strlen(topic) > REEVE_TOPIC_LEN_MAX || !next_level(&at, part)) {
        return parsed;
    }
    bool part_known = false;
    for (size_t i = 0; i < REEVE_ARRAY_LEN(forms); i++) {
        if (strcmp(forms[i].part, part) != 0) {
            continue;
        }
        part_known = true;
        if (match_form(&forms[i], at, &parsed)) {
            return parsed;
        }
    }
    parsed.kind = part_known ? REEVE_TOPIC_NONE : REEVE_TOPIC_OTHER;
    return parsed;
}

const char *reeve_topic_make(char buf[REEVE_TOPIC_SIZE], const char *root, const char *fmt, ...)
{
    size_t root_len = strlen(root);
    REEVE_ASSERT(root_len + 1 < REEVE_TOPIC_SIZE);
    (void)snprintf(buf, REEVE_TOPIC_SIZE, "%s/", root);
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(buf + root_len + 1, REEVE_TOPIC_SIZE - root_len - 1, fmt, ap);
    va_end(ap);
    REEVE_ASSERT(len > 0 && (size_t)len < REEVE_TOPIC_SIZE - root_len - 1);
    return buf;
}

bool reeve_topic_match(const char *filter, const char *topic)
{
    if (topic[0] == '$' && (filter[0] == '+' || filter[0] == '#')) {
        return false;
    }
    for (;;) {
        if (filter[0] == '#') {
            return filter[1] == '\0';
        }
        size_t filter_len = strcspn(filter, "/");
        size_t topic_len = strcspn(topic, "/");
        bool any = filter_len == 1 && filter[0] == '+';
        if (!any && (filter_len != topic_len || memcmp(filter, topic, filter_len) != 0)) {
            return false;
        }
        filter += filter_len;
        topic += topic_len;
        if (*topic == '\0') {
            // "a/#" matches "a" as well (MQTT 5, 4.7.1.2).
            return *filter == '\0' || strcmp(filter, "/#") == 0;
        }
        if (*filter == '\0') {
            return false;
        }
        filter++;
        topic++;
    }
}

bool reeve_topic_valid(const char *topic)
{
    size_t len = strlen(topic);
    if (len == 0 || len > REEVE_TOPIC_LEN_MAX || !reeve_utf8_valid(topic, len)) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)topic[i];
        if (c < 0x20 || c == 0x7f || c == '+' || c == '#') {
            return false;
        }
    }
    return true;
}

// What every broker takes [topic-7]. One that does not take a topic ends the session of whoever publishes to it: NATS
// for a dot or a space, Mosquitto above 200 levels and for code points that are no characters.
static bool is_portable(const char *topic)
{
    size_t levels = 1;
    for (const char *at = topic; *at != '\0'; at++) {
        if (*at <= ' ' || *at >= 0x7f || *at == '.') {
            return false;
        }
        levels += *at == '/';
    }
    return levels <= REPLY_LEVELS_MAX;
}

bool reeve_topic_reply_allowed(const char *root, const char *topic)
{
    return topic[0] != '$' && reeve_topic_valid(topic) && is_portable(topic) &&
           (below_root(root, topic) == NULL || reeve_topic_parse(root, topic).kind == REEVE_TOPIC_REPLY);
}
