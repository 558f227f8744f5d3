#include "base/probe.hpp"
#include "base/tsan_ignore.hpp"

namespace hawser {
namespace {

std::map<std::string_view, std::uint64_t>& hits() {
  static std::map<std::string_view, std::uint64_t> map;
  return map;
}

std::set<std::string_view>& known() {
  static std::set<std::string_view> set;
  return set;
}

}  // namespace

bool register_probe(std::string_view name) { return known().insert(name).second; }
const std::set<std::string_view>& known_probes() { return known(); }

void probe_hit(std::string_view name) {
  const TsanIgnore ignore;
  ++hits()[name];
}
const std::map<std::string_view, std::uint64_t>& probe_hits() { return hits(); }
void reset_probes() { hits().clear(); }

}  // namespace hawser
