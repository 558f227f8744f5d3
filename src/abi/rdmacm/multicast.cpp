// rdma_join_multicast, rdma_leave_multicast, and what MULTICAST_JOIN does to the id's queue pair
// [spec 6.4.10, 6.4.16, 6.4.17].
#include "abi/rdmacm/multicast.hpp"

#include <algorithm>
#include <utility>

#include "abi/rdmacm/support.hpp"

using namespace hawser;
using namespace hawser::abi::rdmacm;

namespace hawser::abi::rdmacm {

void Multicast::acknowledge() {
  rt::Lock lock(mutex_);
  ++completed_;
  acknowledged_.notify_all();
}

void Multicast::wait_until_acknowledged(unsigned fetched) {
  rt::Lock lock(mutex_);
  while (completed_ < fetched) acknowledged_.wait(mutex_);
}

void Memberships::add(std::shared_ptr<Multicast> multicast) {
  rt::Lock lock(mutex_);
  multicast->left_ = false;
  all_.push_back(std::move(multicast));
}

std::shared_ptr<Multicast> Memberships::take(const SocketAddress& address) {
  rt::Lock lock(mutex_);
  const auto found = std::ranges::find_if(all_, [&](const auto& one) { return one->address == address; });
  if (found == all_.end()) return nullptr;
  std::shared_ptr<Multicast> taken = std::move(*found);
  all_.erase(found);
  taken->left_ = true;
  return taken;
}

std::vector<std::shared_ptr<Multicast>> Memberships::take_all() {
  rt::Lock lock(mutex_);
  for (const auto& one : all_) one->left_ = true;
  return std::exchange(all_, {});
}

bool Memberships::attached(Multicast& multicast) {
  rt::Lock lock(mutex_);
  multicast.attached_ = true;
  return !multicast.left_;
}

bool Memberships::must_detach(const Multicast& left) {
  rt::Lock lock(mutex_);
  return left.attached_ && std::ranges::none_of(all_, [&](const auto& other) {
           return other->attached_ && other->address.ip == left.address.ip;
         });
}

std::set<IpAddress> Memberships::forget_attachments() {
  rt::Lock lock(mutex_);
  std::set<IpAddress> groups;
  for (const auto& one : all_) {
    if (std::exchange(one->attached_, false)) groups.insert(one->address.ip);
  }
  return groups;
}

namespace {

void detach(CmId& id, const Multicast& left) {
  if (id.pub.qp == nullptr || !id.memberships.must_detach(left)) return;
  const ibv_gid group = gid_of(left.address.ip);
  (void)ibv_detach_mcast(id.pub.qp, &group, 0);
}

// The queue pair hears the group from when the program is told of it. An errno.
int attach(CmId& id, Multicast& multicast) {
  if (id.pub.qp == nullptr || multicast.send_only) return 0;
  const ibv_gid group = gid_of(multicast.address.ip);
  if (const int error = ibv_attach_mcast(id.pub.qp, &group, 0); error != 0) return error;
  if (!id.memberships.attached(multicast)) detach(id, multicast);
  return 0;
}

int join(Call& call, const sockaddr* address, std::uint32_t flags, void* context) {
  const auto group = SocketAddress::from(address);
  if (!group || group->family == Family::unspecified) return fail_errno(EINVAL);
  const auto multicast = std::make_shared<Multicast>();
  multicast->owner = call.id;
  multicast->address = *group;
  multicast->context = context;
  multicast->send_only = flags == RDMA_MC_JOIN_FLAG_SENDONLY_FULLMEMBER;
  auto& known = Process::current().multicasts;
  known.insert(multicast);  // its event may be fetched before we are back
  const auto handle = call.run(&ucm::Manager::join_multicast, *group, reinterpret_cast<std::uintptr_t>(&multicast->pub),
                               static_cast<int>(flags));
  if (!handle) {
    known.take(&multicast->pub);
    return answer(handle);
  }
  multicast->handle = *handle;
  call.id->memberships.add(multicast);
  return complete(call);
}

int leave(Call& call, const sockaddr* address) {
  const auto group = address == nullptr ? std::nullopt : SocketAddress::from(address);
  const auto multicast = group ? call.id->memberships.take(*group) : nullptr;
  if (multicast == nullptr) return fail_errno(EADDRNOTAVAIL);
  const auto fetched =
      call.id->on_file([&](ucm::File& file) { return call.ucm->leave_multicast(file, multicast->handle); });
  if (!fetched) {  // its device has gone: then it ends with its id
    call.id->memberships.add(multicast);
    return answer(fetched);
  }
  detach(*call.id, *multicast);
  if (call.id->sync.load()) drop_sync_event(*call.id);  // it may be this membership's
  call.own.unlock();
  multicast->wait_until_acknowledged(*fetched);
  Process::current().multicasts.take(&multicast->pub);
  return 0;
}

}  // namespace

void on_multicast(CmId& id, const std::shared_ptr<Multicast>& multicast, const ucm::EventRecord& record,
                  CmEvent& event) {
  event.multicast = multicast;
  event.pub.param.ud.private_data = multicast->context;
  if (record.type != cma::EventType::multicast_join) return;
  if (const int error = attach(id, *multicast); error != 0) {
    event.pub.event = RDMA_CM_EVENT_MULTICAST_ERROR;
    event.pub.status = -error;
  }
}

void detach_memberships(CmId& id) {
  for (const IpAddress& address : id.memberships.forget_attachments()) {
    const ibv_gid group = gid_of(address);
    (void)ibv_detach_mcast(id.pub.qp, &group, 0);
  }
}

void end_memberships(CmId& id) {
  for (const auto& multicast : id.memberships.take_all()) {
    detach(id, *multicast);
    Process::current().multicasts.take(&multicast->pub);
  }
}

}  // namespace hawser::abi::rdmacm

int rdma_join_multicast(rdma_cm_id* id, sockaddr* address, void* context) {
  auto call = enter(id);
  if (!call) return answer(call);
  return address == nullptr ? fail_errno(EINVAL) : join(*call, address, RDMA_MC_JOIN_FLAG_FULLMEMBER, context);
}

int rdma_join_multicast_ex(rdma_cm_id* id, rdma_cm_join_mc_attr_ex* attributes, void* context) {
  auto call = enter(id);
  if (!call) return answer(call);
  if (attributes == nullptr) return fail_errno(EINVAL);
  if (attributes->comp_mask >= RDMA_CM_JOIN_MC_ATTR_RESERVED) return fail_errno(ENOTSUP);
  constexpr std::uint32_t needed = RDMA_CM_JOIN_MC_ATTR_ADDRESS | RDMA_CM_JOIN_MC_ATTR_JOIN_FLAGS;
  if (attributes->comp_mask != needed || attributes->addr == nullptr) return fail_errno(EINVAL);
  if (attributes->join_flags >= RDMA_MC_JOIN_FLAG_RESERVED) return fail_errno(EINVAL);
  return join(*call, attributes->addr, attributes->join_flags, context);
}

int rdma_leave_multicast(rdma_cm_id* id, sockaddr* address) {
  auto call = enter(id);
  return call ? leave(*call, address) : answer(call);
}
