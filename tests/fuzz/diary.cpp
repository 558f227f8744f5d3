#include "diary.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace hawser::fuzz {

using cma::EventType;
using ucm::Handle;

std::string_view depth_of(EventType type, bool datagrams) {
  switch (type) {
    case EventType::addr_resolved: return "address resolved";
    case EventType::addr_error: return "address error";
    case EventType::route_resolved: return "route resolved";
    case EventType::route_error: return "route error";
    case EventType::connect_request: return "request fetched";
    case EventType::connect_response: return "response fetched";
    case EventType::connect_error: return "connect error";
    case EventType::unreachable: return "unreachable";
    case EventType::rejected: return "rejected";
    case EventType::established: return datagrams ? "service resolved (SIDR)" : "established";
    case EventType::disconnected: return "disconnected";
    case EventType::device_removal: return "device removal";
    case EventType::multicast_join: return "multicast joined";
    case EventType::multicast_error: return "multicast error";
    case EventType::addr_change: return "address change";
    case EventType::timewait_exit: return "timewait exit";
    case EventType::addrinfo_resolved: return "services found";
    case EventType::addrinfo_error: return "services not found";
    case EventType::user:
    case EventType::internal: return "own event";
  }
  return "unknown event";
}

namespace {

// All that a host's threads saw, put together.
class Verdict {
 public:
  explicit Verdict(const std::vector<Diary>& diaries) : diaries_(diaries) {
    for (const Diary& diary : diaries) {
      if (!diary.wrong.empty()) wrong(diary.wrong);
      for (const Diary::Given& given : diary.given) uids_[given.handle].push_back(given.uid);
    }
  }
  std::string reach() {
    for (const Diary& diary : diaries_) {
      for (const Diary::Fetched& event : diary.fetched) look_at(event);
    }
    for (const Diary& diary : diaries_) {
      for (const Diary::Ended& end : diary.destroyed) look_at(end, fetched_, "id");
      for (const Diary::Ended& end : diary.left) look_at(end, fetched_of_multicast_, "membership");
    }
    for (const auto& [id, counts] : events_) look_at(id, counts);
    return verdict_;
  }

 private:
  using Counts = std::map<EventType, unsigned>;

  void wrong(std::string what) {
    if (verdict_.empty()) verdict_ = std::move(what);
  }
  void look_at(const Diary::Fetched& event) {
    ++fetched_[event.owner];
    if (event.multicast != 0) ++fetched_of_multicast_[event.multicast];
    if (event.type == EventType::connect_request || event.type == EventType::user || event.type == EventType::internal)
      return;
    ++events_[event.id][event.type];
    // The program knows what it is told of by the number that it gave.
    const auto known = uids_.find(event.id);
    if (known == uids_.end() || std::ranges::find(known->second, event.uid) == known->second.end()) {
      wrong(fmt::format("{} with a uid that nobody gave", cma::name(event.type)));
    }
  }
  // Exactly what the program has to acknowledge, or rdma_destroy_id() waits for ever [spec 2.8.7, 4 #42].
  void look_at(const Diary::Ended& end, const std::map<Handle, unsigned>& fetched, std::string_view what) {
    const auto found = fetched.find(end.handle);
    const unsigned count = found == fetched.end() ? 0 : found->second;
    if (count != end.reported)
      wrong(fmt::format("{} {}: {} events fetched, {} reported", what, end.handle, count, end.reported));
  }
  void look_at(Handle id, const Counts& counts) {
    const auto count = [&counts](EventType type) {
      const auto found = counts.find(type);
      return found == counts.end() ? 0U : found->second;
    };
    for (const EventType once : {EventType::connect_response, EventType::established, EventType::device_removal,
                                 EventType::timewait_exit, EventType::multicast_join}) {
      if (count(once) > 1) wrong(fmt::format("id {}: {} {} times", id, cma::name(once), count(once)));
    }
    if (count(EventType::rejected) + count(EventType::disconnected) > 1) wrong(fmt::format("id {}: two ends", id));
  }

  const std::vector<Diary>& diaries_;
  std::map<Handle, std::vector<std::uint64_t>> uids_;
  std::map<Handle, unsigned> fetched_, fetched_of_multicast_;
  std::map<Handle, Counts> events_;
  std::string verdict_;
};

}  // namespace

std::string verify(const std::vector<Diary>& diaries) { return Verdict(diaries).reach(); }

void Tally::add(const Tally& other) {
  for (const auto& [call, count] : other.calls) calls[call] += count;
  for (const auto& [name, count] : other.reached) reached[name] += count;
}

void sum_up(const std::vector<Diary>& diaries, Tally& tally) {
  std::map<std::string_view, std::uint64_t> reached;
  for (const Diary& diary : diaries) {
    for (const auto& [call, count] : diary.calls) tally.calls[call] += count;
    for (const auto& [name, count] : diary.reached) reached[name] = 1;
  }
  for (const auto& [name, once] : reached) tally.reached[name] += once;
}

}  // namespace hawser::fuzz
