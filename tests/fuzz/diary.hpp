// What programs saw, and what must be true of it whatever the program.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cma/types.hpp"
#include "program.hpp"
#include "ucm/event.hpp"

namespace hawser::fuzz {

// What happened, in figures: summed over threads and programs.
struct Tally {
  std::map<std::pair<Op, int>, std::uint64_t> calls;  // by errno
  std::map<std::string_view, std::uint64_t> reached;  // how deep programs came: each name at most once a program
  void add(const Tally& other);
};

// What one thread saw; nobody else writes it meanwhile.
struct Diary {
  struct Fetched {
    cma::EventType type{};
    int status{};
    ucm::Handle id{}, owner{}, multicast{};
    std::uint64_t uid{};
  };
  struct Given {
    ucm::Handle handle{};
    std::uint64_t uid{};
  };
  struct Ended {  // an id destroyed, a membership left
    ucm::Handle handle{};
    unsigned reported{};
  };
  std::map<std::pair<Op, int>, std::uint64_t> calls;
  std::vector<Fetched> fetched;
  std::vector<Given> given;
  std::vector<Ended> destroyed, left;
  std::map<std::string_view, std::uint64_t> reached;
  std::string wrong;  // the first answer that no call may give

  void note_wrong(std::string what) {
    if (wrong.empty()) wrong = std::move(what);
  }
  void reach(std::string_view depth) { ++reached[depth]; }
};

// How far a program is that was told this.
[[nodiscard]] std::string_view depth_of(cma::EventType type, bool datagrams);
// What the threads of a host saw together: empty, or what cannot be true.
[[nodiscard]] std::string verify(const std::vector<Diary>& diaries);
// Adds them to the tally, as one program.
void sum_up(const std::vector<Diary>& diaries, Tally& tally);

}  // namespace hawser::fuzz
