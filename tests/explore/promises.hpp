// What whoever uses an id may rely on, whether its handler tells (watched.hpp) or a channel of ucm (ucm_stage.hpp): a
// legal order of events, and an answer to everything that was started with success [spec 1.5, 3.5 I8].
#pragma once

#include <set>

#include "base/tsan_ignore.hpp"
#include "cma/contract.hpp"
#include "cma/types.hpp"

namespace hawser::scenarios {

// The events of one id in the order in which they are told.
class EventOrder {
 public:
  // What is wrong with this one being the next; nullptr: nothing.
  [[nodiscard]] const char* next(cma::EventType type);

 private:
  bool removed_ = false, responded_ = false, established_ = false, ended_ = false, timewait_over_ = false;
};

// What was started and what was told, for one id.
class Promises {
 public:
  void started(cma::Entry entry, bool with_success);
  void told(cma::EventType type);
  // The answer that is still owed when nothing is on its way any more; nullptr: none. `datagrams`: of a UD id, which
  // has no connection that could end.
  [[nodiscard]] const char* missing(bool datagrams) const;
  [[nodiscard]] bool gave_up() const;  // need not hear of an end any more
  [[nodiscard]] bool ended() const;    // has heard of one
  [[nodiscard]] bool vouched() const;  // said that there is a connection, which the peer may know nothing of
  [[nodiscard]] bool removed() const;  // told that the device has gone, which ends everything

 private:
  [[nodiscard]] std::size_t count(std::initializer_list<cma::EventType> types) const;

  std::multiset<cma::EventType> told_;
  std::multiset<cma::Entry> started_;
  bool gave_up_ = false, vouched_ = false;
};

}  // namespace hawser::scenarios
