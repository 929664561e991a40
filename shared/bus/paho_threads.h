// Paho's receiving thread waits up to a second in poll() on the sockets that existed when it began, and after an idle
// second does not look at them for another 100 ms. So a reconnect took one to two seconds, and one message in twelve
// that came to an idle client arrived up to 100 ms late (measured with 1.3.12). Paho has no setting for either.
#ifndef REEVE_BUS_PAHO_THREADS_H
#define REEVE_BUS_PAHO_THREADS_H

// Called in callbacks of Paho: the calling thread is one of its own.
void reeve_paho_thread_mark(void);
// A connect begins: look at new sockets soon.
void reeve_paho_threads_hurry(void);

#endif
