// Two hosts, and ids brought to a given point of their lives: where a scenario of pairs begins. Setting the stage and
// clearing it happen in one fixed order; what lies between is explored.
#pragma once

#include <deque>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/tsan_ignore.hpp"
#include "host.hpp"
#include "mailbox.hpp"
#include "watched.hpp"

namespace hawser::scenarios {

class Stage;

// An id, its handler, and what its owner did with it.
class Party {
 public:
  using Policy = std::function<int(Party& party, cma::Id& id, const cma::Event& event)>;

  // `policy` decides what the handler does; `children` what those of the ids do that requests bring.
  Party(Stage& stage, Host& on, const Policy& policy, const Policy& children);
  void create();
  void destroy();
  [[nodiscard]] bool alive() const { return id != nullptr; }
  void wait_for(cma::EventType type);

  // Events that must come, by what was started with success.
  void started(cma::Entry entry, bool with_success);
  [[nodiscard]] const char* missing() const;  // nullptr: nothing

  Host& host;
  cma::Id* id = nullptr;
  bool passive = false;      // born by a request
  Mailbox<Party*> children;  // of a listener: one for each request

 private:
  [[nodiscard]] cma::Handler handler();
  int on_request(cma::Id& child, const cma::Event& event);
  int on_event(cma::Id& self, const cma::Event& event);

  Stage& stage_;
  const Policy& policy_;
  const Policy& child_policy_;
  Watched watched_;
  Mailbox<cma::EventType> events_;
  std::multiset<cma::EventType> seen_;
  std::multiset<cma::Entry> started_;
  bool gave_up_ = false;  // it need not hear of an end any more
};

// Where an id is when the exploration begins.
enum class Situation : std::uint8_t {
  fresh,
  bound,
  addr_query,  // and nobody answers
  addr_resolved,
  route_resolved,
  request_sent,
  response_here,  // on the connecting side
  established,
  disconnected,
  removed,
  listening,         // on an address
  listening_wide,    // on the wildcard
  listening_shared,  // beside another id on another address of the device, on the same port
  request_here,      // a listener's child from here on
  response_sent,
  child_established,
  child_disconnected,
};
[[nodiscard]] const char* name(Situation situation);

class Stage {
 public:
  // `policy` decides what the handler of the id in question does.
  Stage(rt::explore::Execution& execution, Situation situation, Party::Policy policy = {});
  void spawn(std::string name, std::function<void()> body);
  void join();
  // Lets everything happen that is on its way.
  void calm_down();
  // Ends every id, lets all timers pass, and checks that nothing is left and that each end was told.
  void clear();

  Party& make(Host& host, const Party::Policy& policy, const Party::Policy& children);
  // A client on the far host, one step from connecting.
  [[nodiscard]] Party& ready_client();

  rt::explore::Execution& execution;

 private:
  fabric::SimNetwork network_;

 public:
  Host near, far;    // the id in question is near
  Party* subject{};  // the id in question
  Party* peer{};     // the id at the other end, if there is one
  Party* caller{};   // of a listener: a client that is about to connect
  verbs::InterfaceSnapshot interface;

 private:
  void lead_client(Situation situation);
  void lead_listener(Situation situation);
  void lead_child(Situation situation);
  Party& listen_on(Host& host, const Party::Policy& children);
  void connect(Party& client, Party& listener);
  void accept(Party& child);
  void end_others();
  void check_clear();

  const Party::Policy policy_, quiet_;
  std::deque<Party> parties_;
  std::vector<rt::ThreadId> fibers_;
};

}  // namespace hawser::scenarios
