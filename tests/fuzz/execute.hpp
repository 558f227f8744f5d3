// Runs the threads of a program on ucm: compiled for the explored runtime and for the machine's. What is checked here
// holds for every program.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "diary.hpp"
#include "program.hpp"
#include "runtime/sync.hpp"
#include "runtime/world.hpp"
#include "ucm/manager.hpp"

namespace hawser::fuzz {

// What a program's names mean on one host.
struct Machine {
  ucm::Manager& ucm;
  rt::World& world;
  std::function<SocketAddress(Place place, std::uint16_t port)> address;
  std::function<void(Happening happening)> happen;
  std::function<void(rt::Duration duration)> pause;
  rt::Duration patience_max = rt::Duration::max();  // of a call that waits for an event
};

// One event channel place: closing it opens the next descriptor there.
class ChannelPlace {
 public:
  explicit ChannelPlace(ucm::Manager& ucm);
  ~ChannelPlace();
  [[nodiscard]] ucm::FilePtr file() const;
  // The next event of whatever is open here; waits for it until the deadline.
  std::optional<ucm::EventRecord> fetch(rt::Time deadline);
  // False: the last one stays open until the end.
  bool close();
  void close_all();

 private:
  static constexpr std::size_t lives = 4;
  struct Open;
  [[nodiscard]] Open& current() const;

  ucm::Manager& ucm_;
  std::array<std::unique_ptr<Open>, lives> opens_;
  std::atomic<std::size_t> now_{0};  // like every program's variable no matter of the explorer's
};

// A host's part in one program.
class Executor {
 public:
  explicit Executor(Machine machine);

  void run(const Thread& thread, Diary& diary);
  // When all threads have ended: closes every channel.
  void close_all();

 private:
  using Outcome = int;  // errno
  Outcome execute(const Call& call, Diary& diary);
  Outcome create_id(const Call& call, Diary& diary);
  Outcome destroy_id(const Call& call, Diary& diary);
  Outcome resolve_addr(const Call& call);
  Outcome connect(const Call& call);
  Outcome accept(const Call& call, Diary& diary);
  Outcome get_event(const Call& call, Diary& diary);
  Outcome set_option(const Call& call);
  Outcome join_multicast(const Call& call, Diary& diary);
  Outcome leave_multicast(const Call& call, Diary& diary);
  Outcome migrate_id(const Call& call, Diary& diary);
  void note_event(const ucm::EventRecord& event, Diary& diary);

  [[nodiscard]] ucm::FilePtr file(const Call& call, std::size_t argument = 0);
  [[nodiscard]] ucm::Handle id(const Call& call, std::size_t argument = 1) const;

  Machine machine_;
  std::vector<std::unique_ptr<ChannelPlace>> channels_;
  std::array<std::atomic<ucm::Handle>, ids_per_host> ids_{};
  std::array<std::atomic<ucm::Handle>, members_per_host> members_{};
  std::atomic<std::uint64_t> next_uid_{1};
};

// Every name that Tally::reached can have.
[[nodiscard]] std::span<const std::string_view> depths();

}  // namespace hawser::fuzz
