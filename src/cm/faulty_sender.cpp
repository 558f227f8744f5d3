#include "cm/faulty_sender.hpp"

#include <algorithm>
#include <optional>

namespace hawser::cm {
namespace {

Attribute attribute_of(const Message& message) {
  return std::visit([]<class M>(const M&) { return M::attribute; }, message.body);
}

// Our communication id in a message that we send, and the peer's; 0 where it has none.
struct CommIds {
  CommId ours, theirs;
};
CommIds comm_ids_of(const Message& message) {
  return std::visit(
      []<class M>(const M& body) -> CommIds {
        if constexpr (requires { body.remote_comm_id; }) return {body.local_comm_id, body.remote_comm_id};
        if constexpr (requires { body.local_comm_id; }) return {body.local_comm_id, {}};
        if constexpr (M::attribute == Attribute::sidr_req) return {body.request_id, {}};
        if constexpr (M::attribute == Attribute::sidr_rep) return {{}, body.request_id};
        return {};
      },
      message.body);
}

// A double in [0, 1) from the upper 53 bits.
double unit_interval(std::uint64_t random) { return static_cast<double>(random >> 11) * 0x1p-53; }

}  // namespace

FaultySender::FaultySender(rt::Dispatcher& dispatcher, MadSender& inner, const Ledger& ledger)
    : dispatcher_(dispatcher), inner_(inner), ledger_(ledger), timer_([this] { on_timer(); }) {}

FaultySender::~FaultySender() { static_cast<void>(dispatcher_.cancel_sync(timer_)); }

void FaultySender::send(const verbs::MadAddress& to, const verbs::Mad& mad) { send_by(&MadSender::send, to, mad); }

void FaultySender::send_reporting(const verbs::MadAddress& to, const verbs::Mad& mad) {
  send_by(&MadSender::send_reporting, to, mad);
}

void FaultySender::send_by(Way way, const verbs::MadAddress& to, const verbs::Mad& mad) {
  if (!any_.load()) return (inner_.*way)(to, mad);
  const auto message = decode(mad);
  const Verdict verdict = message ? judge(*message) : Verdict();
  if (verdict.hit && notify_) notify_();
  if (verdict.drop) return;
  if (verdict.delay > rt::Duration::zero()) {
    return hold_back({way, to, mad, verdict.copies}, verdict.delay);
  }
  for (unsigned copy = 0; copy < verdict.copies; ++copy) (inner_.*way)(to, mad);
}

FaultySender::Verdict FaultySender::judge(const Message& message) {
  Verdict verdict;
  rt::Lock lock(mutex_);
  for (auto& [number, entry] : faults_) {
    const MadFault& fault = entry.fault;
    if (!concerns(fault, message)) continue;
    const std::uint64_t n = ++entry.seen;
    // A number for each message, used or not, so that the fate of the n-th depends on n and the seed only.
    const bool by_chance = !fault.chance || unit_interval(entry.chance->random()) < *fault.chance;
    if (n < fault.first || n > fault.last || !by_chance) continue;
    ++entry.effects;
    verdict.hit = true;
    switch (fault.action) {
      case MadFault::Action::drop:
        verdict.drop = true;
        counters_.dropped.count();
        break;
      case MadFault::Action::delay:
        verdict.delay += fault.by;
        counters_.delayed.count();
        break;
      case MadFault::Action::duplicate:
        ++verdict.copies;
        counters_.duplicated.count();
        break;
    }
  }
  return verdict;
}

// An answer that no id stands behind (any more) is nobody's: faults of a port or an id let it pass.
bool FaultySender::concerns(const MadFault& fault, const Message& message) const {
  if (attribute_of(message) != fault.kind) return false;
  if (!fault.port && !fault.id) return true;
  const CommIds ids = comm_ids_of(message);
  const auto record = ledger_.find([&](const LedgerRecord& r) {
    if (ids.ours.value != 0) return r.local_comm_id == ids.ours.value;
    return ids.theirs.value != 0 && r.remote_comm_id == ids.theirs.value;
  });
  if (!record) return false;
  if (fault.id && record->number != *fault.id) return false;
  return !fault.port || record->source_port == *fault.port || record->destination_port == *fault.port;
}

void FaultySender::set(std::uint32_t number, const MadFault& fault) {
  rt::Lock lock(mutex_);
  Entry entry;
  entry.fault = fault;
  entry.chance = rt::World::simulated(fault.seed);
  faults_.insert_or_assign(number, std::move(entry));
  any_.store(true);
}

bool FaultySender::clear(std::uint32_t number) {
  rt::Lock lock(mutex_);
  const bool there = faults_.erase(number) != 0;
  any_.store(!faults_.empty());
  return there;
}

std::map<std::uint32_t, std::uint64_t> FaultySender::effects() const {
  std::map<std::uint32_t, std::uint64_t> effects;
  rt::Lock lock(mutex_);
  for (const auto& [number, entry] : faults_) effects.emplace(number, entry.effects);
  return effects;
}

FaultCounters FaultySender::counters() const {
  return {counters_.dropped.read(), counters_.delayed.read(), counters_.duplicated.read()};
}

void FaultySender::hold_back(Delayed delayed, rt::Duration delay) {
  rt::Lock lock(mutex_);
  delayed_.emplace(dispatcher_.world().now() + delay, std::move(delayed));
  dispatcher_.arm(timer_, delayed_.begin()->first);
}

void FaultySender::on_timer() {
  std::vector<Delayed> due;
  {
    rt::Lock lock(mutex_);
    const rt::Time now = dispatcher_.world().now();
    while (!delayed_.empty() && delayed_.begin()->first <= now) {
      due.push_back(std::move(delayed_.begin()->second));
      delayed_.erase(delayed_.begin());
    }
    if (!delayed_.empty()) dispatcher_.arm(timer_, delayed_.begin()->first);
  }
  for (const Delayed& mad : due) {
    for (unsigned copy = 0; copy < mad.copies; ++copy) (inner_.*mad.way)(mad.to, mad.mad);
  }
}

}  // namespace hawser::cm
