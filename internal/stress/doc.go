// Package stress tests pushes under what happens to programs and networks:
// processes that are killed, registries that are started again, connections that
// are cut, pushes that are cancelled, registries that ask to slow down; and it
// measures what a push takes in memory and how fast bytes go out.
//
// It is a module of its own, because it takes longer and uses real processes,
// sockets and time. Some tests run their own test binary as a child process:
// then TestMain does the job that the environment names, and no tests.
package stress
