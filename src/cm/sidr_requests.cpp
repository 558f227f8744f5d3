#include "cm/sidr_requests.hpp"

#include "cm/timing.hpp"

namespace hawser::cm {
namespace {

// A peer with the kernel's parameters repeats for 15 times 4096 ms [spec 1.12].
constexpr rt::Duration answer_kept = 16 * cm_time(20);
constexpr std::size_t answers_max = 4096;

}  // namespace

SidrRequests::Admission SidrRequests::admit(const Key& key, rt::Time now) {
  rt::Lock lock(mutex_);
  drop_old(now);
  const auto [at, fresh] = requests_.try_emplace(key);
  if (fresh || !at->second) return {fresh, std::nullopt};
  return {false, at->second->reply};
}

void SidrRequests::answer(const Key& key, const verbs::Mad& reply, rt::Time now) {
  rt::Lock lock(mutex_);
  requests_.insert_or_assign(key, Answered{reply, now + answer_kept});
  answered_.push_back(key);
  drop_old(now);
}

void SidrRequests::forget(const Key& key) {
  rt::Lock lock(mutex_);
  const auto at = requests_.find(key);
  if (at != requests_.end() && !at->second) requests_.erase(at);
}

std::size_t SidrRequests::unanswered() const {
  rt::Lock lock(mutex_);
  return requests_.size() - answered_.size();
}

void SidrRequests::drop_old(rt::Time now) {
  while (!answered_.empty()) {
    const auto oldest = requests_.find(answered_.front());
    if (answered_.size() <= answers_max && oldest->second->until > now) return;
    requests_.erase(oldest);
    answered_.pop_front();
  }
}

}  // namespace hawser::cm
