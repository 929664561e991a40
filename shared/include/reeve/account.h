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
//   watch: apply | plan                                # defaults file only: what a changed file does
//
// Rules are a table (field, bound, severity, text); a project adds its own in `rules.yaml` of the directory.
// Must not: read what a secret reference points at (that is the node's), or start anything.
#ifndef REEVE_ACCOUNT_H
#define REEVE_ACCOUNT_H

#include <reeve/spec.h>

#define REEVE_ACCOUNTS_MAX 4096 // files of one directory

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
    char *account_id; // [topic-2]
    bool enabled;
    char *login;
    char *password; // reference, `file:` or `env:`; SECRET all the same
    char *server;
    int64_t timeout_ms;
    bool portable, auto_connect;
    struct reeve_account_risk default_risk;
    struct reeve_records currencies; // of struct reeve_account_currency
    struct reeve_value *worker;      // MAP: the template

    // Settled by loading:
    struct reeve_value *merged; // the whole account over the defaults, as a MAP
    char *file;                 // where it was read
    uint64_t digest;            // of `merged`
};
extern const struct reeve_record reeve_account_record;

// How a change of a key takes effect: `live` is sent to the running worker with `configure`, `restart` restarts it,
// `immutable` is refused while it runs.
enum reeve_account_effect { REEVE_ACCOUNT_LIVE, REEVE_ACCOUNT_RESTART, REEVE_ACCOUNT_IMMUTABLE };

struct reeve_account_rules; // opaque: the built-in table and what a project added
enum reeve_err reeve_account_rules_new(struct reeve_account_rules **ret);
// `rules.yaml`: {rules: [{field: default_risk.risk_percent, min: 0.1, max: 2, severity: error|warning, text: "..."}]}.
enum reeve_err reeve_account_rules_load(struct reeve_account_rules *rules, const char *path, struct reeve_errors *errors);
void reeve_account_rules_free(struct reeve_account_rules *rules);

// What one file came to: an account that may run, or why not. `errors` holds mistakes and warnings with their places.
struct reeve_account_file {
    char *path;
    char id[REEVE_NAME_SIZE];     // "" when not even that was readable
    bool valid;                   // no errors; warnings allowed
    struct reeve_account account; // filled only when valid
    struct reeve_errors *errors;  // owned
};
struct reeve_account_dir {
    char *path;
    struct reeve_account_file *files; // in order of file name
    size_t len;
    size_t valid, invalid;
    bool watch_apply;            // `watch: apply` of the defaults
    struct reeve_errors *errors; // of the directory, the defaults and the rules; owned
};
// Read and judge a whole directory. OK when the directory, defaults and rules were readable, whatever the accounts are like; ids used
// twice make every file with that id invalid, each naming the other. `apply_defaults` false: defaults.yaml is not read.
enum reeve_err reeve_account_dir_load(const char *path, bool apply_defaults, struct reeve_account_dir *ret,
                                      struct reeve_errors *errors);
void reeve_account_dir_done(struct reeve_account_dir *dir);
enum reeve_err reeve_account_copy(const struct reeve_account *account, struct reeve_account *ret);
void reeve_account_done(struct reeve_account *account);
// The account's worker: its template, named `account-<id>`, with account = id and its settings in config.account, secrets as
// references only. INVALID with the template's mistakes.
enum reeve_err reeve_account_spec(const struct reeve_account *account, struct reeve_spec *ret, struct reeve_errors *errors);
// As a MAP for people, the secret masked.
enum reeve_err reeve_account_value(const struct reeve_account *account, struct reeve_value **ret);

// From `old` to `new_`: [{key, effect, from, to}] (secrets masked), and the strongest effect.
enum reeve_err reeve_account_changes(const struct reeve_account *old, const struct reeve_account *new_, struct reeve_value **ret,
                                     enum reeve_account_effect *ret_effect);

#endif
