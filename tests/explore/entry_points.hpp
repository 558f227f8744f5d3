// The entry points of an id and what may happen to it meanwhile: the two lists that scenarios of pairs are made of.
#pragma once

#include <span>

#include "stage.hpp"

namespace hawser::scenarios {

// What an entry point has to do with the id's handler [spec 2.2].
enum class Handlers : std::uint8_t {
  wait,          // it may take the handler_mutex: not from inside a handler
  may_call,      // also from inside a handler
  must_not_run,  // from inside a handler, or with its mutex held
};

// What the owner of an id calls.
struct EntryPoint {
  const char* name;
  cma::Entry entry;  // none: no state is changed, and the contract does not watch it
  Handlers handlers;
  void (*call)(Stage& stage, Party& party, cma::Id& id);
  // Where it does what it is for; elsewhere it must refuse and leave everything as it is.
  bool (*fits)(Situation situation);

  // From outside of handlers.
  void operator()(Stage& stage, Party& party, cma::Id& id) const;
};
// Every cma::Entry has its row, or listing the scenarios fails. The last one is destroy_id.
[[nodiscard]] std::span<const EntryPoint> entry_points();

// What the world does.
struct Happening {
  const char* name;
  bool at_peer;  // an entry point of the other id: one at a time
  void (*happen)(Stage& stage);
  bool (*possible)(Situation situation);
};
[[nodiscard]] std::span<const Happening> happenings();

}  // namespace hawser::scenarios
