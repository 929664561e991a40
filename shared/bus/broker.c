// The record `broker:`: where the broker is and as whom to speak to it.
// Must not open files or sockets: a configuration can be checked on another machine.
#include "url.h"

#include <reeve/bus.h>
#include <reeve/record.h>

static const struct reeve_choice versions[] = {{"5", 5}, {"3.1.1", 4}, {NULL, 0}};

static const struct reeve_field fields[] = {
    {.name = "url",
     .type = REEVE_FIELD_STR,
     .flags = REEVE_FIELD_REQUIRED,
     .offset = offsetof(struct reeve_broker, url),
     .min = 1,
     .max = 600,
     .doc = "`mqtt://`, `mqtts://`, `ws://` or `wss://`, host, and the port where it is not 1883, 8883, 80 or 443."},
    {.name = "username",
     .type = REEVE_FIELD_STR,
     .offset = offsetof(struct reeve_broker, username),
     .min = 1,
     .max = 255,
     .doc = "Who to be at the broker."},
    {.name = "password",
     .type = REEVE_FIELD_STR,
     .flags = REEVE_FIELD_SECRET,
     .offset = offsetof(struct reeve_broker, password),
     .max = 1024,
     .doc = "The password itself. `password_file` is better: files that people edit get shown around."},
    {.name = "password_file",
     .type = REEVE_FIELD_STR,
     .offset = offsetof(struct reeve_broker, password_file),
     .min = 1,
     .max = 4096,
     .doc = "File with the password, mode 0600, read again at every connect, so that it can be changed."},
    {.name = "ca_file",
     .type = REEVE_FIELD_STR,
     .offset = offsetof(struct reeve_broker, ca_file),
     .min = 1,
     .max = 4096,
     .doc = "Trust only brokers with a certificate of this authority (PEM). Without it: those the system trusts."},
    {.name = "cert_file",
     .type = REEVE_FIELD_STR,
     .offset = offsetof(struct reeve_broker, cert_file),
     .min = 1,
     .max = 4096,
     .doc = "Client certificate (PEM), with `key_file`."},
    {.name = "key_file",
     .type = REEVE_FIELD_STR,
     .offset = offsetof(struct reeve_broker, key_file),
     .min = 1,
     .max = 4096,
     .doc = "Key of the client certificate (PEM)."},
    {.name = "version",
     .type = REEVE_FIELD_CHOICE,
     .offset = offsetof(struct reeve_broker, version),
     .preset = "5",
     .choices = versions,
     .doc = "MQTT version. With 3.1.1 everything works; refused publishes and expiry are not noticed by the broker."},
    {.name = "keep_alive",
     .type = REEVE_FIELD_DURATION,
     .offset = offsetof(struct reeve_broker, keep_alive_ms),
     .min = 5000,
     .max = 3600000,
     .preset = "10s",
     .doc = "A connection that is silent for one and a half times this is given up by both sides."},
    {.name = "message_max",
     .type = REEVE_FIELD_SIZE,
     .offset = offsetof(struct reeve_broker, message_bytes_max),
     .min = 1024,
     .max = 64 << 20,
     .preset = "1M",
     .doc = "Largest message sent or accepted."},
    {.name = "window",
     .type = REEVE_FIELD_INT,
     .offset = offsetof(struct reeve_broker, window),
     .min = 1,
     .max = 10000,
     .preset = "200",
     .doc = "Messages on their way to the broker at once; held below its Receive Maximum."},
    {.name = "queue_max",
     .type = REEVE_FIELD_INT,
     .offset = offsetof(struct reeve_broker, queue_len_max),
     .min = 16,
     .max = 1000000,
     .preset = "10000",
     .doc =
         "Messages that may wait to be sent. During an outage the oldest events are dropped beyond it, and counted."},
    {.name = "queue_memory_max",
     .type = REEVE_FIELD_SIZE,
     .offset = offsetof(struct reeve_broker, queue_bytes_max),
     .min = 64 << 10,
     .max = 1 << 30,
     .preset = "16M",
     .doc = "The same in bytes."},
};

static const char *joined(char buf[REEVE_PATH_SIZE], const char *path, const char *key)
{
    return reeve_path_join(buf, path, key);
}

static void check(const void *object, const struct reeve_value *value, const char *path, struct reeve_errors *errors)
{
    const struct reeve_broker *broker = object;
    struct reeve_url url;
    struct reeve_why why = {0};
    char at[REEVE_PATH_SIZE];
    if (broker->url != NULL && reeve_url_parse(broker->url, &url, &why) != REEVE_OK) {
        reeve_errors_add(errors, reeve_value_get(value, "url"), joined(at, path, "url"), "%s", why.text);
    }
    if (broker->password != NULL && broker->password_file != NULL) {
        reeve_errors_add(errors, reeve_value_get(value, "password"), joined(at, path, "password"),
                         "stands beside password_file; expected one of the two");
    }
    if ((broker->password != NULL || broker->password_file != NULL) && broker->username == NULL) {
        reeve_errors_add(errors, value, joined(at, path, "username"), "is missing, but a password is given");
    }
    if ((broker->cert_file == NULL) != (broker->key_file == NULL)) {
        reeve_errors_add(errors, value, joined(at, path, "cert_file"),
                         "cert_file and key_file belong together; one of them is missing");
    }
}

const struct reeve_record reeve_broker_record = {
    .name = "broker",
    .size = sizeof(struct reeve_broker),
    .fields = fields,
    .fields_len = REEVE_ARRAY_LEN(fields),
    .doc = "Where the MQTT broker is, and as whom to speak to it.",
    .check = check,
};
