// Every pair of commands on one id, given by two threads at once, in every situation of its life; and with a third
// thing that happens meanwhile. Nobody says what must come out: UcmStage::clear() checks what must always be true, and
// the host that ucm keeps cma's contract [spec 2.2.1, 2.8].
#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "scenarios.hpp"
#include "ucm_commands.hpp"

namespace hawser::scenarios {
namespace {

using rt::explore::Execution;

constexpr int get_event_number = 12;

// What happens beside two commands: one that ends or moves something, or what the world does.
constexpr std::array world{
    Command{-1, "device-goes", [](UcmStage& stage) { stage.near.view.set_interfaces({}); }},
    Command{-1, "far-end-goes", [](UcmStage& stage) { stage.far_end.end(); }},
};
[[nodiscard]] std::vector<const Command*> meanwhile() {
  std::vector<const Command*> all;
  for (const Command& command : commands()) {
    for (const std::string_view name : {"destroy", "migrate", "close", "get-event"}) {
      if (command.name == name) all.push_back(&command);
    }
  }
  for (const Command& happening : world) all.push_back(&happening);
  return all;
}

void give_at_once(Execution& execution, Situation at, const Command& a, const Command& b, const Command* third) {
  UcmStage stage(execution, at);
  for (const Command* each : {&a, &b, third}) {
    if (each != nullptr && each->number == get_event_number) stage.fetchers = stage.fetchers + 1;
  }
  stage.spawn("one", [&] { a.give(stage); });
  stage.spawn("two", [&] { b.give(stage); });
  if (third != nullptr) third->give(stage);
  stage.join();
  stage.clear();
}

class PairLists {
 public:
  void add(Situation at, const Command& a, const Command& b, const Command* third) {
    Planned planned;
    planned.group = fmt::format("ucm-{}.{}", third == nullptr ? "pair" : "triple", name(at));
    planned.scenario.name = fmt::format("{}.{}+{}", planned.group, a.name, b.name);
    if (third != nullptr) planned.scenario.name += fmt::format("+{}", third->name);
    planned.scenario.about = "commands on one id, see docs/verification.md";
    planned.scenario.body = [=, &a, &b](Execution& execution) { give_at_once(execution, at, a, b, third); };
    if (third == nullptr) {
      planned.plans = {{"pct:2:60", 2}, {"random", 1}};
    } else {
      planned.plans = {{"pct:3:100", 1}};
    }
    planned_.push_back(std::move(planned));
  }
  [[nodiscard]] std::vector<Planned> take() { return std::move(planned_); }

 private:
  std::vector<Planned> planned_;
};

}  // namespace

std::vector<Planned> ucm_pair_scenarios() {
  PairLists lists;
  const std::span<const Command> all = commands();
  for (const Situation at : UcmStage::situations()) {
    for (std::size_t a = 0; a < all.size(); ++a) {
      for (std::size_t b = a; b < all.size(); ++b) {
        lists.add(at, all[a], all[b], nullptr);
        for (const Command* third : meanwhile()) lists.add(at, all[a], all[b], third);
      }
    }
  }
  return lists.take();
}

}  // namespace hawser::scenarios
