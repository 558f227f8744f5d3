// Channels and ids: birth, addresses, options, migration, end.
#include <algorithm>
#include <array>
#include <cstring>

#include "abi/c_enum.hpp"
#include "abi/rdmacm/acknowledgements.hpp"
#include "abi/rdmacm/support.hpp"
#include "base/call_site.hpp"

using namespace hawser;
using namespace hawser::abi::rdmacm;

namespace hawser::abi::rdmacm {
namespace {

// nullptr stays nullptr. EINVAL: no family that the CM knows.
Result<std::optional<SocketAddress>> address_of(const sockaddr* address) {
  if (address == nullptr || address->sa_family == AF_UNSPEC) return std::optional<SocketAddress>{};
  const auto known = SocketAddress::from(address);
  if (!known) return fail(EINVAL);
  return known;
}

// [spec 6.2 #3]
Status resolve(const Call& call, const sockaddr* source, const sockaddr* destination, int timeout_ms) {
  const auto from = address_of(source);
  const auto to = address_of(destination);
  if (!from || !to || !*to) return fail(EINVAL);
  const SocketAddress* given = *from ? &**from : nullptr;
  if (const Status asked = call.run(&ucm::Manager::resolve_addr, given, **to, milliseconds(timeout_ms)); !asked) {
    return asked;
  }
  (*to)->to(call.id->pub.route.addr.dst_storage);
  return {};
}

// Waits for the acknowledgements of all that was fetched of the id: their events point into it.
int destroy(Call& call, const void* site) {
  CmId& id = *call.id;
  const auto reported = call.run(&ucm::Manager::destroy_id);
  // ENOENT: it ended with its channel already.
  if (!reported && errno_of(reported) != ENOENT) return answer(reported);
  drop_sync_event(id);
  call.own.unlock();
  if (reported) wait_for_acknowledgements(id, *reported, "rdma_destroy_id", site);
  call.own.lock();
  end_memberships(id);
  Process::current().ids.take(&id.pub);
  if (id.sync.load()) close_channel(*call.ucm, id.channel());
  return 0;
}

// [spec 6.4.14]
int migrate(Call& call, std::shared_ptr<Channel> to, bool sync, const void* site) {
  CmId& id = *call.id;
  const bool was_sync = id.sync.load();
  const auto fetched = id.move(*call.ucm, to, sync);
  if (!fetched) return answer(fetched);
  if (was_sync) drop_sync_event(id);
  call.own.unlock();
  wait_for_acknowledgements(id, *fetched, "rdma_migrate_id", site);
  if (was_sync && to != id.channel()) close_channel(*call.ucm, to);
  return 0;
}

}  // namespace

int create_id(rdma_event_channel* channel, rdma_cm_id** id, void* context, int port_space, int type) {
  constexpr std::array spaces{RDMA_PS_IPOIB, RDMA_PS_TCP, RDMA_PS_UDP, RDMA_PS_IB};
  if (id == nullptr || std::ranges::find(spaces, port_space) == spaces.end()) return fail_errno(EINVAL);
  if (type < 0 || type > IBV_QPT_DRIVER) return fail_errno(EINVAL);
  const auto space = static_cast<rdma_port_space>(port_space);
  const auto qp_type = static_cast<ibv_qp_type>(type);
  Process& process = Process::current();
  const auto ucm = process.ucm();
  if (!ucm) return answer(ucm);
  const bool sync = channel == nullptr;
  const auto on = sync ? make_channel() : process.channels.find(channel);
  if (on == nullptr) return sync ? -1 : fail_errno(EINVAL);
  const auto made = make_id(on, sync, context, space, qp_type);
  const auto handle =
      (*ucm)->create_id(on->file, uid_of(*made), static_cast<cma::PortSpace>(space), static_cast<cma::QpType>(qp_type));
  if (!handle) {
    if (sync) close_channel(**ucm, on);
    return answer(handle);
  }
  made->handle = *handle;
  process.ids.insert(made);
  *id = &made->pub;
  return 0;
}

}  // namespace hawser::abi::rdmacm

rdma_event_channel* rdma_create_event_channel() {
  if (const auto ucm = Process::current().ucm(); !ucm) {
    errno = errno_of(ucm);
    return nullptr;
  }
  const auto channel = make_channel();
  return channel == nullptr ? nullptr : &channel->pub;
}

void rdma_destroy_event_channel(rdma_event_channel* channel) {
  Process& process = Process::current();
  const auto known = process.channels.find(channel);
  const auto ucm = process.ucm();
  if (known != nullptr && ucm) close_channel(**ucm, known);
}

int rdma_create_id(rdma_event_channel* channel, rdma_cm_id** id, void* context, rdma_port_space port_space) {
  const int space = abi::number_of(port_space);
  const bool datagrams = space == RDMA_PS_UDP || space == RDMA_PS_IPOIB;
  return create_id(channel, id, context, space, datagrams ? IBV_QPT_UD : IBV_QPT_RC);
}

int rdma_destroy_id(rdma_cm_id* id) {
  auto call = enter(id);
  return call ? destroy(*call, HW_CALL_SITE) : answer(call);
}

int rdma_bind_addr(rdma_cm_id* id, sockaddr* address) {
  const auto call = enter(id);
  if (!call) return answer(call);
  const auto to = address_of(address);
  if (!to || !*to) return fail_errno(EINVAL);
  if (const Status bound = call->run(&ucm::Manager::bind, **to); !bound) return answer(bound);
  return answer(query(*call));
}

int rdma_resolve_addr(rdma_cm_id* id, sockaddr* source, sockaddr* destination, int timeout_ms) {
  auto call = enter(id);
  if (!call) return answer(call);
  if (const Status asked = resolve(*call, source, destination, timeout_ms); !asked) return answer(asked);
  return complete(*call);
}

int rdma_resolve_route(rdma_cm_id* id, int timeout_ms) {
  auto call = enter(id);
  if (!call) return answer(call);
  const Status asked = call->run(&ucm::Manager::resolve_route, milliseconds(timeout_ms));
  return asked ? complete(*call) : answer(asked);
}

// [spec 6.4.18]
int rdma_set_option(rdma_cm_id* id, int level, int name, void* value, size_t length) {
  const auto call = enter(id);
  if (!call) return answer(call);
  if (value == nullptr && length != 0) return fail_errno(EINVAL);
  return answer(call->run(&ucm::Manager::set_option, level, name, {static_cast<const std::byte*>(value), length}));
}

int rdma_migrate_id(rdma_cm_id* id, rdma_event_channel* channel) {
  auto call = enter(id);
  if (!call) return answer(call);
  if (channel != nullptr) {
    const auto to = Process::current().channels.find(channel);
    return to == nullptr ? fail_errno(EINVAL) : migrate(*call, to, false, HW_CALL_SITE);
  }
  if (call->id->sync.load()) return fail_errno(EINVAL);
  const auto own = make_channel();
  if (own == nullptr) return -1;
  if (migrate(*call, own, true, HW_CALL_SITE) == 0) return 0;
  const int error = errno;
  close_channel(*call->ucm, own);
  return fail_errno(error);
}

static __be16 port_of(const sockaddr& address) {
  sockaddr_storage copy{};
  if (address.sa_family == AF_INET) {
    std::memcpy(&copy, &address, sizeof(sockaddr_in));
    return reinterpret_cast<const sockaddr_in&>(copy).sin_port;
  }
  if (address.sa_family == AF_INET6) {
    std::memcpy(&copy, &address, sizeof(sockaddr_in6));
    return reinterpret_cast<const sockaddr_in6&>(copy).sin6_port;
  }
  return 0;
}

__be16 rdma_get_src_port(rdma_cm_id* id) {
  const auto call = enter(id);
  return port_of(id->route.addr.src_addr);
}
__be16 rdma_get_dst_port(rdma_cm_id* id) {
  const auto call = enter(id);
  return port_of(id->route.addr.dst_addr);
}
