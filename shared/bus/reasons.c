// What the codes of brokers and of the client library mean, and what a person can do about it.
// Must not know the state of a session.
#include "paho.h"

struct reason {
    int code;
    const char *text;
};

// CONNACK of MQTT 3.1.1 (3.2.2.3) and SUBACK's 0x80.
static const struct reason reasons_311[] = {
    {1, "the broker does not speak MQTT 3.1.1"},
    {2, "the broker refuses this client id"},
    {3, "the broker is not available"},
    {4, "not authorised: check username and password of the broker"},
    {5, "not authorised: check username and password of the broker"},
    {0x80, "refused by the broker"},
};

// MQTT 5, table 2-6.
static const struct reason reasons_5[] = {
    {0x80, "unspecified error"},
    {0x81, "malformed packet"},
    {0x82, "protocol error"},
    {0x83, "implementation specific error"},
    {0x84, "the broker does not speak MQTT 5: set version to 3.1.1"},
    {0x85, "the broker refuses this client id"},
    {0x86, "not authorised: check username and password of the broker"},
    {0x87, "not authorised: check username, password and rights of this user"},
    {0x88, "the broker is not available"},
    {0x89, "the broker is busy"},
    {0x8a, "banned by the broker"},
    {0x8b, "the broker shuts down"},
    {0x8c, "bad authentication method"},
    {0x8d, "keep-alive timeout"},
    {0x8e, "another client took over this client id"},
    {0x8f, "topic filter invalid"},
    {0x90, "topic name invalid"},
    {0x93, "receive maximum exceeded"},
    {0x94, "topic alias invalid"},
    {0x95, "packet too large"},
    {0x96, "message rate too high"},
    {0x97, "quota exceeded"},
    {0x98, "ended by an administrator"},
    {0x99, "payload format invalid"},
    {0x9a, "the broker does not support retained messages"},
    {0x9b, "the broker does not support this QoS"},
    {0x9c, "use another server"},
    {0x9d, "server moved"},
    {0x9f, "connection rate exceeded"},
    {0xa0, "maximum connect time"},
    {0xa1, "the broker does not support subscription identifiers"},
    {0xa2, "the broker does not support wildcard subscriptions"},
};

// Paho's own; below zero.
static const struct reason reasons_paho[] = {
    {-1, "no connection: is the broker running, and are address and port right?"},
    {-2, "persistence error"},
    {-3, "not connected"},
    {-4, "too many messages in flight"},
    {-5, "not UTF-8"},
    {-6, "NULL parameter"},
    {-7, "topic name truncated"},
    {-8, "bad structure"},
    {-9, "bad QoS"},
    {-10, "no message ids left"},
    {-11, "the session ended first"},
    {-12, "too many buffered messages"},
    {-13, "built without TLS"},
    {-14, "bad protocol in the url"},
    {-15, "option of another MQTT version"},
    {-16, "wrong MQTT version"},
    {-17, "will without topic"},
    {-18, "already connecting or disconnecting"},
    {-19, "too many buffered messages"},
};

static const char *find(const struct reason *reasons, size_t len, int code)
{
    for (size_t i = 0; i < len; i++) {
        if (reasons[i].code == code) {
            return reasons[i].text;
        }
    }
    return "unknown reason";
}

const char *reeve_paho_code_text(int version, int code)
{
    if (code < 0) {
        return find(reasons_paho, REEVE_ARRAY_LEN(reasons_paho), code);
    }
    // A broker that speaks only 3.1.1 answers a CONNECT of MQTT 5 with code 1.
    if (version < 5) {
        return find(reasons_311, REEVE_ARRAY_LEN(reasons_311), code);
    }
    return code == 1 ? "the broker does not speak MQTT 5: set version to 3.1.1"
                     : find(reasons_5, REEVE_ARRAY_LEN(reasons_5), code);
}
