// What must hold with every broker and version; the state of each test is a `const struct flavour`.
#ifndef TEST_BUS_SESSION_CASES_H
#define TEST_BUS_SESSION_CASES_H

#include "site.h"

struct flavour {
    enum site_engine engine;
    int version;
};

// The other program of the test with the will: `<test> --victim PORT VERSION`.
int victim_main(const char *port, const char *version);

void messages_go_both_ways(void **state);
void a_request_gets_all_its_replies(void **state);
void a_request_without_answer_times_out(void **state);
void retained_records_arrive_marked(void **state);
void the_will_is_sent_for_a_killed_session(void **state);
void a_goodbye_sends_no_will(void **state);
void a_killed_broker_is_survived(void **state);
void events_of_an_outage_arrive_in_order_and_bounded(void **state);
void a_busy_window_never_stalls(void **state);
void large_messages_do_not_wait(void **state);
void renew_makes_a_new_session(void **state);
void stop_flushes_and_start_works_again(void **state);
void patterns_can_be_added_and_given_up(void **state);

#define PORTABLE_CASES(flavour)                                                                                        \
    cmocka_unit_test_prestate(messages_go_both_ways, flavour),                                                         \
        cmocka_unit_test_prestate(a_request_gets_all_its_replies, flavour),                                            \
        cmocka_unit_test_prestate(a_request_without_answer_times_out, flavour),                                        \
        cmocka_unit_test_prestate(retained_records_arrive_marked, flavour),                                            \
        cmocka_unit_test_prestate(the_will_is_sent_for_a_killed_session, flavour),                                     \
        cmocka_unit_test_prestate(a_goodbye_sends_no_will, flavour),                                                   \
        cmocka_unit_test_prestate(a_killed_broker_is_survived, flavour),                                               \
        cmocka_unit_test_prestate(events_of_an_outage_arrive_in_order_and_bounded, flavour),                           \
        cmocka_unit_test_prestate(a_busy_window_never_stalls, flavour),                                                \
        cmocka_unit_test_prestate(large_messages_do_not_wait, flavour),                                                \
        cmocka_unit_test_prestate(renew_makes_a_new_session, flavour),                                                 \
        cmocka_unit_test_prestate(stop_flushes_and_start_works_again, flavour),                                        \
        cmocka_unit_test_prestate(patterns_can_be_added_and_given_up, flavour)

#endif
