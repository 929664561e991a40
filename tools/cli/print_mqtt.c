// The mosquitto_pub line that does the same as a command: quoted for sh, without secrets where a file can be named.
// Must not: send anything.
#include "order.h"
#include "output.h"

#include <reeve/codec.h>
#include <string.h>
#include <unistd.h>

void shell_quote(struct reeve_buf *out, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+./:=@%,";
    if (text[0] != '\0' && text[strspn(text, plain)] == '\0') {
        reeve_buf_puts(out, text);
        return;
    }
    reeve_buf_puts(out, "'");
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            reeve_buf_puts(out, "'\\''");
        } else {
            reeve_buf_append(out, text, 1);
        }
    }
    reeve_buf_puts(out, "'");
}

static void put(struct reeve_buf *out, const char *option, const char *value)
{
    reeve_buf_printf(out, " %s ", option);
    shell_quote(out, value);
}

// mqtt://host[:port] taken apart for -h and -p; the bus has checked the whole before anything is sent, here a look is
// enough.
static enum reeve_err put_address(const struct site *site, struct reeve_buf *out, struct reeve_why *why)
{
    char host[300];
    const char *url = site->broker.url;
    bool tls = strncmp(url, "mqtts://", 8) == 0;
    if (!tls && strncmp(url, "mqtt://", 7) != 0) {
        return reeve_fail(why, REEVE_UNSUPPORTED, "mosquitto_pub speaks mqtt:// and mqtts:// only, not %.100s", url);
    }
    const char *at = url + (tls ? 8 : 7);
    bool bracket = *at == '[';
    size_t len = bracket ? strcspn(at, "]") : strcspn(at, ":/");
    (void)snprintf(host, sizeof host, "%.*s", (int)(bracket ? len - 1 : len), at + (bracket ? 1 : 0));
    at += len + (bracket && at[len] == ']' ? 1 : 0);
    put(out, "-h", host);
    char port[16];
    (void)snprintf(port, sizeof port, "%.*s", (int)strspn(at + (*at == ':' ? 1 : 0), "0123456789"),
                   at + (*at == ':' ? 1 : 0));
    put(out, "-p", *at == ':' ? port : tls ? "8883" : "1883");
    if (tls && site->broker.ca_file == NULL) {
        put(out, "--capath", "/etc/ssl/certs");
    }
    return REEVE_OK;
}

static void put_password(const struct site *site, struct reeve_buf *out)
{
    char path[PATH_MAX + 300];
    const char *file = site->broker.password_file;
    if (file == NULL && site->dir[0] != '\0') {
        (void)snprintf(path, sizeof path, "%s/credentials/%s", site->dir, site->broker.username);
        file = path;
    }
    if (file != NULL) {
        reeve_buf_puts(out, " -P \"$(cat ");
        shell_quote(out, file);
        reeve_buf_puts(out, ")\"");
    } else if (site->broker.password != NULL) {
        reeve_buf_puts(out, " -P \"$REEVE_PASSWORD\"");
    }
}

static void put_who(const struct site *site, struct reeve_buf *out)
{
    const struct {
        const char *option, *value;
    } rows[] = {{"--cafile", site->broker.ca_file},
                {"--cert", site->broker.cert_file},
                {"--key", site->broker.key_file},
                {"-u", site->broker.username}};
    for (size_t i = 0; i < REEVE_ARRAY_LEN(rows); i++) {
        if (rows[i].value != NULL) {
            put(out, rows[i].option, rows[i].value);
        }
    }
    put_password(site, out);
}

static enum reeve_err put_payload(const struct order *order, bool dry_run, struct reeve_buf *out)
{
    REEVE_BUF_AUTO json = REEVE_BUF_INIT(0);
    REEVE_VALUE_AUTO map = reeve_value_map();
    if (reeve_value_len(order->args) == 0 && !dry_run) {
        reeve_buf_puts(out, " -n");
        return REEVE_OK;
    }
    (void)reeve_value_put(map, "args",
                          order->args != NULL ? reeve_value_clone(order->args)
                                              : reeve_value_map()); /* remembered: reeve_value_built() */
    if (dry_run) {
        reeve_put_bool(map, "dry_run", true);
    }
    enum reeve_err err = reeve_value_built(map);
    if (err == REEVE_OK) {
        err = reeve_json_write(map, 0, &json);
    }
    if (err == REEVE_OK) {
        put(out, "-m", reeve_buf_str(&json));
    }
    return err;
}

enum reeve_err order_mqtt_line(const struct site *site, const struct order *order, bool dry_run, struct reeve_buf *out,
                               struct reeve_why *why)
{
    reeve_buf_puts(out, "mosquitto_pub");
    enum reeve_err err = put_address(site, out, why);
    if (err != REEVE_OK) {
        return err;
    }
    put_who(site, out);
    // MQTT 5, because a broker that refuses says so only there.
    put(out, "-V", site->broker.version == 4 ? "mqttv311" : "mqttv5");
    put(out, "-q", "1");
    put(out, "-t", order->topic);
    err = put_payload(order, dry_run, out);
    reeve_buf_puts(out, "\n");
    return err == REEVE_OK ? REEVE_OK : reeve_fail(why, err, "the message can't be written as JSON");
}

int orders_print_mqtt(const struct invocation *inv, const struct site *site, const struct orders *orders)
{
    REEVE_BUF_AUTO out = REEVE_BUF_INIT(0);
    struct reeve_why why;
    for (size_t i = 0; i < orders->len; i++) {
        enum reeve_err err = order_mqtt_line(site, orders->items[i], orders->dry_run, &out, &why);
        if (err != REEVE_OK) {
            return output_fail_why(inv, err, &why);
        }
    }
    if (site->password_shown && site->broker.password_file == NULL) {
        output_note("put the profile's password into REEVE_PASSWORD before you run this");
    }
    if (!opt_given(inv, OPT_JSON)) {
        return output_write(&out);
    }
    REEVE_VALUE_AUTO map = reeve_value_map();
    (void)reeve_value_put(map, "mqtt",
                          reeve_value_strn(reeve_buf_str(&out), out.len)); /* remembered: reeve_value_built() */
    return output_json(map, false);
}
