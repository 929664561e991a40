// Sessions with a real Mosquitto, MQTT 5 and 3.1.1.
#include "session_cases.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--victim") == 0) {
        return victim_main(argv[2], argv[3]);
    }
    static struct flavour v5 = {SITE_MOSQUITTO, 5}, v4 = {SITE_MOSQUITTO, 4};
    const struct CMUnitTest mqtt5[] = {PORTABLE_CASES(&v5)};
    const struct CMUnitTest mqtt311[] = {PORTABLE_CASES(&v4)};
    if (!site_available(SITE_MOSQUITTO)) {
        (void)fprintf(stderr, "mosquitto is not installed\n");
        return 77;
    }
    return cmocka_run_group_tests(mqtt5, NULL, NULL) + cmocka_run_group_tests(mqtt311, NULL, NULL);
}
