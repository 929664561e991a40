// Inside shared/account: what its files share.
// Must not: be included from anywhere else.
#ifndef REEVE_ACCOUNT_INTERNAL_H
#define REEVE_ACCOUNT_INTERNAL_H

#include <reeve/account.h>

// The defaults file: what an account may leave out, and `watch`.
struct account_defaults {
    struct reeve_account account;
    bool watch_apply;
    int watch;
};
extern const struct reeve_record account_defaults_record;

// What a running worker is told with `configure`, of config.account.
extern const char *const account_live_keys[]; // ends with NULL

// Whether this is the name of a number of risk: there a text such as "5" is a number, elsewhere it is a text.
bool account_is_risk(const char *name);

// ---- account_secret.c -----------------------------------------------------------------------------------------------

bool account_is_reference(const char *text); // file:/absolute/path or env:NAME
// Every secret below `value` has to be a reference. `secret`: all of it is one.
void account_check_secrets(const struct reeve_value *value, const char *path, bool secret, struct reeve_errors *errors);
void account_check_argv(const struct reeve_value *argv, const char *path, struct reeve_errors *errors);
// A copy for people: secrets and references are "***"; so is all of worker.env and worker.config. NULL = out of memory.
struct reeve_value *account_mask(const struct reeve_value *account);
// Whether what a rule is about may be repeated in a message.
bool account_path_secret(const char *path);

// ---- account.c ------------------------------------------------------------------------------------------------------

// The template as a spec of its own, checked; `partial`: of the defaults, where an account says the rest. OK, INVALID
// or NOMEM.
enum reeve_err account_check_template(const struct reeve_value *worker, bool partial, struct reeve_errors *errors);

#endif
