#include "agent/fault_board.hpp"

#include <algorithm>

namespace hawser::agent {

std::uint64_t FaultBoard::Fault::all_effects() const {
  std::uint64_t sum = past_effects;
  for (const auto& [slot, count] : effects) sum += count;
  return sum;
}

std::uint32_t FaultBoard::add(FaultTarget target, std::string text) {
  faults_.emplace(++last_number_, Fault{std::move(target), std::move(text), {}, 0});
  return last_number_;
}

void FaultBoard::give(std::uint32_t number, std::uint32_t slot) {
  if (const auto found = faults_.find(number); found != faults_.end()) found->second.effects.emplace(slot, 0);
}

void FaultBoard::on_state(std::uint32_t number, std::uint32_t slot, std::uint64_t effects, FaultTarget target,
                          std::string text) {
  if (cleared_.contains(number)) return;
  last_number_ = std::max(last_number_, number);
  const auto fault = faults_.try_emplace(number, Fault{std::move(target), std::move(text), {}, 0}).first;
  std::uint64_t& known = fault->second.effects[slot];
  known = std::max(known, effects);  // threads of a process tell in any order
}

void FaultBoard::on_end(std::uint32_t slot) {
  for (auto& [number, fault] : faults_) {
    const auto found = fault.effects.find(slot);
    if (found == fault.effects.end()) continue;
    fault.past_effects += found->second;
    fault.effects.erase(found);
  }
}

std::size_t FaultBoard::clear(std::uint32_t number) {
  return std::erase_if(faults_, [&](const auto& entry) {
    if (number != 0 && entry.first != number) return false;
    cleared_.insert(entry.first);
    return true;
  });
}

}  // namespace hawser::agent
