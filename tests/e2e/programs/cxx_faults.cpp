// Faults of another process by the C++ interface: the first REP of PID is late. Says "set", and, when a line came on
// stdin, what it has done; then withdraws it.
//
//   cxx_faults PID
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>

#include "hawser/faults.hpp"

using namespace std::chrono_literals;
using hawser::CmMessage;
using hawser::HostFaults;
using hawser::MessageFault;

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const hawser::Fault late = MessageFault::delay(CmMessage::rep, 1500ms).nth(1);
  const auto number = HostFaults::set(late, {.pid = std::atoi(argv[1])});
  if (!number) {
    std::cerr << number.error().message() << std::endl;
    return 1;
  }
  std::cout << "set" << std::endl;
  std::string line;
  std::getline(std::cin, line);
  const auto known = HostFaults::list();
  if (!known || known->size() != 1 || known->front().number != *number || known->front().fault != late) return 1;
  std::cout << "effects " << known->front().effects << std::endl;
  const bool withdrawn = HostFaults::clear(*number).has_value();
  return withdrawn && hawser::errno_of(HostFaults::clear(*number)) == ENOENT ? 0 : 1;
}
