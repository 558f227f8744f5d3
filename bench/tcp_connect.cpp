// The yardstick of `make bench`: connect, accept and close over plain TCP on 127.0.0.1, as many times as cmtime
// connects. Prints one line of JSON: {"connections": N, "us_per_connection": …}.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

namespace {

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::_Exit(1);
}

void accept_all(int listener, int count) {
  for (int i = 0; i < count; ++i) {
    const int peer = accept(listener, nullptr, nullptr);
    if (peer < 0) die("accept");
    char end = 0;
    if (read(peer, &end, 1) < 0) die("read");  // 0 bytes: the client has closed
    close(peer);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int count = argc > 1 ? std::atoi(argv[1]) : 1000;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  socklen_t length = sizeof address;
  if (listener < 0 || bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) die("bind");
  if (listen(listener, 1024) != 0) die("listen");
  if (getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) != 0) die("getsockname");

  const pid_t server = fork();
  if (server < 0) die("fork");
  if (server == 0) {
    accept_all(listener, count);
    std::_Exit(0);
  }
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < count; ++i) {
    const int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection < 0 || connect(connection, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      die("connect");
    }
    close(connection);
  }
  int status = 0;
  if (waitpid(server, &status, 0) != server || status != 0) die("server");
  const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
  std::printf("{\"connections\": %d, \"us_per_connection\": %.2f}\n", count, took.count() / count);
  return 0;
}
