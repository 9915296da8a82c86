// Sets the clock of a process off by CLOCK_OFF_SECONDS, for LD_PRELOAD: what it asks for as the time of day, and nothing else. Steady
// clocks, and waits of the C library, stay right.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real)
    real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int failed = real(clock, time);
  const char *off = getenv("CLOCK_OFF_SECONDS");
  if (!failed && clock == CLOCK_REALTIME && off)
    time->tv_sec += atol(off);
  return failed;
}
