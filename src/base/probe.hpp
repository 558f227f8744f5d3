// Coverage probes: HW_PROBE("cm-duplicate-rep") marks a rare path. The explorer counts it, and fails a scenario that
// lists it and never reached it, and a run of all scenarios in which none reached it; in production it is nothing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string_view>

namespace hawser {

#if defined(HAWSER_EXPLORE)
// Explored code runs on one thread. `name` has static storage duration.
void probe_hit(std::string_view name);
[[nodiscard]] const std::map<std::string_view, std::uint64_t>& probe_hits();
void reset_probes();
// Every HW_PROBE of the program, reached or not.
[[nodiscard]] const std::set<std::string_view>& known_probes();

template <std::size_t Size>
struct ProbeName {
  consteval ProbeName(const char (&name)[Size]) { std::copy_n(name, Size, text); }  // NOLINT: from a literal
  char text[Size]{};
};
bool register_probe(std::string_view name);
template <ProbeName Name>
struct Probe {
  static inline const bool known = register_probe(Name.text);  // before main()
  static void hit() {
    static_cast<void>(&known);  // which is what makes it exist
    probe_hit(Name.text);
  }
};
#define HW_PROBE(name) ::hawser::Probe<name>::hit()
#else
#define HW_PROBE(name) static_cast<void>(0)
#endif

}  // namespace hawser
