// A profile: a file that says where the broker is and as whom. Two forms load: `broker:` as in a node's configuration,
// and the older `remote: {host port api_key ssl timeout}` that users already have. Must not: connect.
#include "output.h"
#include "site.h"

#include <reeve/codec.h>
#include <stdlib.h>
#include <string.h>

struct remote {
    char *host;
    int64_t port;
    char *api_key;
    bool ssl;
    int64_t timeout_ms;
};

struct profile {
    struct reeve_value *broker;
    struct reeve_value *remote;
    char *root;
    char *node;
};

static const struct reeve_field remote_fields[] = {
    {.name = "host",
     .type = REEVE_FIELD_STR,
     .flags = REEVE_FIELD_REQUIRED,
     .offset = offsetof(struct remote, host),
     .min = 1,
     .max = 255,
     .doc = "Host of the broker."},
    {.name = "port",
     .type = REEVE_FIELD_INT,
     .offset = offsetof(struct remote, port),
     .min = 0,
     .max = 65535,
     .preset = "0",
     .doc = "Its port; 0 = 1883, with ssl 8883."},
    {.name = "api_key",
     .type = REEVE_FIELD_STR,
     .flags = REEVE_FIELD_SECRET,
     .offset = offsetof(struct remote, api_key),
     .min = 1,
     .max = 1024,
     .doc = "Password of a broker user of the operator role, whose name follows from it."},
    {.name = "ssl", .type = REEVE_FIELD_BOOL, .offset = offsetof(struct remote, ssl), .preset = "false", .doc = "TLS."},
    {.name = "timeout",
     .type = REEVE_FIELD_DURATION,
     .offset = offsetof(struct remote, timeout_ms),
     .min = 0,
     .max = 86400000,
     .preset = "0",
     .doc = "As --timeout."},
};
static const struct reeve_record remote_record =
    REEVE_RECORD("remote", struct remote, remote_fields, "Older spelling of `broker`.");

static const struct reeve_field profile_fields[] = {
    {.name = "broker", .type = REEVE_FIELD_VALUE, .offset = offsetof(struct profile, broker), .doc = "The broker."},
    {.name = "remote",
     .type = REEVE_FIELD_VALUE,
     .offset = offsetof(struct profile, remote),
     .doc = "Older spelling of `broker`."},
    {.name = "root",
     .type = REEVE_FIELD_STR,
     .offset = offsetof(struct profile, root),
     .min = 1,
     .max = 47,
     .doc = "Topic root."},
    {.name = "node",
     .type = REEVE_FIELD_NAME,
     .offset = offsetof(struct profile, node),
     .doc = "The node that is meant when none is named."},
};
static const struct reeve_record profile_record =
    REEVE_RECORD("profile", struct profile, profile_fields, "Where and as whom the command line connects.");

static enum reeve_err take_remote(const struct remote *remote, struct site *ret)
{
    char url[512];
    char user[REEVE_NAME_SIZE];
    int64_t port = remote->port > 0 ? remote->port : remote->ssl ? 8883 : 1883;
    (void)snprintf(url, sizeof url, "%s://%s:%lld", remote->ssl ? "mqtts" : "mqtt", remote->host, (long long)port);
    ret->broker.url = strdup(url);
    if (remote->api_key != NULL) {
        site_key_user(remote->api_key, user);
        ret->broker.username = strdup(user);
        ret->broker.password = strdup(remote->api_key);
        if (ret->broker.username == NULL || ret->broker.password == NULL) {
            return REEVE_NOMEM;
        }
    }
    if (remote->timeout_ms > 0) {
        ret->timeout_ms = remote->timeout_ms;
    }
    ret->broker.version = 5;
    return ret->broker.url != NULL ? REEVE_OK : REEVE_NOMEM;
}

static enum reeve_err take_parts(struct profile *profile, struct site *ret, struct reeve_errors *errors)
{
    struct remote remote;
    enum reeve_err err;
    if (profile->broker == NULL && profile->remote == NULL) {
        reeve_errors_add(errors, NULL, "broker", "is missing; expected `broker:` or the older `remote:`");
        return REEVE_INVALID;
    }
    if (profile->broker != NULL && profile->remote != NULL) {
        reeve_errors_add(errors, profile->remote, "remote", "stands beside `broker`; expected one of the two");
        return REEVE_INVALID;
    }
    if (profile->broker != NULL) {
        err = reeve_record_decode(&reeve_broker_record, profile->broker, "broker", &ret->broker, errors);
        if (err != REEVE_OK) {
            ret->broker = (struct reeve_broker){0};
        }
    } else {
        err = reeve_record_decode(&remote_record, profile->remote, "remote", &remote, errors);
        if (err == REEVE_OK) {
            err = take_remote(&remote, ret);
            reeve_record_done(&remote_record, &remote);
        }
    }
    if (err == REEVE_OK && profile->node != NULL) {
        (void)snprintf(ret->node, sizeof ret->node, "%s", profile->node);
    }
    ret->root = profile->root;
    profile->root = NULL;
    return err;
}

static void print_warnings(const struct reeve_errors *errors)
{
    for (size_t i = 0; i < errors->len; i++) {
        char text[640];
        if (errors->items[i].warning) {
            output_note("warning: %s", reeve_error_format(errors, i, text, sizeof text));
        }
    }
}

static enum reeve_err read_profile(const char *path, struct site *ret, struct reeve_errors *errors,
                                   struct reeve_why *why)
{
    REEVE_VALUE_AUTO value = NULL;
    struct profile profile;
    enum reeve_err err = reeve_file_read_value(path, &reeve_limits_file, &value, why);
    if (err != REEVE_OK) {
        return err == REEVE_NOMEM ? err : REEVE_INVALID; // what was typed names no usable file
    }
    err = reeve_record_decode(&profile_record, value, "", &profile, errors);
    if (err == REEVE_OK) {
        err = take_parts(&profile, ret, errors);
        reeve_record_done(&profile_record, &profile);
    }
    print_warnings(errors);
    return err == REEVE_INVALID ? reeve_errors_result(errors, why) : err;
}

enum reeve_err profile_load(const char *path, struct site *ret, struct reeve_why *why)
{
    struct reeve_errors *errors = malloc(sizeof *errors);
    if (errors == NULL) {
        return reeve_fail(why, REEVE_NOMEM, "out of memory");
    }
    reeve_errors_init(errors, path);
    enum reeve_err err = read_profile(path, ret, errors, why);
    free(errors);
    ret->password_shown = ret->broker.password != NULL;
    return err;
}
