#include "fabric/faults.hpp"

#include <algorithm>
#include <charconv>
#include <string>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/log.hpp"

namespace hawser::fabric {
namespace {

template <class T>
[[nodiscard]] bool parse_number(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

// "5%" or "0.05".
[[nodiscard]] bool parse_probability(std::string_view text, double& value) {
  const bool percent = text.ends_with('%');
  if (percent) text.remove_suffix(1);
  if (!parse_number(text, value)) return false;
  if (percent) value /= 100;
  return value >= 0 && value <= 1;  // false for NaN too
}

[[nodiscard]] bool parse_bitmap(std::string_view text, std::vector<bool>& bitmap) {
  if (text.empty() || text.find_first_not_of("01") != std::string_view::npos) return false;
  bitmap.clear();
  for (const char bit : text) bitmap.push_back(bit == '1');
  return true;
}

// What is wrong with one "key=value", or nullptr.
[[nodiscard]] const char* parse_part(std::string_view key, std::string_view value, FaultPlan& plan) {
  if (key == "loss") return parse_probability(value, plan.loss) ? nullptr : "a probability: 5% or 0.05";
  if (key == "duplicate") return parse_probability(value, plan.duplication) ? nullptr : "a probability: 5% or 0.05";
  if (key == "nth") return parse_number(value, plan.lose_nth.emplace()) ? nullptr : "a number, counted from 0";
  if (key == "bitmap") return parse_bitmap(value, plan.lose_bitmap) ? nullptr : "zeros and ones: 0110";
  if (key == "seed") return parse_number(value, plan.seed) ? nullptr : "a number";
  return "one of loss, duplicate, nth, bitmap, seed";
}

// A double in [0, 1) from the upper 53 bits.
[[nodiscard]] double unit_interval(std::uint64_t random) { return static_cast<double>(random >> 11) * 0x1p-53; }

}  // namespace

Result<FaultPlan> FaultPlan::parse(std::string_view text) {
  FaultPlan plan;
  std::vector<std::string_view> seen;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(','));
    const bool last = part.size() == text.size();
    text.remove_prefix(last ? part.size() : part.size() + 1);
    const std::size_t equals = part.find('=');
    const std::string_view key = part.substr(0, equals);
    const std::string_view value = equals == std::string_view::npos ? "" : part.substr(equals + 1);
    const char* expected = parse_part(key, value, plan);
    if (expected == nullptr && std::ranges::find(seen, key) != seen.end()) expected = "given once";
    if (expected == nullptr && !last && text.empty()) expected = "followed by a part, not by a comma alone";
    if (expected != nullptr) {
      log::error("HAWSER_FAULT: \"{}\" is wrong: expected {}", part, expected);
      return fail(EINVAL);
    }
    seen.push_back(key);
  }
  return plan;
}

std::string FaultPlan::text() const {
  std::vector<std::string> parts;
  if (loss != 0) parts.push_back(fmt::format("loss={}", loss));
  if (duplication != 0) parts.push_back(fmt::format("duplicate={}", duplication));
  if (lose_nth) parts.push_back(fmt::format("nth={}", *lose_nth));
  if (!lose_bitmap.empty()) {
    std::string bits;
    for (const bool lost : lose_bitmap) bits += lost ? '1' : '0';
    parts.push_back("bitmap=" + bits);
  }
  if (seed != 0) parts.push_back(fmt::format("seed={}", seed));
  return fmt::format("{}", fmt::join(parts, ","));
}

FaultyFabric::FaultyFabric(std::unique_ptr<Fabric> inner, const FaultPlan& plan)
    : owned_(std::move(inner)), inner_(*owned_) {
  if (plan != FaultPlan()) set(0, plan);
}

void FaultyFabric::set(std::uint32_t number, const FaultPlan& plan) {
  rt::Lock lock(mutex_);
  plans_.insert_or_assign(number, Entry{plan, rt::World::simulated(plan.seed), 0, 0});
  any_.store(true);
}

bool FaultyFabric::clear(std::uint32_t number) {
  rt::Lock lock(mutex_);
  const bool there = plans_.erase(number) != 0;
  any_.store(!plans_.empty());
  return there;
}

std::map<std::uint32_t, std::uint64_t> FaultyFabric::effects() const {
  std::map<std::uint32_t, std::uint64_t> effects;
  rt::Lock lock(mutex_);
  for (const auto& [number, entry] : plans_) effects.emplace(number, entry.effects);
  return effects;
}

unsigned FaultyFabric::copies_of_next() {
  bool lost = false;
  unsigned copies = 1;
  for (auto& [number, entry] : plans_) {
    const FaultPlan& plan = entry.plan;
    // Two numbers for each datagram, used or not, so that the fate of the n-th depends on n and the seed only.
    const bool loses = unit_interval(entry.chance->random()) < plan.loss;
    const bool duplicates = unit_interval(entry.chance->random()) < plan.duplication;
    const std::uint64_t n = entry.seen++;
    if (loses || n == plan.lose_nth || (n < plan.lose_bitmap.size() && plan.lose_bitmap[n])) {
      lost = true;
      ++entry.effects;
    } else if (duplicates) {
      ++copies;
      ++entry.effects;
    }
  }
  return lost ? 0 : copies;
}

std::size_t FaultyFabric::send(std::span<const OutDatagram> datagrams) {
  if (!any_.load()) return inner_.send(datagrams);
  std::vector<OutDatagram> through;
  through.reserve(datagrams.size() + 1);
  std::size_t lost = 0;
  {
    rt::Lock lock(mutex_);
    for (const OutDatagram& datagram : datagrams) {
      const unsigned copies = copies_of_next();
      through.insert(through.end(), copies, datagram);
      if (copies == 0) ++lost;
      if (copies > 1) duplicated_ += copies - 1;
    }
    dropped_ += lost;
  }
  const std::size_t accepted = through.empty() ? 0 : inner_.send(through);
  return std::min(datagrams.size(), accepted + lost);  // what a wire loses was accepted
}

Counters FaultyFabric::counters() const {
  Counters counters = inner_.counters();
  rt::Lock lock(mutex_);
  counters.fault_dropped += dropped_;
  counters.fault_duplicated += duplicated_;
  return counters;
}

}  // namespace hawser::fabric
