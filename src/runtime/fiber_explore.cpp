#include "runtime/fiber_explore.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "base/assert.hpp"
#include "runtime/sanitizers_explore.hpp"

#if defined(HW_ASAN)
// A fake stack for each fiber costs more than all the rest, in system calls.
extern "C" const char* __asan_default_options();
const char* __asan_default_options() { return "detect_stack_use_after_return=0"; }
#endif

namespace hawser::rt::explore {
namespace {

namespace ctx = boost::context::detail;

constexpr std::size_t stack_bytes = std::size_t{512} * 1024;  // committed as it is used

std::vector<FiberStack>& spare_stacks() {
  static thread_local std::vector<FiberStack> stacks;
  return stacks;
}

FiberStack take_stack() {
  auto& spare = spare_stacks();
  if (!spare.empty()) {
    const FiberStack stack = spare.back();
    spare.pop_back();
    sanitizers::stack_reused(stack.bottom, stack.size);
    return stack;
  }
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* memory = mmap(nullptr, stack_bytes + page, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  HW_ASSERT(memory != MAP_FAILED, "fiber-no-memory-for-stack");
  const int guarded = mprotect(memory, page, PROT_NONE);
  HW_ASSERT(guarded == 0, "fiber-no-guard-page");
  return {static_cast<std::byte*>(memory) + page, stack_bytes};
}

}  // namespace

Fiber::Fiber(std::function<void()> body)
    : body_(std::move(body)), stack_(take_stack()), tsan_fiber_(sanitizers::tsan_create()) {
  fiber_context_ = ctx::make_fcontext(stack_.bottom + stack_.size, stack_.size, &Fiber::entry);
}

Fiber::~Fiber() {
  HW_ASSERT(ended_, "fiber-destroyed-before-its-end");
  sanitizers::tsan_destroy(tsan_fiber_);
  spare_stacks().push_back(stack_);
}

void Fiber::abandon(std::unique_ptr<Fiber> fiber) {
  static thread_local std::vector<std::unique_ptr<Fiber>>* graveyard = new std::vector<std::unique_ptr<Fiber>>;
  sanitizers::stack_kept(fiber->stack_.bottom, fiber->stack_.size);
  graveyard->push_back(std::move(fiber));
}

void Fiber::resume() {
  tsan_hub_ = sanitizers::tsan_current();
  sanitizers::start_switch(&hub_fake_stack_, stack_.bottom, stack_.size);
  sanitizers::tsan_switch(tsan_fiber_);
  const ctx::transfer_t back = ctx::jump_fcontext(fiber_context_, this);
  sanitizers::finish_switch(hub_fake_stack_, nullptr, nullptr);
  fiber_context_ = back.fctx;
}

void Fiber::enter_hub(bool for_ever) {
  sanitizers::start_switch(for_ever ? nullptr : &fake_stack_, hub_bottom_, hub_size_);
  void* const hub = tsan_hub_;
  sanitizers::tsan_release(this);  // for whom the run is over: nobody acquires it before
  sanitizers::tsan_switch(hub);
  const ctx::transfer_t back = ctx::jump_fcontext(hub_context_, nullptr);
  sanitizers::finish_switch(fake_stack_, &hub_bottom_, &hub_size_);
  hub_context_ = back.fctx;
}

void Fiber::suspend() { enter_hub(false); }

void Fiber::entry(ctx::transfer_t transfer) {
  auto* self = static_cast<Fiber*>(transfer.data);
  sanitizers::finish_switch(nullptr, &self->hub_bottom_, &self->hub_size_);
  self->hub_context_ = transfer.fctx;
  self->body_();
  self->body_ = nullptr;  // what it captured ends here, on the fiber
  self->ended_ = true;
  self->enter_hub(true);
  HW_BUG("fiber-resumed-after-its-end");
}

}  // namespace hawser::rt::explore
