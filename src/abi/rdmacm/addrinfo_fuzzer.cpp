// libFuzzer: rdma_getaddrinfo() with any hints and any node and service that need no name server. Input: hints (16
// bytes), node, zero, service.
#include <netdb.h>

#include <cstdint>
#include <cstring>
#include <string>

#include <rdma/rdma_cma.h>

#include "base/assert.hpp"

namespace {

struct Hints {
  std::uint16_t flags{}, family{}, qp_type{}, port_space{};
  std::uint8_t source_bytes{}, destination_bytes{}, has_hints{}, has_node{}, has_service{}, unused[3]{};
};
static_assert(sizeof(Hints) == 16);

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Hints given;
  if (size < sizeof given) return 0;
  std::memcpy(&given, data, sizeof given);
  const std::string text(reinterpret_cast<const char*>(data + sizeof given), size - sizeof given);
  const std::string node = text.substr(0, text.find('\0'));
  const std::string service = node.size() < text.size() ? text.substr(node.size() + 1) : std::string();
  sockaddr_storage source{}, destination{};
  source.ss_family = destination.ss_family = given.family;
  rdma_addrinfo hints{};
  hints.ai_flags = given.flags | RAI_NUMERICHOST;
  hints.ai_family = given.family;
  hints.ai_qp_type = given.qp_type;
  hints.ai_port_space = given.port_space;
  hints.ai_src_len = given.source_bytes % (sizeof source + 1);
  hints.ai_dst_len = given.destination_bytes % (sizeof destination + 1);
  hints.ai_src_addr = hints.ai_src_len == 0 ? nullptr : reinterpret_cast<sockaddr*>(&source);
  hints.ai_dst_addr = hints.ai_dst_len == 0 ? nullptr : reinterpret_cast<sockaddr*>(&destination);
  const bool has_node = given.has_node % 2 == 0;
  rdma_addrinfo* info = nullptr;
  const int error =
      rdma_getaddrinfo(has_node ? node.c_str() : nullptr, given.has_service % 2 == 0 ? service.c_str() : nullptr,
                       given.has_hints % 2 == 0 || has_node ? &hints : nullptr, &info);
  if (error != 0) return 0;
  const auto whole = [](const sockaddr* address, socklen_t length) { return (address == nullptr) == (length == 0); };
  HW_ASSERT(info != nullptr, "fuzz-addrinfo-none");
  for (const rdma_addrinfo* each = info; each != nullptr; each = each->ai_next) {
    HW_ASSERT(whole(each->ai_src_addr, each->ai_src_len) && whole(each->ai_dst_addr, each->ai_dst_len),
              "fuzz-addrinfo-length");
    HW_ASSERT(each->ai_qp_type != 0 && each->ai_port_space != 0, "fuzz-addrinfo-kind");
  }
  rdma_freeaddrinfo(info);
  return 0;
}
