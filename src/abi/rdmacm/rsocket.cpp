// rsockets are not offered: nothing is ever an rsocket here. rpoll() and rselect() take ordinary descriptors too, and
// do.
#include <poll.h>
#include <sys/select.h>

#include "abi/rdmacm/process.hpp"

using hawser::abi::rdmacm::fail_errno;

static int not_offered() { return fail_errno(EOPNOTSUPP); }

int rpoll(pollfd* descriptors, nfds_t count, int timeout) { return ::poll(descriptors, count, timeout); }
int rselect(int count, fd_set* readable, fd_set* writable, fd_set* exceptional, timeval* timeout) {
  return ::select(count, readable, writable, exceptional, timeout);
}

int rsocket(int, int, int) { return not_offered(); }
int rbind(int, const sockaddr*, socklen_t) { return not_offered(); }
int rlisten(int, int) { return not_offered(); }
int raccept(int, sockaddr*, socklen_t*) { return not_offered(); }
int rconnect(int, const sockaddr*, socklen_t) { return not_offered(); }
int rshutdown(int, int) { return not_offered(); }
int rclose(int) { return not_offered(); }
ssize_t rrecv(int, void*, size_t, int) { return not_offered(); }
ssize_t rrecvfrom(int, void*, size_t, int, sockaddr*, socklen_t*) { return not_offered(); }
ssize_t rrecvmsg(int, msghdr*, int) { return not_offered(); }
ssize_t rsend(int, const void*, size_t, int) { return not_offered(); }
ssize_t rsendto(int, const void*, size_t, int, const sockaddr*, socklen_t) { return not_offered(); }
ssize_t rsendmsg(int, const msghdr*, int) { return not_offered(); }
ssize_t rread(int, void*, size_t) { return not_offered(); }
ssize_t rreadv(int, const iovec*, int) { return not_offered(); }
ssize_t rwrite(int, const void*, size_t) { return not_offered(); }
ssize_t rwritev(int, const iovec*, int) { return not_offered(); }
int rgetpeername(int, sockaddr*, socklen_t*) { return not_offered(); }
int rgetsockname(int, sockaddr*, socklen_t*) { return not_offered(); }
int rsetsockopt(int, int, int, const void*, socklen_t) { return not_offered(); }
int rgetsockopt(int, int, int, void*, socklen_t*) { return not_offered(); }
int rfcntl(int, int, ...) { return not_offered(); }
off_t riomap(int, void*, size_t, int, int, off_t) { return not_offered(); }
int riounmap(int, void*, size_t) { return not_offered(); }
size_t riowrite(int, const void*, size_t, off_t, int) { return static_cast<size_t>(not_offered()); }
