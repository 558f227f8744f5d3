// What every handler of cma may rely on, watched from inside the handler: one event of an id at a time, none after the
// id is over, and a legal order [spec 1.5, 2.1, 3.5 I8].
#pragma once

#include <string_view>

#include "cma/manager.hpp"
#include "runtime/explore.hpp"

namespace hawser::scenarios {

// One per id; outlives it. Plain variables: one thread runs all fibers.
class Watched {
 public:
  explicit Watched(rt::explore::Execution& execution) : execution_(execution) {}

  // Around the handler.
  template <class Handle>
  int event(const cma::Event& event, Handle&& handle) {
    execution_.check(!running_, "two handlers of one id at once");
    execution_.check(!over_, "an event of an id that is over");
    check_order(event.type);
    running_ = true;
    const int result = handle();
    running_ = false;
    if (result != 0) over_ = true;
    return result;
  }
  // In place of Manager::destroy_id().
  void destroy(cma::Manager& manager, cma::Id* id) {
    manager.destroy_id(id);
    execution_.check(!running_, "destroy_id() returned while the handler runs");
    execution_.check(!over_, "destroyed twice");
    over_ = true;
  }

 private:
  using Type = cma::EventType;

  void check_order(Type type) {
    execution_.check(!removed_, "an event after DEVICE_REMOVAL");
    switch (type) {
      case Type::device_removal: removed_ = true; break;
      case Type::established:
        execution_.check(!established_ && !ended_, "ESTABLISHED twice or after the end");
        established_ = true;
        break;
      case Type::connect_response:
        execution_.check(!responded_ && !ended_, "CONNECT_RESPONSE twice or after the end");
        responded_ = true;
        break;
      case Type::rejected:
      case Type::disconnected:
        execution_.check(!ended_, "a second end of the connection");
        ended_ = true;
        break;
      case Type::timewait_exit:
        execution_.check(ended_ && !timewait_over_, "TIMEWAIT_EXIT twice or before the end");
        timewait_over_ = true;
        break;
      default: break;
    }
  }

  rt::explore::Execution& execution_;
  bool running_ = false, over_ = false;
  bool removed_ = false, responded_ = false, established_ = false, ended_ = false, timewait_over_ = false;
};

}  // namespace hawser::scenarios
