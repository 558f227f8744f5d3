// Calls of librdmacm whose arguments need making, and those of libibverbs.
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "calls.hpp"
#include "options.hpp"

namespace hawser::fuzz {
namespace {

std::array<std::byte, 255> private_data{};
constexpr std::chrono::milliseconds patience_max{500};
constexpr int resolve_timeout_max_ms = 2000;

rdma_conn_param parameter_of(const Call& call) {
  rdma_conn_param param{};
  param.private_data = private_data.data();
  param.private_data_len = call.as<std::uint8_t>(3);
  param.responder_resources = param.initiator_depth = call.as<std::uint8_t>(4);
  param.retry_count = param.rnr_retry_count = call.as<std::uint8_t>(4);
  param.qp_num = call.as<std::uint32_t>(2);
  return param;
}

struct RawAddress {
  explicit RawAddress(const SocketAddress& from) { from.to(storage); }
  // Null if there is none, as a program says it.
  sockaddr* get() { return storage.ss_family == AF_UNSPEC ? nullptr : reinterpret_cast<sockaddr*>(&storage); }
  sockaddr_storage storage{};
};

}  // namespace

Caller::Outcome Caller::bind(const Call& call) {
  RawAddress address(machine_.address(call.as<Place>(2), call.as<std::uint16_t>(3)));
  return with(id(call), [&](CallsId& one) { return answered(rdma_bind_addr(one.raw, address.get())); });
}

Caller::Outcome Caller::resolve_addr(const Call& call) {
  RawAddress source(machine_.address(call.as<Place>(2), 0));
  RawAddress destination(machine_.address(call.as<Place>(3), call.as<std::uint16_t>(4)));
  const int timeout_ms = std::min(call.as<int>(5), resolve_timeout_max_ms);
  return with(id(call), [&](CallsId& one) {
    return answered(rdma_resolve_addr(one.raw, source.get(), destination.get(), timeout_ms));
  });
}

Caller::Outcome Caller::resolve_service(CallsId* id) {
  return with(id, [](CallsId& one) { return answered(rdma_resolve_addrinfo(one.raw, "127.0.0.1", "7471", nullptr)); });
}

Caller::Outcome Caller::query_services(CallsId* id) {
  return with(id, [](CallsId& one) {
    rdma_addrinfo* info = nullptr;
    const int error = answered(rdma_query_addrinfo(one.raw, &info));
    if (error == 0) rdma_freeaddrinfo(info);
    return error;
  });
}

// With qpn 0 without parameters at all.
Caller::Outcome Caller::connect(const Call& call, bool accepts, Diary& diary) {
  rdma_conn_param param = parameter_of(call);
  rdma_conn_param* const given = param.qp_num == 0 ? nullptr : &param;
  const Outcome error = with(id(call), [&](CallsId& one) {
    const Clerk::Waiting waiting(clerk_, one, patience_max);  // the peer need not answer
    return answered(accepts ? rdma_accept(one.raw, given) : rdma_connect(one.raw, given));
  });
  if (error == 0 && accepts) diary.reach("accepted");
  return error;
}

Caller::Outcome Caller::reject(const Call& call) {
  const auto reason = call.as<std::uint16_t>(2);
  const auto length = call.as<std::uint8_t>(3);
  return with(id(call), [&](CallsId& one) {
    const void* const data = length == 1 ? nullptr : private_data.data();
    return answered(reason == 35 ? rdma_reject_ece(one.raw, data, length) : rdma_reject(one.raw, data, length));
  });
}

Caller::Outcome Caller::set_option(const Call& call) {
  OptionArgument option = option_of(call.as<Setting>(2));
  return with(id(call), [&](CallsId& one) {
    return answered(rdma_set_option(one.raw, option.level, option.name, option.value.data(), option.value.size()));
  });
}

Caller::Outcome Caller::join_multicast(const Call& call) {
  const SocketAddress group = machine_.address(call.as<Place>(2), 0);
  RawAddress address(group);
  CallsId* const joining = id(call);
  CallsMember* member = nullptr;
  {
    const std::lock_guard lock(mutex_);
    member = &all_members_.emplace_back(CallsMember{.number = next_number(), .id = joining, .address = group});
  }
  const Outcome error = with(joining, [&](CallsId& one) {
    auto* const context = reinterpret_cast<void*>(member->number);
    const auto flags = call.as<std::uint32_t>(4);
    if (flags == 0) return answered(rdma_join_multicast(one.raw, address.get(), context));
    rdma_cm_join_mc_attr_ex attributes{};
    attributes.comp_mask = RDMA_CM_JOIN_MC_ATTR_ADDRESS | RDMA_CM_JOIN_MC_ATTR_JOIN_FLAGS;
    attributes.join_flags = flags == 1 ? RDMA_MC_JOIN_FLAG_SENDONLY_FULLMEMBER : RDMA_MC_JOIN_FLAG_RESERVED;
    attributes.addr = address.get();
    return answered(rdma_join_multicast_ex(one.raw, &attributes, context));
  });
  if (error == 0) members_[call.as<std::size_t>(3)].store(member, std::memory_order_release);
  return error;
}

Caller::Outcome Caller::leave_multicast(const Call& call, Diary& diary) {
  const CallsMember* const member = members_[call.as<std::size_t>(1)].load(std::memory_order_acquire);
  if (member == nullptr) return ENOENT;
  RawAddress address(member->address);
  const Outcome error =
      with(member->id, [&](CallsId& one) { return answered(rdma_leave_multicast(one.raw, address.get())); });
  if (error == 0) diary.reach("multicast left");
  return error;
}

// What getaddrinfo(3) refuses is EINVAL here.
Caller::Outcome Caller::look_up(const Call& call) {
  const std::string node = machine_.address(call.as<Place>(0), 0).ip.text();
  const std::string service = std::to_string(call.as<int>(1));
  rdma_addrinfo hints{}, *info = nullptr;
  hints.ai_port_space = call.as<int>(2);
  hints.ai_flags = RAI_NUMERICHOST;
  const int error = rdma_getaddrinfo(node.c_str(), service.c_str(), &hints, &info);
  if (error == 0) rdma_freeaddrinfo(info);
  return error == -1 ? errno : error == 0 ? 0 : EINVAL;
}

// --- Queue pairs

Caller::Outcome Caller::execute_verbs(const Call& call, Diary& diary) {
  const auto on = [&](auto&& function) { return with(id(call, 0), function); };
  const auto work = [&] { return call.as<Work>(1); };
  switch (call.op) {
    case Op::create_qp:
      return on([&](CallsId& it) { return it.queue.create(it.raw, call.as<Queue>(1), it.datagrams, window_); });
    case Op::destroy_qp: return on([&](CallsId& it) { return it.queue.destroy(it.raw, diary); });
    case Op::create_srq: return on([&](CallsId& it) { return it.queue.create_shared(it.raw); });
    case Op::destroy_srq: return on([&](CallsId& it) { return it.queue.destroy_shared(it.raw); });
    case Op::modify_qp: return on([&](CallsId& it) { return it.queue.modify(call.as<int>(1)); });
    case Op::reregister: return on([&](CallsId& it) { return it.queue.reregister(window_); });
    case Op::post_recv: return on([&](CallsId& it) { return it.queue.post_receive(work()); });
    case Op::post_send: return on([&](CallsId& it) { return it.queue.post_send(work(), window_); });
    case Op::poll: return on([&](CallsId& it) { return it.queue.poll(diary); });
    case Op::cq_event: return on([&](CallsId& it) { return it.queue.completion_event(diary); });
    case Op::attach:
    case Op::detach: {
      const IpAddress group = machine_.address(call.as<Place>(1), 0).ip;
      return on([&](CallsId& it) { return call.op == Op::attach ? it.queue.attach(group) : it.queue.detach(group); });
    }
    case Op::init_qp_attr:
      return with(id(call), [&](CallsId& it) {
        ibv_qp_attr attributes{};
        attributes.qp_state = static_cast<ibv_qp_state>(IBV_QPS_INIT + call.as<int>(2));
        int mask = 0;
        return answered(rdma_init_qp_attr(it.raw, &attributes, &mask));
      });
    case Op::ece:
      return on([](CallsId& it) {
        ibv_ece ece{.vendor_id = 0x123, .options = 5, .comp_mask = 0};
        const int error = answered(rdma_set_local_ece(it.raw, &ece));
        return error != 0 ? error : answered(rdma_get_remote_ece(it.raw, &ece));
      });
    case Op::ports:
      return on([](CallsId& it) {
        (void)rdma_get_src_port(it.raw);
        (void)rdma_get_dst_port(it.raw);
        return 0;
      });
    case Op::getaddrinfo: return look_up(call);
    case Op::devices: {
      int count = 0;
      ibv_context** const list = rdma_get_devices(&count);
      if (list == nullptr) return errno;
      rdma_free_devices(list);
      return 0;
    }
    default: return 0;  // only the user ABI has it
  }
}

}  // namespace hawser::fuzz
