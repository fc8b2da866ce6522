// Feeds a guard as omd does, told what to do line by line: the process that tests stop and kill.
//
//   guard_feeder FOLDER GUARD LEASE_MS [GUARD_OPTION=VALUE ...]
//
// Starts the guard GUARD unless FOLDER has one, renews ten times a lease, and answers every line of
// standard input with one line. Ends with standard input.
#include <poll.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/base/status.h"
#include "server/guard/guard_client.h"

namespace om {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(30);

class Feeder {
 public:
  Feeder(GuardOptions options, int64_t lease_ns)
      : options_(std::move(options)), lease_ns_(lease_ns) {}

  absl::Status Start() {
    absl::Status started = StartGuard(options_, kTimeout);
    if (!started.ok() && !absl::IsAlreadyExists(started)) return started;
    Say(started.ok() ? "started" : "found");
    return Attach();
  }

  void Run() {
    std::string line;
    for (;;) {
      const int wait_ms = static_cast<int>(lease_ns_ / 10 / 1000000) + 1;
      pollfd polled = {.fd = 0, .events = POLLIN, .revents = 0};
      const int ready = poll(&polled, 1, renewing_ ? wait_ms : -1);
      if (renewing_) Renew();
      if (ready <= 0) continue;
      if (!ReadLine(&line)) return;
      Say(Obey(line));
    }
  }

 private:
  static void Say(const std::string& text) { std::cout << text << std::endl; }
  static std::string Told(const absl::Status& status) {
    if (status.ok()) return "ok";
    return absl::StrCat("error ", ReasonOf(status), " ", status.message());
  }

  absl::Status Attach() {
    ASSIGN_OR_RETURN(GuardClient client, GuardClient::Attach(options_.folder, kTimeout));
    client_ = std::move(client);
    return absl::OkStatus();
  }

  void Renew() {
    renewed_ = client_->Renew(BootNanoseconds() + lease_ns_);
    // Like an omd that is told that its instances were killed: it goes no further by itself.
    if (!renewed_.ok()) renewing_ = false;
  }

  // Unbuffered: poll() does not know of what a stream has read ahead.
  static bool ReadLine(std::string* line) {
    line->clear();
    for (char c = 0; read(0, &c, 1) == 1;) {
      if (c == '\n') return true;
      line->push_back(c);
    }
    return false;
  }

  std::string Obey(const std::string& line) {
    std::istringstream words(line);
    std::string verb;
    GuardedInstance instance;
    words >> verb >> instance.id;
    if (verb == "attach") return Told(Attach());
    if (verb == "renew") {
      renewing_ = true;
      Renew();
      return Told(renewed_);
    }
    if (verb == "hold") {
      renewing_ = false;
      return "ok";
    }
    if (verb == "renewed") return Told(renewed_);
    if (verb == "until") return Told(client_->Renew(BootNanoseconds() + atoll(line.c_str() + 6)));
    if (verb == "watch") {
      words >> instance.group >> instance.group_start >> instance.cgroup;
      instance.path = absl::StrCat("svc-", instance.id);
      return Told(client_->Watch(instance));
    }
    if (verb == "release") return Told(client_->Release(instance.id));
    if (verb == "list") {
      const absl::StatusOr<std::vector<GuardedInstance>> list = client_->List();
      if (!list.ok()) return Told(list.status());
      return absl::StrCat(
          "list ", absl::StrJoin(*list, " ", [](std::string* out, const GuardedInstance& item) {
            absl::StrAppend(out, item.id);
          }));
    }
    if (verb == "status") {
      const GuardStatus& status = client_->status();
      return absl::StrCat("epoch ", status.epoch, " count ", status.instance_count, " fired_ns ",
                          status.fired_ns, " done_ns ", status.done_ns, " until_ns ",
                          status.until_ns, " killed ", status.killed_count, " survivors ",
                          status.survivor_count);
    }
    return absl::StrCat("error unknown word ", verb);
  }

  const GuardOptions options_;
  const int64_t lease_ns_;
  std::optional<GuardClient> client_;
  bool renewing_ = false;
  absl::Status renewed_;
};

int Main(int argc, char** argv) {
  if (argc < 4) return 2;
  GuardOptions options;
  options.folder = argv[1];
  options.program = argv[2];
  for (int i = 4; i < argc; ++i) {
    const std::string word = argv[i];
    const std::string value = word.substr(word.find('=') + 1);
    if (word.rfind("split-action=", 0) == 0) options.split_action = value;
    if (word.rfind("sysrq-trigger=", 0) == 0) options.sysrq_trigger = value;
    if (word.rfind("kill-bound-ms=", 0) == 0) {
      options.kill_bound = absl::Milliseconds(atoll(value.c_str()));
    }
  }
  Feeder feeder(options, atoll(argv[3]) * 1000000);
  const absl::Status started = feeder.Start();
  if (!started.ok()) {
    std::cout << "failed " << started.message() << std::endl;
    return 1;
  }
  feeder.Run();
  return 0;
}

}  // namespace
}  // namespace om

int main(int argc, char** argv) { return om::Main(argc, argv); }
