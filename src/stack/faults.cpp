#include "stack/faults.hpp"

#include "base/log.hpp"

namespace hawser::stack {
namespace {

// Numbers of faults that no agent knows of.
constexpr std::uint32_t first_own = agent::fault_numbers_max + 1;

}  // namespace

Faults::Faults(Parts parts) : parts_(parts), last_own_(first_own - 1), report_work_([this] { report(); }) {
  const auto notify = [this] { static_cast<void>(parts_.dispatcher.post(report_work_)); };
  parts_.network.set_notify(notify);
  parts_.sender.set_notify(notify);
}

Faults::~Faults() {
  parts_.network.set_notify({});
  parts_.sender.set_notify({});
  static_cast<void>(parts_.dispatcher.cancel_sync(report_work_));
}

std::uint32_t Faults::set(const cm::Fault& fault) {
  std::uint32_t number = 0;
  {
    rt::Lock lock(mutex_);
    number = ++last_own_;
  }
  put_in_force(number, fault, {});
  return number;
}

void Faults::put_in_force(std::uint32_t number, const cm::Fault& fault, const agent::FaultTarget& target) {
  log::debug("fault {}: {}", number, cm::text_of(fault));
  {
    rt::Lock lock(mutex_);
    entries_.insert_or_assign(number, Entry{fault, target, 0, 0});
  }
  if (const auto* mads = std::get_if<cm::MadFault>(&fault)) return parts_.sender.set(number, *mads);
  if (const auto* network = std::get_if<addr::NetworkFault>(&fault)) return parts_.network.set(number, *network);
  const std::size_t ended = parts_.connections.end_timewait();
  {
    rt::Lock lock(mutex_);
    if (const auto found = entries_.find(number); found != entries_.end()) found->second.done = ended;
  }
  static_cast<void>(parts_.dispatcher.post(report_work_));
}

bool Faults::clear(std::uint32_t number) {
  {
    rt::Lock lock(mutex_);
    if (entries_.erase(number) == 0) return false;
  }
  static_cast<void>(parts_.sender.clear(number) || parts_.network.clear(number));
  return true;
}

void Faults::clear_all() {
  std::vector<std::uint32_t> numbers;
  {
    rt::Lock lock(mutex_);
    for (const auto& [number, entry] : entries_) numbers.push_back(number);
  }
  for (const std::uint32_t number : numbers) clear(number);
}

std::map<std::uint32_t, std::uint64_t> Faults::effects() const {
  std::map<std::uint32_t, std::uint64_t> effects = parts_.sender.effects();
  effects.merge(parts_.network.effects());
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
    if (state.number >= first_own) continue;
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
