// Accounts: a directory of files, one per trading account, over a file of defaults; rules that each has to keep; and the
// worker that runs for it.
//
//   account_id: desk-a-1            defaults file (`defaults.yaml` in the directory, optional): the same keys but account_id
//   enabled: true                   and login; what an account says wins, maps are merged, lists replaced.
//   login: "8812"
//   password: file:/etc/reeve/secrets/desk-a-1        # or env:NAME; never the password itself
//   server: demo.example.com:443
//   timeout: 30s
//   portable: false
//   auto_connect: true
//   default_risk: {risk_percent: 1.0, max_positions: 5, portfolio_risk_percent: 6, max_concurrent_trades: 3}
//   currencies: [{symbol: EURUSD, enabled: true, risk: {...}, strategy: grid, position_management: {...}}]
//   worker: {type: trading, memory_limit: 512M}        # the template; config.account is filled in from the rest
//   require: [region=eu, "cpus>=2"]                    # what the node has to be (reeve/match.h); absent = any node
//   watch: apply | plan                                # defaults file only: what a changed file does
//
// Rules are a table (field, bound, severity, text); a project adds its own in `rules.yaml` of the directory.
// Secrets are references, everywhere: `password`, and whatever has the name of a secret in `worker.env`, `worker.config` and
// `position_management`. A secret itself is a mistake, and no message repeats it.
// Must not: read what a secret reference points at (that is the worker's program, on its node), or start anything.
#ifndef REEVE_ACCOUNT_H
#define REEVE_ACCOUNT_H

#include <reeve/match.h>
#include <reeve/spec.h>

#define REEVE_ACCOUNTS_MAX       4096       // files of one directory
#define REEVE_ACCOUNT_PREFIX     "account-" // of the worker's name
#define REEVE_ACCOUNT_ID_LEN_MAX (REEVE_NAME_LEN_MAX - (sizeof(REEVE_ACCOUNT_PREFIX) - 1))

struct reeve_account_risk {
    double risk_percent;           // 0.1..10; above: warning
    int64_t max_positions;         // >= 1
    double portfolio_risk_percent; // 1..20; above: warning
    int64_t max_concurrent_trades; // >= 1
};
struct reeve_account_currency {
    char *symbol; // not empty
    bool enabled;
    struct reeve_value *risk; // MAP or NULL: overrides of default_risk
    char *strategy;
    struct reeve_value *position_management; // MAP or NULL
};
struct reeve_account {
    char *account_id; // [topic-2], at most REEVE_ACCOUNT_ID_LEN_MAX bytes
    bool enabled;
    char *login;
    char *password; // reference, `file:` or `env:`; SECRET all the same
    char *server;
    int64_t timeout_ms;
    bool portable, auto_connect;
    struct reeve_account_risk default_risk;
    struct reeve_records currencies; // of struct reeve_account_currency
    struct reeve_strv require;       // of the node
    struct reeve_value *worker;      // MAP: the template

    // Settled by decoding:
    struct reeve_value *merged; // the whole account over the defaults, as a MAP in its shortest spelling; holds the references
    char *file;                 // where it was read; NULL = not from a file
    uint64_t digest;            // of `merged`: what says the same has the same, whatever its spelling
};
extern const struct reeve_record reeve_account_record; // for documentation and completion; to decode use reeve_account_decode()
// One account from a MAP (over no defaults), by the table but without the rules. On failure *ret is untouched.
enum reeve_err reeve_account_decode(const struct reeve_value *value, struct reeve_account *ret, struct reeve_errors *errors);

// How a change of a key takes effect: `live` is sent to the running worker with `configure`, `restart` restarts it,
// `immutable` is refused while it runs.
enum reeve_account_effect { REEVE_ACCOUNT_LIVE, REEVE_ACCOUNT_RESTART, REEVE_ACCOUNT_IMMUTABLE };

struct reeve_account_rules; // opaque: the built-in table and what a project added
enum reeve_err reeve_account_rules_new(struct reeve_account_rules **ret);
// `rules.yaml`: {rules: [{field: default_risk.risk_percent, min: 0.1, max: 2, severity: error|warning, text: "..."}]}; further
// `one_of: [...]` and `required: true`. `currencies[].strategy` is about each of a list. Added to what is there; on failure nothing is.
enum reeve_err reeve_account_rules_load(struct reeve_account_rules *rules, const char *path, struct reeve_errors *errors);
// The same from what was read already: the documents of one file.
enum reeve_err reeve_account_rules_add(struct reeve_account_rules *rules, const struct reeve_value *document,
                                       struct reeve_errors *errors);
// What the rules say about an account as it is written (merged, decoded or not). `given_only`: what is missing is no mistake.
void reeve_account_rules_judge(const struct reeve_account_rules *rules, const struct reeve_value *account, bool given_only,
                               struct reeve_errors *errors);
// The reference part of docs/accounts.md: keys of an account and of the defaults, of rules, and the built-in rules.
enum reeve_err reeve_account_markdown(struct reeve_buf *buf);
void reeve_account_rules_free(struct reeve_account_rules *rules);

// What one file came to: an account that may run, or why not. `errors` holds mistakes and warnings with their places.
struct reeve_account_file {
    char *path;
    char id[REEVE_NAME_SIZE];     // "" when not even that was readable
    bool valid;                   // no errors; warnings allowed
    bool decoded;                 // at most the rules are against it: `account` is filled. Never with a secret in it, or an id used twice
    struct reeve_account account;
    struct reeve_errors *errors;  // owned; its source is `path`. NULL = nothing to say
};
struct reeve_account_dir {
    char *path;
    struct reeve_account_file *files; // in order of file name
    size_t len;
    size_t valid, invalid;
    bool watch_apply;            // `watch: apply` of the defaults
    struct reeve_errors *errors; // warnings about the directory, the defaults and the rules; owned; NULL = none
};
// Read and judge a whole directory: every *.yaml, *.yml and *.json in it but the defaults and the rules. OK when the directory,
// defaults and rules were readable, whatever the accounts are like; ids used twice make every file with that id invalid, each naming
// the other. `apply_defaults` false: the defaults are read, but only for `watch`. Initialises `errors`, whose source is then static text.
enum reeve_err reeve_account_dir_load(const char *path, bool apply_defaults, struct reeve_account_dir *ret,
                                      struct reeve_errors *errors);
void reeve_account_dir_done(struct reeve_account_dir *dir);
enum reeve_err reeve_account_copy(const struct reeve_account *account, struct reeve_account *ret);
void reeve_account_done(struct reeve_account *account);
// The account's worker: its template, named `account-<id>`, with account = id and its settings in config.account, secrets as
// references only. INVALID with the template's mistakes.
enum reeve_err reeve_account_spec(const struct reeve_account *account, struct reeve_spec *ret, struct reeve_errors *errors);
// As a MAP for people, every secret and every reference to one "***".
enum reeve_err reeve_account_value(const struct reeve_account *account, struct reeve_value **ret);

const char *reeve_account_effect_text(enum reeve_account_effect effect); // live restart immutable
// The digest of its spec in two parts: what a worker is restarted for, and what `configure` tells it as it runs.
enum reeve_err reeve_account_spec_digests(const struct reeve_account *account, uint64_t *ret_restart, uint64_t *ret_live);
// From `old` to `new_`: [{key, effect, from, to}] (secrets masked), and the strongest effect (LIVE when nothing changed).
enum reeve_err reeve_account_changes(const struct reeve_account *old, const struct reeve_account *new_, struct reeve_value **ret,
                                     enum reeve_account_effect *ret_effect);

#endif
