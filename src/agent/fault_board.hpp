// Which faults have been asked for on this host (`hawser fault`), for whom, and what they have done. Single-threaded.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/client.hpp"

namespace hawser::agent {

class FaultBoard {
 public:
  struct Fault {
    FaultTarget target;
    std::string text;
    std::map<std::uint32_t, std::uint64_t> effects;  // by slot, of the processes that have it
    std::uint64_t past_effects{};                    // of processes that have ended
    [[nodiscard]] bool concerns(std::int32_t pid, const std::string& program) const {
      return (target.pid == 0 || target.pid == pid) && (target.program.empty() || target.program == program);
    }
    [[nodiscard]] std::uint64_t all_effects() const;
  };

  std::uint32_t add(FaultTarget target, std::string text);
  void give(std::uint32_t number, std::uint32_t slot);  // that process has been told
  // What a process says. An agent that succeeds another learns of its faults in this way.
  void on_state(std::uint32_t number, std::uint32_t slot, std::uint64_t effects, FaultTarget target, std::string text);
  void on_end(std::uint32_t slot);
  std::size_t clear(std::uint32_t number);  // 0: all; how many there were

  [[nodiscard]] const std::map<std::uint32_t, Fault>& faults() const { return faults_; }

 private:
  std::map<std::uint32_t, Fault> faults_;
  std::set<std::uint32_t> cleared_;  // a report of what one has done may still be on its way
  std::uint32_t last_number_ = 0;
};

}  // namespace hawser::agent
