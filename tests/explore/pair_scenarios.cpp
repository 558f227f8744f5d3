// Every pair, on one id, of {entry point, happening}, in every situation of its life; and many triples. Nobody says
// what must come out: the stage checks what must always be true (watched.hpp, Stage::clear()).
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "entry_points.hpp"
#include "scenarios.hpp"

namespace hawser::scenarios {
namespace {

using rt::explore::Execution;

void call(Stage& stage, const EntryPoint& entry) {
  if (stage.subject->alive()) entry(stage, *stage.subject, *stage.subject->id);
}
void happen(Stage& stage, const Happening& happening) {
  if (!happening.at_peer || stage.peer == nullptr || stage.peer->alive()) happening.happen(stage);
}

// Two fibers, or one where both would enter the same id of the peer.
void happen_both(Stage& stage, const Happening& a, const Happening& b) {
  if (a.at_peer && b.at_peer) {
    stage.spawn("world", [&] {
      happen(stage, a);
      happen(stage, b);
    });
    return;
  }
  stage.spawn("world", [&] { happen(stage, a); });
  stage.spawn("rest", [&] { happen(stage, b); });
}

// --- The kinds of pairs ---------------------------------------------------------------------------------------------

// One thread calls `entries` one after the other while something happens.
void calls_against(Execution& execution, Situation at, std::vector<const EntryPoint*> entries, const Happening& event) {
  Stage stage(execution, at);
  stage.spawn("owner", [&] {
    for (const EntryPoint* entry : entries) call(stage, *entry);
  });
  stage.spawn("world", [&] { happen(stage, event); });
  stage.join();
  stage.clear();
}

// Two things happen while the owner ends the id, or does not.
void happenings_against_end(Execution& execution, Situation at, const Happening& a, const Happening& b, bool ends) {
  Stage stage(execution, at);
  happen_both(stage, a, b);
  if (ends) stage.subject->destroy();
  stage.join();
  stage.clear();
}

// Two things happen, and whatever the handler is told, it ends its id.
void handler_ends(Execution& execution, Situation at, const Happening& a, const Happening& b) {
  Note<bool> armed = false;
  Stage stage(execution, at, [&armed](Party&, cma::Id&, const cma::Event&) { return armed ? 1 : 0; });
  armed = true;
  happen_both(stage, a, b);
  stage.join();
  stage.calm_down();  // until then the id belongs to its handler
  armed = false;
  stage.clear();
}

// Something happens, and whatever the handler is told, it calls this.
void handler_calls(Execution& execution, Situation at, const EntryPoint& entry, const Happening& a,
                   const Happening& b) {
  Note<bool> armed = false;
  Note<Stage*> running;
  Stage stage(execution, at, [&](Party& party, cma::Id& id, const cma::Event&) {
    if (armed && party.id == &id) entry.call(*running, party, id);
    return 0;
  });
  running = &stage;
  armed = true;
  happen_both(stage, a, b);
  stage.join();
  stage.calm_down();  // until then the id belongs to its handler
  armed = false;
  stage.clear();
}

// --- The lists ------------------------------------------------------------------------------------------------------

class Lists {
 public:
  void add(Situation at, std::string_view kind, std::string_view what, std::function<void(Execution&)> body) {
    Planned planned;
    planned.group = fmt::format("pair.{}", name(at));
    planned.scenario.name = fmt::format("{}.{}.{}", planned.group, kind, what);
    planned.scenario.about = "a pair, see docs/verification.md";
    planned.scenario.body = std::move(body);
    planned.plans = {{"pct:3:150", 2}, {"random", 1}};
    planned_.push_back(std::move(planned));
  }
  [[nodiscard]] std::vector<Planned> take() { return std::move(planned_); }

 private:
  std::vector<Planned> planned_;
};

void add_calls(Lists& lists, Situation at) {
  const EntryPoint& destroy = entry_points().back();
  for (const EntryPoint& entry : entry_points()) {
    for (const Happening& event : happenings()) {
      if (!event.possible(at)) continue;
      const std::string pair = fmt::format("{}+{}", entry.name, event.name);
      lists.add(at, "call", pair, [=, &entry, &event](Execution& e) { calls_against(e, at, {&entry}, event); });
      if (!entry.fits(at) || entry.entry == cma::Entry::destroy_id) continue;
      lists.add(at, "call-destroy", pair,
                [=, &entry, &event, &destroy](Execution& e) { calls_against(e, at, {&entry, &destroy}, event); });
      for (const EntryPoint& next : entry_points()) {
        if (&next == &destroy) continue;
        lists.add(at, "calls", fmt::format("{}+{}+{}", entry.name, next.name, event.name),
                  [=, &entry, &event, &next](Execution& e) { calls_against(e, at, {&entry, &next}, event); });
      }
    }
  }
}

void add_happenings(Lists& lists, Situation at) {
  for (auto a = happenings().begin(); a != happenings().end(); ++a) {
    for (auto b = std::next(a); b != happenings().end(); ++b) {
      if (!a->possible(at) || !b->possible(at)) continue;
      const Happening &one = *a, &two = *b;
      const std::string pair = fmt::format("{}+{}", one.name, two.name);
      lists.add(at, "happen", pair, [=, &one, &two](Execution& e) { happenings_against_end(e, at, one, two, false); });
      lists.add(at, "destroy", pair, [=, &one, &two](Execution& e) { happenings_against_end(e, at, one, two, true); });
      lists.add(at, "handler-ends", pair, [=, &one, &two](Execution& e) { handler_ends(e, at, one, two); });
      for (const EntryPoint& entry : entry_points()) {
        if (entry.handlers == Handlers::wait) continue;
        lists.add(at, "handler-calls", fmt::format("{}+{}", entry.name, pair),
                  [=, &one, &two, &entry](Execution& e) { handler_calls(e, at, entry, one, two); });
      }
    }
  }
}

}  // namespace

std::vector<Planned> pair_scenarios() {
  Lists lists;
  for (const Situation at : situations()) {
    add_calls(lists, at);
    add_happenings(lists, at);
  }
  return lists.take();
}

}  // namespace hawser::scenarios
