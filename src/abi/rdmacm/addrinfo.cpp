// rdma_getaddrinfo: what getaddrinfo(3) knows, in the shape that rdma_create_ep takes [spec 6.4].
#include <netdb.h>

#include <cstdlib>
#include <cstring>
#include <memory>

#include "abi/rdmacm/process.hpp"

using namespace hawser::abi::rdmacm;

namespace hawser::abi::rdmacm {
namespace {

struct FreeInfo {
  void operator()(rdma_addrinfo* info) const { rdma_freeaddrinfo(info); }
};
using InfoPtr = std::unique_ptr<rdma_addrinfo, FreeInfo>;

bool copy_address(const sockaddr* from, socklen_t length, sockaddr*& to, socklen_t& to_length) {
  if (from == nullptr || length == 0) return true;
  to = static_cast<sockaddr*>(std::malloc(length));
  if (to == nullptr) return false;
  std::memcpy(to, from, length);
  to_length = length;
  return true;
}

int socket_type(const rdma_addrinfo& hints) {
  switch (hints.ai_qp_type) {
    case IBV_QPT_UD: return SOCK_DGRAM;
    case IBV_QPT_RC:
    case IBV_QPT_UC:
    case IBV_QPT_XRC_SEND:
    case IBV_QPT_XRC_RECV: return SOCK_STREAM;
    default: break;
  }
  if (hints.ai_port_space == RDMA_PS_TCP) return SOCK_STREAM;
  return hints.ai_port_space == RDMA_PS_UDP ? SOCK_DGRAM : 0;
}

addrinfo host_hints(const rdma_addrinfo& hints) {
  addrinfo out{};
  if ((hints.ai_flags & RAI_PASSIVE) != 0) out.ai_flags |= AI_PASSIVE;
  if ((hints.ai_flags & RAI_NUMERICHOST) != 0) out.ai_flags |= AI_NUMERICHOST;
  out.ai_family = hints.ai_family;
  out.ai_socktype = socket_type(hints);
  return out;
}

void set_kind(rdma_addrinfo& info, int family, int type, const rdma_addrinfo& hints) {
  const bool datagrams = type == SOCK_DGRAM;
  info.ai_family = family;
  info.ai_qp_type = datagrams ? IBV_QPT_UD : IBV_QPT_RC;
  info.ai_port_space = datagrams ? RDMA_PS_UDP : RDMA_PS_TCP;
  if (hints.ai_qp_type != 0) info.ai_qp_type = hints.ai_qp_type;
  if (hints.ai_port_space != 0) info.ai_port_space = hints.ai_port_space;
}

// 0, or what getaddrinfo answers.
int resolve(const char* node, const char* service, const rdma_addrinfo& hints, rdma_addrinfo& info) {
  const addrinfo wanted = host_hints(hints);
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(node, service, &wanted, &found); error != 0) return error;
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> guard(found, &::freeaddrinfo);
  set_kind(info, found->ai_family, found->ai_socktype, hints);
  const bool passive = (hints.ai_flags & RAI_PASSIVE) != 0;
  sockaddr*& address = passive ? info.ai_src_addr : info.ai_dst_addr;
  socklen_t& length = passive ? info.ai_src_len : info.ai_dst_len;
  char*& name = passive ? info.ai_src_canonname : info.ai_dst_canonname;
  if (!copy_address(found->ai_addr, found->ai_addrlen, address, length)) return EAI_MEMORY;
  if (found->ai_canonname != nullptr) name = ::strdup(found->ai_canonname);
  return 0;
}

}  // namespace
}  // namespace hawser::abi::rdmacm

// [spec 6.4.15]
int rdma_getaddrinfo(const char* node, const char* service, const rdma_addrinfo* hints, rdma_addrinfo** result) {
  if (result == nullptr || (node == nullptr && service == nullptr && hints == nullptr)) return fail_errno(EINVAL);
  const rdma_addrinfo none{};
  const rdma_addrinfo& wanted = hints == nullptr ? none : *hints;
  const bool asks_sa = (wanted.ai_flags & rai_sa) != 0;
  if (wanted.ai_family == AF_IB || (asks_sa && ((wanted.ai_flags & rai_dns) != 0 || node != nullptr))) {
    return fail_errno(EOPNOTSUPP);
  }
  InfoPtr info(static_cast<rdma_addrinfo*>(std::calloc(1, sizeof(rdma_addrinfo))));
  if (info == nullptr) return EAI_MEMORY;
  info->ai_flags = wanted.ai_flags;
  if (node != nullptr || service != nullptr) {
    if (const int error = resolve(node, service, wanted, *info); error != 0) return error;
  } else {
    set_kind(*info, wanted.ai_family, socket_type(wanted), wanted);
    if (!copy_address(wanted.ai_dst_addr, wanted.ai_dst_len, info->ai_dst_addr, info->ai_dst_len)) return EAI_MEMORY;
  }
  if (info->ai_src_addr == nullptr &&
      !copy_address(wanted.ai_src_addr, wanted.ai_src_len, info->ai_src_addr, info->ai_src_len)) {
    return EAI_MEMORY;
  }
  *result = info.release();
  return 0;
}

void rdma_freeaddrinfo(rdma_addrinfo* info) {
  while (info != nullptr) {
    rdma_addrinfo* const next = info->ai_next;
    std::free(info->ai_src_addr);
    std::free(info->ai_dst_addr);
    std::free(info->ai_src_canonname);
    std::free(info->ai_dst_canonname);
    std::free(info->ai_route);
    std::free(info->ai_connect);
    std::free(info);
    info = next;
  }
}
