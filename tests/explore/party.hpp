// An id of a stage, its handler, and what its owner did with it.
#pragma once

#include <deque>
#include <functional>

#include "host.hpp"
#include "mailbox.hpp"
#include "notes.hpp"
#include "promises.hpp"
#include "watched.hpp"

namespace hawser::scenarios {

class Stage;

// A membership as its program sees it.
struct Member {
  Note<cma::MembershipHandle> handle;  // 0: the join failed
  Note<bool> told, left;
};

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
  void started(cma::Entry entry, bool with_success) { promises_.started(entry, with_success); }
  [[nodiscard]] const char* missing() const;  // nullptr: nothing
  // It has told the other end that it is over, which is told once.
  [[nodiscard]] bool is_over() const { return !alive() || promises_.gave_up() || promises_.ended(); }
  [[nodiscard]] bool vouched() const { return promises_.vouched(); }

  void join(const SocketAddress& group);
  void leave();  // the oldest membership

  Host& host;
  Note<cma::Id*> id;
  Note<bool> passive;        // born by a request
  Mailbox<Party*> children;  // of a listener: one for each request

 private:
  [[nodiscard]] cma::Handler handler();
  int on_request(cma::Id& child, const cma::Event& event);
  int on_event(cma::Id& self, const cma::Event& event);
  void on_membership(Member& member);
  [[nodiscard]] Member* member(std::size_t number);

  Stage& stage_;
  const Policy& policy_;
  const Policy& child_policy_;
  Watched watched_;
  Mailbox<cma::EventType> events_;
  Promises promises_;
  std::deque<Member> members_;
};

}  // namespace hawser::scenarios
