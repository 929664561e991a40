// A stand-in for a worker that trades for an account: takes the settings that the manager gives it, and finds the
// password where the reference says. What a real one does first, as an example of it. Must not: log or publish a
// secret, or the reference to one.
#include "probe.h"

#include <reeve/file.h>
#include <reeve/log.h>

#include <stdlib.h>
#include <string.h>

#define SECRET_LEN_MAX 4096

// `file:/path`: a file closed to others, of ours or root's. `env:NAME`: a variable of this process.
static enum reeve_err find_secret(const char *reference, struct reeve_buf *ret, struct reeve_why *why)
{
    if (reeve_str_starts(reference, "file:")) {
        return reeve_file_read_secret(reference + strlen("file:"), SECRET_LEN_MAX, ret, why);
    }
    const char *value = reeve_str_starts(reference, "env:") ? getenv(reference + strlen("env:")) : NULL;
    if (value == NULL) {
        return reeve_fail(why, REEVE_NOENT, "no such variable");
    }
    reeve_buf_reset(ret);
    reeve_buf_puts(ret, value);
    return ret->err;
}

void probe_account(const struct reeve_value *account)
{
    REEVE_BUF_AUTO secret = REEVE_BUF_INIT(SECRET_LEN_MAX);
    const char *reference = reeve_get_str(account, "password");
    const struct reeve_value *risk = reeve_value_get(account, "default_risk");
    if (account == NULL) {
        return;
    }
    enum reeve_err err = reference != NULL ? find_secret(reference, &secret, NULL) : REEVE_NOENT;
    reeve_log(REEVE_LOG_INFO, "account", "account=%s risk_percent=%g currencies=%zu password=%s",
              reeve_get_str(account, "account_id") != NULL ? reeve_get_str(account, "account_id") : "?",
              reeve_value_real(reeve_value_get(risk, "risk_percent"), 0),
              reeve_value_len(reeve_value_get(account, "currencies")), err == REEVE_OK ? "found" : reeve_err_text(err));
    if (secret.data != NULL) {
        explicit_bzero(secret.data, secret.len);
    }
}
