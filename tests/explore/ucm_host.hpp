// A host with ucm on it, and the event channels that its programs open.
#pragma once

#include <map>
#include <memory>
#include <optional>

#include "base/tsan_ignore.hpp"
#include "host.hpp"
#include "ucm/manager.hpp"

namespace hawser::scenarios {

class UcmHost : public Host {
 public:
  using Host::Host;
  ucm::Manager ucm{*manager, dispatcher};
};

// An event channel and those who wait for its events.
class Channel {
 public:
  Channel(rt::explore::Execution& execution, ucm::Manager& ucm)
      : file(std::make_shared<ucm::File>(std::make_unique<Bell>(*this))), execution_(execution), ucm_(ucm) {}

  // The next event; waits for it.
  ucm::EventRecord next() {
    for (;;) {
      if (const auto event = poll()) return *event;
      rt::Lock lock(mutex_);
      while (!pending_) rung_.wait(mutex_);
    }
  }
  std::optional<ucm::EventRecord> poll() {
    const auto event = ucm_.get_event(file);
    const TsanIgnore ignore;
    if (event) ++fetched_[event->owner];
    if (event && event->multicast != 0) ++fetched_[event->multicast];
    return event;
  }
  ucm::Handle create(std::uint64_t uid) {
    const auto id = ucm_.create_id(file, uid, cma::PortSpace::tcp, cma::QpType::rc);
    execution_.check(id.has_value(), "create_id");
    return *id;
  }
  // Events of this id, or membership, that somebody fetched here: what destroy and migrate have to report.
  [[nodiscard]] unsigned fetched(ucm::Handle owner) const {
    const TsanIgnore ignore;
    const auto found = fetched_.find(owner);
    return found == fetched_.end() ? 0 : found->second;
  }

  const ucm::FilePtr file;

 private:
  struct Bell final : ucm::Notifier {
    explicit Bell(Channel& rung) : channel(rung) {}
    void set_pending(bool pending) override {
      rt::Lock lock(channel.mutex_);
      channel.execution_.check(pending != channel.pending_, "the notifier is told what it knows");
      channel.pending_ = pending;
      channel.rung_.notify_all();
    }
    Channel& channel;
  };

  rt::explore::Execution& execution_;
  ucm::Manager& ucm_;
  rt::Mutex mutex_{rt::LockRank::engine};
  rt::CondVar rung_;
  bool pending_ HW_GUARDED_BY(mutex_) = false;
  std::map<ucm::Handle, unsigned> fetched_;  // one thread runs all fibers
};

inline void check_nothing_left(rt::explore::Execution& execution, UcmHost& host) {
  execution.check(host.manager->live_ids() == 0, "an id is left");
  execution.check(host.ports.size() == 0, "a port was not given back");
}

}  // namespace hawser::scenarios
