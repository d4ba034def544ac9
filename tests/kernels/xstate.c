// For user-mode Linux on a processor whose extended state is larger than its buffer, such as one with AMX: gcc -shared.
//
// PTRACE_SETREGSET of NT_X86_XSTATE fails with EFAULT unless it is given the whole state (xstateregs_set,
// arch/x86/kernel/fpu/regset.c, v6.1), whereas user-mode Linux up to 6.12 gives it the 2,696 bytes that its buffer has.
// Here, the whole state is read, its beginning replaced by the caller's bytes, and the whole written. Reading is cut to
// the caller's buffer, as the kernel does it, too.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

#define MOST_BYTES 65536

typedef long call(enum __ptrace_request, pid_t, void *, void *);

long ptrace(enum __ptrace_request request, ...) {
  static call *kernel;
  static char whole[MOST_BYTES] __attribute__((aligned(64)));
  va_list rest;
  va_start(rest, request);
  pid_t pid = va_arg(rest, pid_t);
  void *address = va_arg(rest, void *);
  void *data = va_arg(rest, void *);
  va_end(rest);
  if (!kernel) kernel = (call *)dlsym(RTLD_NEXT, "ptrace");
  if (request != PTRACE_SETREGSET || (long)address != NT_X86_XSTATE) return kernel(request, pid, address, data);

  struct iovec *given = data, state = {whole, MOST_BYTES};
  long failed = kernel(PTRACE_GETREGSET, pid, address, &state);
  if (failed || state.iov_len <= given->iov_len) return kernel(request, pid, address, data);
  memcpy(whole, given->iov_base, given->iov_len);
  return kernel(PTRACE_SETREGSET, pid, address, &state);
}
