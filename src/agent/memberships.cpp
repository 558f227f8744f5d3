#include "agent/memberships.hpp"

#include <arpa/inet.h>

#include <charconv>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>

namespace hawser::agent {
namespace {

constexpr std::string_view blanks = " \t";

// The next word of a line, taken from its front; empty at the end.
std::string_view next_word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(blanks), line.size()));
  const std::string_view word = line.substr(0, line.find_first_of(blanks));
  line.remove_prefix(word.size());
  return word;
}

std::string_view next_line(std::string_view& text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(line.size() + 1, text.size()));
  return line;
}

std::optional<std::uint32_t> number(std::string_view word, int base) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value, base);
  if (error != std::errc() || end != word.data() + word.size() || word.empty()) return std::nullopt;
  return value;
}

std::optional<IpAddress> ipv6(std::string_view hex) {
  IpAddress address;
  if (hex.size() != 2 * address.bytes.size()) return std::nullopt;
  for (std::size_t i = 0; i < address.bytes.size(); ++i) {
    const auto byte = number(hex.substr(2 * i, 2), 16);
    if (!byte) return std::nullopt;
    address.bytes[i] = static_cast<std::uint8_t>(*byte);
  }
  return address;
}

std::string read_file(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

// A line of an interface begins with its index, those of its groups with blanks: the group's address as the kernel
// holds it, in network byte order, printed as one number.
std::vector<Membership> parse_igmp(std::string_view text) {
  std::vector<Membership> memberships;
  std::optional<std::uint32_t> interface;
  while (!text.empty()) {
    std::string_view line = next_line(text);
    const bool indented = !line.empty() && blanks.contains(line.front());
    const std::string_view word = next_word(line);
    if (!indented) {
      interface = number(word, 10);
    } else if (const auto group = number(word, 16); group && interface) {
      memberships.push_back({IpAddress::v4(ntohl(*group)), *interface});
    }
  }
  return memberships;
}

std::vector<Membership> parse_igmp6(std::string_view text) {
  std::vector<Membership> memberships;
  while (!text.empty()) {
    std::string_view line = next_line(text);
    const auto interface = number(next_word(line), 10);
    next_word(line);  // its name
    const auto group = ipv6(next_word(line));
    if (interface && group) memberships.push_back({*group, *interface});
  }
  return memberships;
}

void leave_all_groups(fabric::Fabric& fabric) {
  for (const Membership& joined : parse_igmp(read_file("/proc/thread-self/net/igmp"))) {
    (void)fabric.leave_group(joined.group, joined.interface);
  }
  for (const Membership& joined : parse_igmp6(read_file("/proc/thread-self/net/igmp6"))) {
    (void)fabric.leave_group(joined.group, joined.interface);
  }
}

}  // namespace hawser::agent
