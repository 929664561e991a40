// Any text as the address of a broker: what is accepted fits its buffers and reads back the same; what is refused says
// why.
#include "../../shared/bus/url.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct reeve_url url;
    struct reeve_why why = {.text = ""};
    char paho[REEVE_URL_PAHO_SIZE];
    char *text = malloc(len + 1);
    REEVE_ASSERT(text != NULL);
    if (len > 0) {
        memcpy(text, data, len);
    }
    text[len] = '\0';
    if (reeve_url_parse(text, &url, &why) == REEVE_OK) {
        REEVE_ASSERT(url.port != 0 && url.host[0] != '\0' && memchr(url.host, '\0', sizeof(url.host)) != NULL);
        REEVE_ASSERT(strlen(reeve_url_paho(&url, paho)) + 1 < sizeof(paho));
        REEVE_ASSERT(strchr(paho, '@') == NULL || url.websocket); // no user in what is logged
    } else {
        REEVE_ASSERT(why.text[0] != '\0');
    }
    free(text);
    return 0;
}
