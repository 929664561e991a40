// Any text as host:port, as an http:// address and as the beginning of an HTTP answer: what is taken fits its buffers
// and can stand in a request line; what is refused says why.
#include "../../nodes/daemon/ask.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char host[REEVE_ENDPOINT_HOST_SIZE];
    int64_t port = 0;
    const char *path = NULL;
    struct reeve_why why = {.text = ""};
    char *text = malloc(len + 1);
    REEVE_ASSERT(text != NULL);
    if (len > 0) {
        memcpy(text, data, len);
    }
    text[len] = '\0';
    if (reeve_endpoint_parse(text, host, &port, &why) == REEVE_OK) {
        REEVE_ASSERT(port >= 1 && port <= 65535 && host[0] != '\0' && memchr(host, '\0', sizeof host) != NULL);
    } else {
        REEVE_ASSERT(why.text[0] != '\0');
    }
    why.text[0] = '\0';
    if (reeve_http_url_parse(text, host, &port, &path, &why) == REEVE_OK) {
        REEVE_ASSERT(port >= 1 && port <= 65535 && host[0] != '\0' && (path[0] == '/' || path[0] == '?'));
        REEVE_ASSERT(strcspn(text, " \r\n") == strlen(text)); // nothing that ends a request line
    } else {
        REEVE_ASSERT(why.text[0] != '\0');
    }
    char *exact = malloc(len > 0 ? len : 1); // without a NUL behind it, so that reading on shows
    REEVE_ASSERT(exact != NULL);
    memcpy(exact, text, len);
    const int status = ask_http_status(exact, len);
    REEVE_ASSERT(status == -1 || status == 0 || (status >= 100 && status <= 999 && len > 12));
    free(exact);
    free(text);
    return 0;
}
