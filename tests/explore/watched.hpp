// What every handler of cma may rely on, watched from inside the handler: one event of an id at a time, none after the
// id is over, a legal order, and the stable state that goes with the event [spec 1.5, 2.1, 2.4, 3.5 I8].
// [spec 2.3.2, 3.4 I6, 7 I13]
#pragma once

#include <string_view>

#include "cma/manager.hpp"
#include "cma/state.hpp"
#include "promises.hpp"
#include "runtime/explore.hpp"

namespace hawser::scenarios {

// One per id; outlives it. Plain variables, so that ThreadSanitizer sees whether one handler happens before the next
// and the last one before the end.
class Watched {
 public:
  explicit Watched(rt::explore::Execution& execution) : execution_(execution) {}

  // Around the handler.
  template <class Handle>
  int event(const cma::Event& event, Handle&& handle) {
    execution_.check(!running_, "two handlers of one id at once");
    execution_.check(!over_, "an event of an id that is over");
    const char* const wrong = order_.next(event.type);
    execution_.check(wrong == nullptr, wrong == nullptr ? "" : wrong);
    running_ = true;
    const int result = handle();
    running_ = false;
    if (result != 0) over_ = true;
    return result;
  }
  // Also looks at the state before the event and after it: nobody leaves a stable one under the handler's feet.
  template <class Handle>
  int event(const cma::Id& id, const cma::Event& event, Handle&& handle) {
    return this->event(event, [&] {
      const cma::State state = id.state();
      check_state(event.type, state);
      const int result = handle();
      const bool left = cma::stable(state) && id.state() != state;
      execution_.check(!left, "a stable state was left while the handler ran");
      return result;
    });
  }
  // In place of Manager::destroy_id().
  void destroy(cma::Manager& manager, cma::Id* id) {
    const rt::Time before = execution_.world().now();
    manager.destroy_id(id);
    // It may wait for handlers, never for a peer or a timer [spec 4 #57, #59].
    execution_.check(execution_.eager_clock() || execution_.world().now() == before, "destroy_id() took time");
    execution_.check(!running_, "destroy_id() returned while the handler runs");
    execution_.check(!over_, "destroyed twice");
    over_ = true;
  }

 private:
  using Type = cma::EventType;

  void check_state(Type type, cma::State state) {
    using State = cma::State;
    switch (type) {
      case Type::connect_request:
      case Type::connect_response:
      case Type::established:
      case Type::rejected: return execution_.check(state == State::connect, "an event of CONNECT in another state");
      case Type::disconnected:
      case Type::timewait_exit:
        return execution_.check(state == State::disconnect, "an event of DISCONNECT in another state");
      case Type::device_removal:
        return execution_.check(state == State::device_removal, "DEVICE_REMOVAL in another state");
      default: return execution_.check(state != State::destroying, "an event of an id that was claimed");
    }
  }
  rt::explore::Execution& execution_;
  bool running_ = false, over_ = false;
  EventOrder order_;
};

}  // namespace hawser::scenarios
