// The worker spec: what a worker is and how it is to be run, as a person writes it in YAML, as `apply`
// carries it in a command and as a node keeps it on disk. One record table describes all three.
//
//   struct reeve_errors errors;
//   struct reeve_specs specs;
//   if (reeve_spec_load_file("swap-worker.yaml", &specs, &errors) == REEVE_OK) {
//       for (size_t i = 0; i < specs.len; i++) ... specs.items[i] ...
//       reeve_specs_done(&specs);
//   } // else: print errors.items with reeve_error_format(), all of them; exit 2
//
// A file holds one or more YAML documents (or is JSON or msgpack by its extension), each of them one of
//   - a map with `worker:`, one spec. Every other top-level key (`swap:`, `trading_bot:`) becomes an entry of its `config`;
//   - a map with `workers:`, a list of specs, and nothing else;
//   - a bare spec: a map with `command` or `type` at its top level.
// Must not: look at the host (users, programs, folders): a spec is checked where it is written and may run elsewhere.
#ifndef REEVE_SPEC_H
#define REEVE_SPEC_H

#include <reeve/lifecycle.h>
#include <reeve/record.h>

#define REEVE_SPECS_MAX 1024                // specs of one file
#define REEVE_SPEC_PROGRAM_PREFIX "reeve-worker-" // program of a type: reeve-worker-<type>
#define REEVE_SPEC_PROBES_MAX 16

enum reeve_spec_desired { REEVE_DESIRED_RUNNING, REEVE_DESIRED_STOPPED };

// How a run shows that it is ready (state running instead of starting).
enum reeve_spec_ready_mode {
    REEVE_READY_IMMEDIATE, // spawned is ready
    REEVE_READY_NOTIFY,    // it writes a line to the inherited descriptor REEVE_NOTIFY_FD: empty, as with s6, or READY=1
    REEVE_READY_LOG,       // a line of its output matches ready.log
    REEVE_READY_TCP,       // 127.0.0.1:ready.tcp accepts a connection
};

struct reeve_spec_restart {
    int policy; // enum reeve_restart_policy
    int64_t initial_ms, max_ms;
    double factor, jitter;
    int64_t healthy_ms;
    int64_t limit; // ends in window_ms before `failed`; 0 = no limit
    int64_t window_ms;
};
struct reeve_spec_stop {
    int signal; // number
    int64_t grace_ms;
};
struct reeve_spec_log {
    int64_t max_size_bytes; // of one file, then it is rotated
    int64_t files;          // kept, the current one included
};
struct reeve_spec_ready {
    int mode;   // enum reeve_spec_ready_mode; follows from log or tcp when it is not given
    char *log;  // POSIX extended regular expression; NULL unless mode is LOG
    int64_t tcp; // port; 0 unless mode is TCP
    int64_t timeout_ms;
};

// How a program that does not speak Reeve is asked from outside whether it works. Exactly one of tcp, http and exec.
struct reeve_spec_probe {
    char *name;
    char *tcp;             // "host:port", or "port" of 127.0.0.1; NULL
    char *http;            // "http://host:port/path"; NULL
    int64_t status;        // http: the status that is expected; 0 = any of 200 to 399
    struct reeve_strv exec; // argv; exit code 0 is good
    int64_t interval_ms, timeout_ms, start_after_ms;
    int64_t threshold;     // failures in a row before it counts as failing
};

// All strings and trees are owned by the spec; absent ones are NULL or empty. No names are invented on
// decoding: `name` is NULL when it was not given.
struct reeve_spec {
    char *name;
    char *type; // names the program unless `command` is given, and is what selectors see
    struct reeve_strv command; // argv; command.items[0] is a path or looked up in PATH
    struct reeve_value *env;   // MAP of strings, or NULL. Its values are secret: masked unless asked for
    char *cwd, *user, *group;
    char *exchange;
    struct reeve_strv capabilities;
    struct reeve_value *labels;     // MAP of strings, or NULL
    struct reeve_value *attributes; // MAP of strings, or NULL: fields of one's own, for matching
    char *pool, *account;           // whose it is; NULL
    int64_t fence;                  // fencing number; only grows for a worker of a name
    int64_t self_stop_after_ms;     // the worker runs under a lease of this length [lease-1]; 0 = without one
    int desired;                // enum reeve_spec_desired
    struct reeve_spec_restart restart;
    bool auto_restart; // follows restart.policy after decoding (false = never); only a spelling, never encoded
    struct reeve_spec_stop stop;
    int64_t ttl_ms;           // 0 = lives until somebody removes it
    int64_t cleanup_delay_ms; // with a ttl: from the end of the worker to its removal
    int64_t memory_limit_bytes; // 0 = none
    double cpu_limit;           // cores; 0 = none
    int64_t max_pids;           // 0 = none
    int64_t nofile;             // 0 = as the daemon has
    struct reeve_spec_log log;
    struct reeve_spec_ready ready;
    int64_t watchdog_ms; // 0 = off
    struct reeve_records probes; // of struct reeve_spec_probe
    struct reeve_value *config; // MAP for the worker, or NULL
};

struct reeve_specs {
    struct reeve_spec *items;
    size_t len;
};

// The table, for documentation and completion. To decode use reeve_spec_decode(), which also settles what depends on more
// than one field.
extern const struct reeve_record reeve_spec_record;

// One spec from a MAP (a bare spec: no `worker:` around it). `path` goes before the paths of the messages ("" for a root).
// All mistakes go to `errors`; OK only when there was none, and then *ret needs reeve_spec_done(). On failure
// *ret is untouched.
enum reeve_err reeve_spec_decode(const struct reeve_value *value, const char *path, struct reeve_spec *ret,
                                 struct reeve_errors *errors);

// The specs of one document in any of the three forms above: what a file holds, and what `apply` accepts as its args.
// They are appended to *specs (zeroed, or filled by an earlier call). Names used twice, also across calls, are an error.
// *specs keeps what it had when this one fails.
enum reeve_err reeve_spec_load_value(const struct reeve_value *document, struct reeve_specs *specs,
                                     struct reeve_errors *errors);

// A whole file ("-" = standard input), all documents. `errors` is initialised here with `path` as its source (borrowed);
// a file that can't be read or parsed is one error in it. All or nothing. An empty file is an error (NOENT, IO and
// DENIED are returned as such, everything else is INVALID or LIMIT). Warnings may be there with OK.
enum reeve_err reeve_spec_load_file(const char *path, struct reeve_specs *ret, struct reeve_errors *errors);

// Back into a bare MAP that reads back equal. Flags as in reeve_record_encode(): WITH_SECRETS for disk and for `apply`,
// never for a reply or a log.
enum reeve_err reeve_spec_encode(const struct reeve_spec *spec, unsigned flags, struct reeve_value **ret);
enum reeve_err reeve_spec_copy(const struct reeve_spec *spec, struct reeve_spec *ret);
void reeve_spec_done(struct reeve_spec *spec);
void reeve_specs_done(struct reeve_specs *specs);

// Digest of all that a spec says, independent of order and spelling (512M or 536870912, absent or preset): to tell changed
// from unchanged on reload. 0 only when out of memory.
uint64_t reeve_spec_digest(const struct reeve_spec *spec);
// The same without what a running process need not be restarted for: desired, labels, attributes, pool, account, fence,
// capabilities, restart, stop, ttl, cleanup_delay, probes. Equal digests = the change applies to the running worker.
uint64_t reeve_spec_run_digest(const struct reeve_spec *spec);
bool reeve_spec_equal(const struct reeve_spec *a, const struct reeve_spec *b);

// `worker-{type}-{exchange}-{host}-{8 hex}` for a spec without a name: type NULL or `default` and exchange NULL are left
// out, parts are made valid, the middle is cut so that the whole has at most 63 bytes. Two calls give two names. Returns buf.
const char *reeve_spec_name_generate(const char *type, const char *exchange, const char *host,
                                     char buf[REEVE_NAME_SIZE]);

// argv to execute: `command`, or {"<worker_dir>/reeve-worker-<type>"}; worker_dir NULL leaves the folder out (PATH).
enum reeve_err reeve_spec_argv(const struct reeve_spec *spec, const char *worker_dir, struct reeve_strv *ret);
struct reeve_backoff_policy reeve_spec_backoff(const struct reeve_spec *spec);

// "TERM", "SIGTERM", "15" -> 15; INVALID names some that exist. For `stop.signal` and the op `signal`.
enum reeve_err reeve_signal_parse(const char *text, int *ret_signal, struct reeve_why *why);

// "host:port", "[::1]:port" or "port" (of 127.0.0.1): a host without brackets into `host`, the port, INVALID with the reason.
#define REEVE_ENDPOINT_HOST_SIZE 256
enum reeve_err reeve_endpoint_parse(const char *text, char host[REEVE_ENDPOINT_HOST_SIZE], int64_t *ret_port,
                                    struct reeve_why *why);
// "http://host[:port][/path]": the path (never empty) points into `text`, or is "/".
enum reeve_err reeve_http_url_parse(const char *text, char host[REEVE_ENDPOINT_HOST_SIZE], int64_t *ret_port,
                                    const char **ret_path, struct reeve_why *why);

// "SIGTERM"; "signal 40" for one without a name, in buf. Returns buf or a static string.
const char *reeve_signal_text(int signal, char buf[24]);

#endif
