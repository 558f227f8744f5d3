#include "fabric/faults.hpp"

#include <algorithm>
#include <charconv>
#include <string>

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

FaultyFabric::FaultyFabric(std::unique_ptr<Fabric> inner, FaultPlan plan)
    : inner_(std::move(inner)), plan_(std::move(plan)), chance_(rt::World::simulated(plan_.seed)) {}

std::size_t FaultyFabric::send(std::span<const OutDatagram> datagrams) {
  std::vector<OutDatagram> through;
  through.reserve(datagrams.size() + 1);
  std::size_t lost = 0;
  std::size_t copies = 0;
  for (const OutDatagram& datagram : datagrams) {
    // Two numbers for each datagram, used or not, so that the fate of the n-th depends on n and the seed only.
    const double loss = unit_interval(chance_->random());
    const double duplication = unit_interval(chance_->random());
    const std::uint64_t n = count_.fetch_add(1);
    if (loss < plan_.loss || n == plan_.lose_nth || (n < plan_.lose_bitmap.size() && plan_.lose_bitmap[n])) {
      ++lost;
      continue;
    }
    through.push_back(datagram);
    if (duplication < plan_.duplication) {
      through.push_back(datagram);
      ++copies;
    }
  }
  dropped_ += lost;
  duplicated_ += copies;
  const std::size_t accepted = through.empty() ? 0 : inner_->send(through);
  return std::min(datagrams.size(), accepted + lost);  // what a wire loses was accepted
}

Counters FaultyFabric::counters() const {
  Counters counters = inner_->counters();
  counters.fault_dropped += dropped_;
  counters.fault_duplicated += duplicated_;
  return counters;
}

}  // namespace hawser::fabric
