#include "hawser/faults.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "api/stack_impl.hpp"
#include "base/log.hpp"
#include "cm/fault.hpp"
#include "hawser/id.hpp"

namespace hawser {
namespace {

constexpr std::chrono::hours delay_max{1};

cm::Attribute to_internal(CmMessage message) {
  switch (message) {
    case CmMessage::req: return cm::Attribute::req;
    case CmMessage::rep: return cm::Attribute::rep;
    case CmMessage::rtu: return cm::Attribute::rtu;
    case CmMessage::rej: return cm::Attribute::rej;
    case CmMessage::mra: return cm::Attribute::mra;
    case CmMessage::dreq: return cm::Attribute::dreq;
    case CmMessage::drep: return cm::Attribute::drep;
    case CmMessage::sidr_req: return cm::Attribute::sidr_req;
    case CmMessage::sidr_rep: return cm::Attribute::sidr_rep;
  }
  return {};
}

constexpr std::array all_messages{CmMessage::req,  CmMessage::rep,      CmMessage::rtu,
                                  CmMessage::rej,  CmMessage::mra,      CmMessage::dreq,
                                  CmMessage::drep, CmMessage::sidr_req, CmMessage::sidr_rep};

CmMessage to_public(cm::Attribute kind) {
  return *std::ranges::find(all_messages, kind, [](CmMessage message) { return to_internal(message); });
}

bool is_probability(double value) { return value >= 0 && value <= 1; }  // no NaN either

// Between the public faults, one type each, and the ones that are in force: the same, in the words of their rooms.
struct ToInternal {
  Result<cm::Fault> operator()(const MessageFault& from) const {
    const bool delays = from.action == MessageFault::Action::delay;
    const bool timely = delays ? from.by > from.by.zero() && from.by <= delay_max : from.by == from.by.zero();
    if (!timely || from.first == 0 || from.last < from.first || !is_probability(from.chance.value_or(0))) {
      return fail(EINVAL);
    }
    cm::MadFault to{.action = static_cast<cm::MadFault::Action>(from.action), .kind = to_internal(from.message)};
    to.first = from.first;
    to.last = from.last;
    to.chance = from.chance;
    to.seed = from.seed;
    to.by = from.by;
    to.port = from.port;
    if (from.id) to.id = from.id->value;
    return to;
  }
  Result<cm::Fault> operator()(const DatagramFault& from) const {
    if (!is_probability(from.loss) || !is_probability(from.duplication)) return fail(EINVAL);
    return fabric::FaultPlan{.loss = from.loss,
                             .duplication = from.duplication,
                             .lose_nth = from.lose_nth,
                             .lose_bitmap = from.lose_bitmap,
                             .seed = from.seed};
  }
  Result<cm::Fault> operator()(const RemoveDevice& from) const {
    return of_device(addr::NetworkFaultKind::remove_interface, from.device);
  }
  Result<cm::Fault> operator()(const LinkDown& from) const {
    return of_device(addr::NetworkFaultKind::link_down, from.device);
  }
  Result<cm::Fault> operator()(const ChangeMac& from) const {
    return of_device(addr::NetworkFaultKind::change_mac, from.device);
  }
  Result<cm::Fault> operator()(const RemoveAddress& from) const {
    return of_address(addr::NetworkFaultKind::remove_address, from.address);
  }
  Result<cm::Fault> operator()(const MoveNeighbour& from) const {
    return of_address(addr::NetworkFaultKind::move_neighbour, from.address);
  }
  Result<cm::Fault> operator()(const SilenceNeighbour& from) const {
    return of_address(addr::NetworkFaultKind::silence_neighbour, from.address);
  }
  Result<cm::Fault> operator()(const SilenceRoute& from) const {
    return addr::SubnetFault{.kind = addr::SubnetFaultKind::silence_route, .address = from.address, .service = {}};
  }
  Result<cm::Fault> operator()(const SilenceService& from) const {
    if (from.name.empty()) return fail(EINVAL);
    return addr::SubnetFault{.kind = addr::SubnetFaultKind::silence_service, .address = {}, .service = from.name};
  }
  Result<cm::Fault> operator()(const EndTimewait&) const { return cm::EndTimewait(); }

 private:
  static Result<cm::Fault> of_device(addr::NetworkFaultKind kind, std::string_view device) {
    if (!device.starts_with(cm::device_prefix) || device.size() == cm::device_prefix.size()) return fail(EINVAL);
    device.remove_prefix(cm::device_prefix.size());
    return addr::NetworkFault{.kind = kind, .interface = std::string(device), .address = {}};
  }
  static Result<cm::Fault> of_address(addr::NetworkFaultKind kind, const IpAddress& address) {
    return addr::NetworkFault{.kind = kind, .interface = {}, .address = address};
  }
};

struct ToPublic {
  Fault operator()(const cm::MadFault& from) const {
    MessageFault to{.action = static_cast<MessageFault::Action>(from.action), .message = to_public(from.kind)};
    to.first = from.first;
    to.last = from.last;
    to.chance = from.chance;
    to.seed = from.seed;
    to.by = from.by;
    to.port = from.port;
    if (from.id) to.id = IdNumber(*from.id);
    return to;
  }
  Fault operator()(const fabric::FaultPlan& from) const {
    return DatagramFault{.loss = from.loss,
                         .duplication = from.duplication,
                         .lose_nth = from.lose_nth,
                         .lose_bitmap = from.lose_bitmap,
                         .seed = from.seed};
  }
  Fault operator()(const addr::NetworkFault& from) const {
    const std::string device = std::string(cm::device_prefix) + from.interface;
    switch (from.kind) {
      case addr::NetworkFaultKind::remove_interface: return RemoveDevice{device};
      case addr::NetworkFaultKind::link_down: return LinkDown{device};
      case addr::NetworkFaultKind::change_mac: return ChangeMac{device};
      case addr::NetworkFaultKind::remove_address: return RemoveAddress{from.address};
      case addr::NetworkFaultKind::move_neighbour: return MoveNeighbour{from.address};
      case addr::NetworkFaultKind::silence_neighbour: break;
    }
    return SilenceNeighbour{from.address};
  }
  Fault operator()(const addr::SubnetFault& from) const {
    if (from.kind == addr::SubnetFaultKind::silence_route) return SilenceRoute{from.address};
    return SilenceService{from.service};
  }
  Fault operator()(const cm::EndTimewait&) const { return EndTimewait(); }
};

Result<cm::Fault> to_internal(const Fault& fault) { return std::visit(ToInternal(), fault); }
Fault to_public(const cm::Fault& fault) { return std::visit(ToPublic(), fault); }

}  // namespace

const char* name(CmMessage message) { return cm::name(to_internal(message)); }

MessageFault MessageFault::between(std::uint64_t from, std::uint64_t to) const {
  MessageFault narrowed = *this;
  narrowed.first = from;
  narrowed.last = to;
  return narrowed;
}

MessageFault MessageFault::by_chance(double probability, std::uint64_t with_seed) const {
  MessageFault narrowed = *this;
  narrowed.chance = probability;
  narrowed.seed = with_seed;
  return narrowed;
}

MessageFault MessageFault::of_port(std::uint16_t number) const {
  MessageFault narrowed = *this;
  narrowed.port = number;
  return narrowed;
}

MessageFault MessageFault::of_id(IdRef whose) const {
  MessageFault narrowed = *this;
  narrowed.id = whose.number().value_or(IdNumber(std::numeric_limits<std::uint32_t>::max()));
  return narrowed;
}

std::string text_of(const Fault& fault) {
  const auto internal = to_internal(fault);
  return internal ? cm::text_of(*internal) : "no fault at all";
}

Result<std::vector<Fault>> parse_faults(std::string_view text) {
  const auto plans = cm::parse_plans(text);
  if (!plans) return fail(plans.error());
  std::vector<Fault> faults;
  if (plans->datagrams) faults.push_back(to_public(cm::Fault(*plans->datagrams)));
  for (const cm::Fault& fault : plans->faults) faults.push_back(to_public(fault));
  return faults;
}

// ---- of this Stack ----

Result<FaultNumber> Faults::set(const Fault& fault) {
  const auto internal = to_internal(fault);
  if (!internal) return fail(internal.error());
  return FaultNumber((*stack_)->faults().set(*internal));
}

Status Faults::change(FaultNumber number, const Fault& fault) {
  const auto internal = to_internal(fault);
  if (!internal) return fail(internal.error());
  if (!stack::Faults::is_own(number.value)) return effects(number) ? fail(EPERM) : fail(ENOENT);
  return (*stack_)->faults().change(number.value, *internal) ? Status() : fail(ENOENT);
}

Status Faults::clear(FaultNumber number) {
  if (!stack::Faults::is_own(number.value)) return effects(number) ? fail(EPERM) : fail(ENOENT);
  return (*stack_)->faults().clear(number.value) ? Status() : fail(ENOENT);
}

void Faults::clear_all() { (*stack_)->faults().clear_own(); }

std::vector<FaultState> Faults::list() const {
  std::vector<FaultState> states;
  for (const stack::FaultState& state : (*stack_)->faults().list()) {
    states.push_back({FaultNumber(state.number), to_public(state.fault), state.effects});
  }
  return states;
}

Result<std::uint64_t> Faults::effects(FaultNumber number) const {
  const auto states = list();
  const auto found = std::ranges::find(states, number, &FaultState::number);
  if (found == states.end()) return fail(ENOENT);
  return found->effects;
}

// ---- of other processes ----

Result<FaultNumber> HostFaults::set(const Fault& fault, const FaultTarget& target) {
  if (std::holds_alternative<DatagramFault>(fault)) return fail(EOPNOTSUPP);
  const auto internal = to_internal(fault);
  if (!internal) return fail(internal.error());
  const std::string text = cm::text_of(*internal);
  if (cm::parse_fault(text) != *internal) return fail(EINVAL);  // finer than the notation
  const auto set = agent::set_fault({.pid = target.pid, .program = target.program}, text);
  if (!set) return fail(set.error());
  return FaultNumber(set->number);
}

Status HostFaults::clear(FaultNumber number) {
  if (number.value == 0) return fail(ENOENT);  // which is all of them
  const auto cleared = agent::clear_faults(number.value);
  if (!cleared) return fail(cleared.error());
  return *cleared == 0 ? fail(ENOENT) : Status();
}

Result<std::vector<HostFaultState>> HostFaults::list() {
  const auto known = agent::query_faults();
  if (!known) return fail(known.error());
  std::vector<HostFaultState> states;
  for (const agent::FaultInfo& info : *known) {
    const auto fault = cm::parse_fault(info.fault);
    if (!fault) {  // of an agent that is newer than we are
      log::warning("a fault of the agent is not understood: {}", fault.error());
      continue;
    }
    states.push_back({.number = FaultNumber(info.number),
                      .target = {.pid = info.target.pid, .program = info.target.program},
                      .fault = to_public(*fault),
                      .processes = info.processes,
                      .effects = info.effects});
  }
  return states;
}

}  // namespace hawser
