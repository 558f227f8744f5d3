// The C interface that this library is: Debian's headers, and the functions that are newer than they are. Everything
// declared here is exported [spec 6.4.1].
#pragma once

#pragma GCC visibility push(default)
#include <rdma/rdma_cma.h>
#include <rdma/rdma_verbs.h>
#include <rdma/rsocket.h>

// Flags of rdma_addrinfo: look up services with the subnet administrator, names with DNS.
inline constexpr int rai_sa = 0x10, rai_dns = 0x20;

extern "C" {
// RDMACM_1.4
int rdma_query_addrinfo(rdma_cm_id* id, rdma_addrinfo** info);
int rdma_resolve_addrinfo(rdma_cm_id* id, const char* node, const char* service, const rdma_addrinfo* hints);
int rdma_write_cm_event(rdma_cm_id* id, rdma_cm_event_type event, int status, uint64_t arg);
}
#pragma GCC visibility pop
