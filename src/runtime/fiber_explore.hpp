// A fiber: a stack and a place to go on, known to the sanitizers. Fibers are resumed by one hub, on one OS thread.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include <boost/context/detail/fcontext.hpp>

namespace hawser::rt::explore {

// Memory for one fiber, with a guard page below it. Kept for the next fiber, since mmap is slow.
struct FiberStack {
  std::byte* bottom{};
  std::size_t size{};
};

// Not thread-safe: the hub and its fibers take turns.
class Fiber {
 public:
  explicit Fiber(std::function<void()> body);
  // A fiber that has not ended is never unwound: its objects may be in any state. Use abandon() for those.
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Hub: runs the fiber until it suspends or ends.
  void resume();
  // The fiber itself: back to the hub.
  void suspend();
  [[nodiscard]] bool ended() const { return ended_; }

  // Keeps an unfinished fiber, its stack and all that is reachable from there, for ever: known to the leak checker.
  static void abandon(std::unique_ptr<Fiber> fiber);

 private:
  static void entry(boost::context::detail::transfer_t transfer);
  void enter_hub(bool for_ever);

  std::function<void()> body_;
  FiberStack stack_;
  boost::context::detail::fcontext_t fiber_context_{};  // where to go on, while suspended
  boost::context::detail::fcontext_t hub_context_{};    // where the hub goes on, while running
  bool ended_ = false;
  // For the sanitizers; unused without them.
  void* fake_stack_ = nullptr;
  void* hub_fake_stack_ = nullptr;
  const void* hub_bottom_ = nullptr;
  std::size_t hub_size_ = 0;
  void* tsan_fiber_ = nullptr;
  void* tsan_hub_ = nullptr;
};

}  // namespace hawser::rt::explore
