// Functions that exist, so that programs start, and say that they are not offered yet: EOPNOTSUPP.
#include <cerrno>
#include <cstdarg>

#include "abi/rdmacm/process.hpp"

using namespace hawser::abi::rdmacm;

namespace {

// -1 as a call on an id answers: EINVAL if it is none of ours.
int not_offered(const rdma_cm_id* id) {
  return fail_errno(Process::current().ids.find(id) == nullptr ? EINVAL : EOPNOTSUPP);
}

}  // namespace

int rdma_join_multicast(rdma_cm_id* id, sockaddr*, void*) { return not_offered(id); }
int rdma_join_multicast_ex(rdma_cm_id* id, rdma_cm_join_mc_attr_ex*, void*) { return not_offered(id); }
// No id is a member of any group.
int rdma_leave_multicast(rdma_cm_id* id, sockaddr*) {
  return fail_errno(Process::current().ids.find(id) == nullptr ? EINVAL : EADDRNOTAVAIL);
}

int rdma_query_addrinfo(rdma_cm_id* id, rdma_addrinfo**) { return not_offered(id); }
int rdma_resolve_addrinfo(rdma_cm_id* id, const char*, const char*, const rdma_addrinfo*) { return not_offered(id); }
int rdma_write_cm_event(rdma_cm_id* id, rdma_cm_event_type, int, uint64_t) { return not_offered(id); }
