// Topics: building and taking apart `reeve/v1/<site>/...` [topic-1..6]. The table in topic.c is the
// only place that knows the depth and the names of the levels.
#ifndef REEVE_TOPIC_H
#define REEVE_TOPIC_H

#include <reeve/str.h>

#define REEVE_TOPIC_LEN_MAX 250
#define REEVE_TOPIC_SIZE (REEVE_TOPIC_LEN_MAX + 1)
#define REEVE_ROOT_PRESET "reeve/v1/local"

enum reeve_topic_kind {
    REEVE_TOPIC_NONE,     // not below the root, or of no known form
    REEVE_TOPIC_NODE,     // node/<node>/<leaf>             leaf: status lwt metrics event
    REEVE_TOPIC_NODE_CMD, // node/<node>/cmd/<op>
    REEVE_TOPIC_WORKER,   // worker/<node>/<worker>/<leaf>  leaf: process status lwt metrics progress event log job
    REEVE_TOPIC_WORKER_CMD, // worker/<node>/<worker>/cmd/<op>
    REEVE_TOPIC_FLEET,    // fleet/<node>/<worker>
    REEVE_TOPIC_POOL,     // pool/<pool>/<leaf>             leaf: spec status event
    REEVE_TOPIC_POOL_CMD, // pool/<pool>/cmd/<op>
    REEVE_TOPIC_QUEUE,    // queue/<queue>/<leaf>           leaf: status report event
    REEVE_TOPIC_QUEUE_CMD, // queue/<queue>/cmd/<op>
    REEVE_TOPIC_JOB,      // job/<queue>/<job>
    REEVE_TOPIC_ACCOUNT,  // account/<account>/status
    REEVE_TOPIC_ACCOUNT_CMD, // account/<account>/cmd/<op>
    REEVE_TOPIC_MANAGER,  // manager/<manager>/<leaf>       leaf: status lwt
    REEVE_TOPIC_MANAGER_CMD, // manager/<manager>/cmd/<op>
    REEVE_TOPIC_REPLY,    // reply/<client>/<id>
    REEVE_TOPIC_AUDIT,    // audit/<who>
    REEVE_TOPIC_ALARM,    // alarm/<kind>/<subject>
    REEVE_TOPIC_OTHER,    // below the root, of a part that this build does not know
};

#define REEVE_TOPIC_ID_SIZE 81 // a command's id has up to 64 bytes (reeve_id_valid), a job's up to 80 [job-11]

struct reeve_topic {
    enum reeve_topic_kind kind;
    char node[REEVE_NAME_SIZE];   // NODE*, WORKER*, FLEET
    char worker[REEVE_NAME_SIZE]; // WORKER*, FLEET
    char leaf[REEVE_TOPIC_ID_SIZE]; // NODE, WORKER: the leaf; *_CMD: the op; REPLY: the id; ALARM: the subject; JOB: its id
    char client[REEVE_NAME_SIZE]; // REPLY: the client; AUDIT: who; ALARM: the kind; POOL*, QUEUE*, ACCOUNT*, MANAGER*: the name; JOB: the queue
};

// The root: 1..6 levels of [A-Za-z0-9_-]+, at most 47 bytes (the longest topic must fit below it), no leading or trailing '/'. INVALID names the place.
enum reeve_err reeve_root_check(const char *root, struct reeve_why *why);
// Take `topic` apart. Names are checked: a level that is no name gives NONE. Never fails.
struct reeve_topic reeve_topic_parse(const char *root, const char *topic);

// printf below the root: reeve_topic_make(buf, root, "worker/%s/%s/process", node, worker). Returns buf.
// Asserts on a topic that does not fit: names are bounded, so that can't come from outside.
const char *reeve_topic_make(char buf[REEVE_TOPIC_SIZE], const char *root, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

// A topic to publish to: 1..250 bytes of UTF-8 without wildcards and control characters.
bool reeve_topic_valid(const char *topic);
// Whether a receiver may send a reply there: outside the root (the broker's ACL decides), or below it only `reply/<client>/<id>`.
// Otherwise a command's reply_to would make a daemon write into somebody's status [topic-6]. And only what every broker
// takes: printable ASCII without space and dot, 64 levels; what a broker refuses would end the session of who answers.
bool reeve_topic_reply_allowed(const char *root, const char *topic);

// MQTT filter matching, + and # included; a filter starting with a wildcard does not match $-topics.
bool reeve_topic_match(const char *filter, const char *topic);

#endif
