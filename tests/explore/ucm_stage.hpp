// A program's id on ucm, brought to a given point of its life against a far end that answers by itself: where a
// scenario of pairs of commands begins. As stage.hpp, one room higher.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "notes.hpp"
#include "promises.hpp"
#include "situation.hpp"
#include "ucm_host.hpp"

namespace hawser::scenarios {

// The other end. It connects or listens and takes each step as soon as it can, in its handlers, unless it was told to
// keep silent.
class FarEnd {
 public:
  FarEnd(rt::explore::Execution& execution, Host& host, bool datagrams, bool answers);
  void listen(std::uint16_t port);
  void connect(const SocketAddress& to);
  void end();  // of everything

 private:
  [[nodiscard]] cma::Id* make();
  int handle(cma::Id& id, const cma::Event& event);
  void answer(cma::Id& id, const cma::Event& event);
  void keep(cma::Id* id);

  rt::explore::Execution& execution_;
  Host& host_;
  const bool datagrams_, answers_;
  rt::Mutex mutex_{rt::LockRank::ucm_table};
  std::vector<cma::Id*> ids_ HW_GUARDED_BY(mutex_);
};

class UcmStage {
 public:
  UcmStage(rt::explore::Execution& execution, Situation situation);
  // Of those of situations() that ucm makes a difference for.
  [[nodiscard]] static std::vector<Situation> situations();
  void spawn(std::string name, std::function<void()> body);
  void join();
  // Fetches what comes, ends everything, lets all timers pass, and checks that nothing is left and that the program was
  // told what it must be told.
  void clear();

  // Runs a command on the channel that the id is on.
  template <class Call>
  auto command(Call&& call) {
    auto result = call(*channel->file);
    if (!result && errno_of(result) == EINVAL) result = call(*other->file);
    return result;
  }
  // What the program notes down about commands that tell how many events it has to acknowledge.
  void fetch();
  void destroyed(unsigned reported) { reported_ = reported; }
  void left(ucm::Handle membership, unsigned reported);
  [[nodiscard]] std::optional<ucm::Handle> membership() const;  // one that was joined
  void joined(ucm::Handle membership);

  rt::explore::Execution& execution;

 private:
  fabric::SimNetwork network_;

 public:
  UcmHost near;
  Host far;
  std::unique_ptr<Channel> channel, other;
  FarEnd far_end;
  Note<ucm::Handle> subject;
  Promises promises;
  Note<unsigned> fetchers;  // that are at work: with two of them nobody knows in which order they fetched
  const Situation situation;

 private:
  void lead_client();
  void lead_connection();
  void share(ucm::Handle id);
  void lead_listener();
  void wait_for(cma::EventType type);
  void settle(rt::Duration time);
  void note(const ucm::EventRecord& event);
  void must(bool done, const char* what) { execution.check(done, what); }
  [[nodiscard]] bool alive();
  void check_told();
  void check_nothing_kept();

  std::weak_ptr<verbs::Device> device_;
  EventOrder order_;
  std::vector<rt::ThreadId> fibers_;
  Note<std::optional<unsigned>> reported_;  // by destroy_id()
  struct Left {
    ucm::Handle handle{};
    unsigned reported{};
  };
  std::vector<Left> left_;
  std::vector<ucm::Handle> joined_;
};

}  // namespace hawser::scenarios
