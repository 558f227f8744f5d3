#include "stack/faults.hpp"

#include <optional>
#include <utility>

#include "base/log.hpp"

namespace hawser::stack {
namespace {

// Numbers of faults that no agent knows of.
constexpr std::uint32_t first_own = agent::fault_numbers_max + 1;

}  // namespace

Faults::Faults(Parts parts)
    : parts_(parts), last_own_(first_own - 1), turn_work_([] {}), network_work_([this] { settle_postponed(); }) {
  const auto notify = [this] {
    report();  // at once: the process may end with its next instruction
    static_cast<void>(parts_.dispatcher.post(turn_work_));
  };
  parts_.network.set_notify(notify);
  parts_.subnet.set_notify(notify);
  parts_.sender.set_notify(notify);
}

Faults::~Faults() {
  parts_.network.set_notify({});
  parts_.subnet.set_notify({});
  parts_.sender.set_notify({});
  static_cast<void>(parts_.dispatcher.cancel_sync(turn_work_));
  static_cast<void>(parts_.dispatcher.cancel_sync(network_work_));
}

bool Faults::is_own(std::uint32_t number) { return number >= first_own; }

std::uint32_t Faults::set(const cm::Fault& fault) {
  std::uint32_t number = 0;
  {
    rt::Lock lock(mutex_);
    number = ++last_own_;
  }
  put_in_force(number, fault, {});
  return number;
}

void Faults::set(const cm::FaultPlans& plans) {
  if (plans.datagrams) set(*plans.datagrams);
  for (const cm::Fault& fault : plans.faults) set(fault);
}

bool Faults::change(std::uint32_t number, const cm::Fault& fault) {
  agent::FaultTarget target;
  {
    rt::Lock lock(mutex_);
    const auto found = entries_.find(number);
    if (found == entries_.end()) return false;
    target = found->second.target;
  }
  clear(number);
  put_in_force(number, fault, target);
  return true;
}

void Faults::put_in_force(std::uint32_t number, const cm::Fault& fault, const agent::FaultTarget& target) {
  log::debug("fault {}: {}", number, cm::text_of(fault));
  {
    rt::Lock lock(mutex_);
    entries_.insert_or_assign(number, Entry{fault, target, 0, 0});
  }
  if (const auto* mads = std::get_if<cm::MadFault>(&fault)) return parts_.sender.set(number, *mads);
  if (const auto* datagrams = std::get_if<fabric::FaultPlan>(&fault)) return parts_.fabric.set(number, *datagrams);
  if (const auto* subnet = std::get_if<addr::SubnetFault>(&fault)) return parts_.subnet.set(number, *subnet);
  if (std::holds_alternative<addr::NetworkFault>(fault)) return change_network(number);
  const std::size_t ended = parts_.connections.end_timewait();
  {
    rt::Lock lock(mutex_);
    if (const auto found = entries_.find(number); found != entries_.end()) found->second.done = ended;
  }
  report();
}

bool Faults::clear(std::uint32_t number) {
  cm::Fault fault;
  {
    rt::Lock lock(mutex_);
    auto node = entries_.extract(number);
    if (node.empty()) return false;
    fault = std::move(node.mapped().fault);
  }
  take_back(number, fault);
  return true;
}

void Faults::take_back(std::uint32_t number, const cm::Fault& fault) {
  if (std::holds_alternative<cm::MadFault>(fault)) parts_.sender.clear(number);
  if (std::holds_alternative<fabric::FaultPlan>(fault)) parts_.fabric.clear(number);
  if (std::holds_alternative<addr::SubnetFault>(fault)) parts_.subnet.clear(number);
  if (std::holds_alternative<addr::NetworkFault>(fault)) change_network(number);
}

// Devices come and go with no handler_mutex held (their lock is outside of it), and so after the handler.
void Faults::change_network(std::uint32_t number) {
  if (!parts_.dispatcher.on_dispatching_thread()) return settle_network(number);
  {
    rt::Lock lock(mutex_);
    postponed_.insert(number);
  }
  static_cast<void>(parts_.dispatcher.post(network_work_));
}

// Makes the network what the entry of this number says, or what it is without one.
void Faults::settle_network(std::uint32_t number) {
  std::optional<addr::NetworkFault> fault;
  {
    rt::Lock lock(mutex_);
    const auto found = entries_.find(number);
    const auto* wanted = found == entries_.end() ? nullptr : std::get_if<addr::NetworkFault>(&found->second.fault);
    if (wanted != nullptr) fault = *wanted;
  }
  parts_.network.clear(number);  // what it was before
  if (fault) parts_.network.set(number, *fault);
}

void Faults::settle_postponed() {
  std::set<std::uint32_t> numbers;
  {
    rt::Lock lock(mutex_);
    numbers.swap(postponed_);
  }
  for (const std::uint32_t number : numbers) settle_network(number);
}

void Faults::clear_all() {
  for (const FaultState& state : list()) clear(state.number);
}

void Faults::clear_own() {
  for (const FaultState& state : list()) {
    if (is_own(state.number)) clear(state.number);
  }
}

std::map<std::uint32_t, std::uint64_t> Faults::effects() const {
  std::map<std::uint32_t, std::uint64_t> effects = parts_.sender.effects();
  effects.merge(parts_.network.effects());
  effects.merge(parts_.subnet.effects());
  effects.merge(parts_.fabric.effects());
  return effects;
}

std::vector<FaultState> Faults::list() const {
  const std::map<std::uint32_t, std::uint64_t> counted = effects();
  std::vector<FaultState> states;
  rt::Lock lock(mutex_);
  for (const auto& [number, entry] : entries_) {
    const auto found = counted.find(number);
    states.push_back({number, entry.fault, found == counted.end() ? entry.done : found->second});
  }
  return states;
}

void Faults::follow(agent::Client& agent) { agent_ = &agent; }

// The agent has parsed it before; one that is newer than we are may know more.
void Faults::set_for_agent(std::uint32_t number, const agent::FaultTarget& target, std::string_view text) {
  const auto fault = cm::parse_fault(text);
  if (!fault) return log::warning("a fault from the agent is not understood: {}", fault.error());
  put_in_force(number, *fault, target);
}

void Faults::clear_for_agent(std::uint32_t number) {
  if (number == 0) return clear_all();
  clear(number);
}

void Faults::tell_agent_again() {
  {
    rt::Lock lock(mutex_);
    for (auto& [number, entry] : entries_) entry.told = ~std::uint64_t{0};
  }
  report();
}

void Faults::report() {
  if (agent_ == nullptr) return;
  for (const FaultState& state : list()) {
    if (is_own(state.number)) continue;
    agent::FaultTarget target;
    {
      rt::Lock lock(mutex_);
      const auto found = entries_.find(state.number);
      if (found == entries_.end() || found->second.told == state.effects) continue;
      found->second.told = state.effects;
      target = found->second.target;
    }
    agent_->report_fault(state.number, state.effects, target, cm::text_of(state.fault));
  }
}

}  // namespace hawser::stack
