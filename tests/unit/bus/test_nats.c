// The portable subset [topic-7] with nats-server: MQTT 3.1.1 only.
#include "session_cases.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    static struct flavour nats = {SITE_NATS, 4};
    const struct CMUnitTest tests[] = {PORTABLE_CASES(&nats)};
    if (argc == 4 && strcmp(argv[1], "--victim") == 0) {
        return victim_main(argv[2], argv[3]);
    }
    if (!site_available(SITE_NATS)) {
        (void)fprintf(stderr, "nats-server is not installed\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
