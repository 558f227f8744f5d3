// For tests: reads table_walk.txt, which says its format. Anything that does not parse is a failure with its line.
#pragma once

#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace hawser::cma::walk {

struct Outcome {
  std::string result;               // of a call: "ok" or the errno's name
  std::string state;                // "=" as before, "gone" destroyed
  std::vector<std::string> events;  // of an event
  bool operator==(const Outcome&) const = default;
  [[nodiscard]] std::string text() const {
    std::string all = result.empty() ? state : result + ' ' + state;
    for (const std::string& event : events) all += ' ' + event;
    return all;
  }
};

struct Expected {
  Outcome specified;
  std::optional<Outcome> hawser;  // where it differs on purpose
  std::string difference;         // how docs/differences.md says it
  std::optional<std::string> open;
  bool pending = false;    // the situation's own
  bool otherwise = false;  // selected by *
};

struct Row {
  bool is_call{};
  std::string name;
  std::map<std::string, Expected> cells;  // by situation
};

struct Table {
  std::vector<std::string> situations;
  std::map<std::string, Outcome> pending;
  std::vector<Row> rows;
};

inline std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

inline std::vector<std::string> split(const std::string& text, const std::string& by) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0;;) {
    const auto end = text.find(by, begin);
    parts.push_back(trimmed(text.substr(begin, end == std::string::npos ? end : end - begin)));
    if (end == std::string::npos) return parts;
    begin = end + by.size();
  }
}

// "UD" selects the situations of a datagram id, whose names say so.
inline bool is_datagram(const std::string& situation) { return situation.find("/ud") != std::string::npos; }
inline std::string state_of(const std::string& situation) { return situation.substr(0, situation.find('/')); }

inline Outcome parse_outcome(const std::string& text, bool is_call) {
  std::istringstream words(text);
  Outcome outcome;
  std::string events, rest;
  if (is_call) words >> outcome.result;
  words >> outcome.state;
  if (!is_call) words >> events;
  if (!words || words >> rest) throw std::runtime_error("not an outcome: '" + text + "'");
  if (!events.empty() && events != "-") outcome.events = split(events, ",");
  return outcome;
}

inline Expected parse_expected(const std::string& text, bool is_call) {
  Expected expected;
  if (text.starts_with("open:")) {
    expected.open = trimmed(text.substr(5));
    return expected;
  }
  if (text == "pending" && !is_call) {
    expected.pending = true;
    return expected;
  }
  const auto parts = split(text, "~");
  if (parts.size() != 1 && parts.size() != 3) throw std::runtime_error("a difference is SPECIFIED ~ HAWSER ~ WORDS");
  expected.specified = parse_outcome(parts[0], is_call);
  if (parts.size() == 3) {
    expected.hawser = parse_outcome(parts[1], is_call);
    expected.difference = parts[2];
  }
  return expected;
}

// The most precise WHERE counts: a situation before UD before its state before *.
inline void parse_cells(const Table& table, Row& row, const std::string& text) {
  std::map<std::string, Expected> by_situation, by_state;
  std::optional<Expected> datagrams, others;
  for (const std::string& part : split(text, "|")) {
    const auto colon = part.find(':');
    if (colon == std::string::npos) throw std::runtime_error("no WHERE: in '" + part + "'");
    const Expected expected = parse_expected(trimmed(part.substr(colon + 1)), row.is_call);
    for (const std::string& where : split(part.substr(0, colon), ",")) {
      if (where == "*") {
        others = expected;
        others->otherwise = true;
        continue;
      }
      if (where == "UD") {
        datagrams = expected;
        continue;
      }
      const bool is_situation = where.find('/') != std::string::npos && table.pending.contains(where);
      const bool is_state =
          std::ranges::any_of(table.situations, [&](const std::string& s) { return state_of(s) == where; });
      if (!is_situation && !is_state) throw std::runtime_error("no situation '" + where + "'");
      if (!(is_situation ? by_situation : by_state).emplace(where, expected).second) {
        throw std::runtime_error("'" + where + "' twice");
      }
    }
  }
  for (const std::string& situation : table.situations) {
    if (by_situation.contains(situation)) {
      row.cells[situation] = by_situation[situation];
    } else if (datagrams && is_datagram(situation)) {
      row.cells[situation] = *datagrams;
    } else if (by_state.contains(state_of(situation))) {
      row.cells[situation] = by_state[state_of(situation)];
    } else if (others) {
      row.cells[situation] = *others;
    } else {
      throw std::runtime_error("nothing is said of " + situation);
    }
  }
}

inline void parse_line(Table& table, const std::string& line) {
  const auto kind_end = line.find(' ');
  const std::string kind = line.substr(0, kind_end);
  const std::string rest = trimmed(line.substr(kind_end));
  if (kind == "situation") {
    const auto parts = split(rest, " : ");
    if (parts.size() != 2) throw std::runtime_error("situation NAME : PENDING");
    if (!table.pending.emplace(parts[0], parse_outcome(parts[1], false)).second) throw std::runtime_error("twice");
    table.situations.push_back(parts[0]);
    return;
  }
  if (kind != "call" && kind != "event") throw std::runtime_error("neither situation, call nor event");
  const auto open = rest.find('['), close = rest.find(']');
  if (open == std::string::npos || close == std::string::npos) throw std::runtime_error("no citation");
  Row row{.is_call = kind == "call", .name = trimmed(rest.substr(0, open)), .cells = {}};
  parse_cells(table, row, trimmed(rest.substr(close + 1)));
  table.rows.push_back(std::move(row));
}

inline Table read_table(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  Table table;
  std::string line, whole;
  int number = 0, began = 0;
  const auto flush = [&] {
    try {
      if (!whole.empty()) parse_line(table, whole);
    } catch (const std::exception& error) {
      throw std::runtime_error(path + ":" + std::to_string(began) + ": " + error.what());
    }
    whole.clear();
  };
  while (std::getline(file, line)) {
    ++number;
    if (line.starts_with('#')) continue;
    if (line.starts_with(' ')) {
      whole += line;
      continue;
    }
    flush();
    whole = trimmed(line);
    began = number;
  }
  flush();
  return table;
}

}  // namespace hawser::cma::walk
