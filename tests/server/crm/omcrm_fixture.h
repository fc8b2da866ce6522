// Runs omcrm as processes on a root of its own, with an app that is a flag file.
#ifndef OM_TESTS_SERVER_CRM_OMCRM_FIXTURE_H_
#define OM_TESTS_SERVER_CRM_OMCRM_FIXTURE_H_

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/file.h"
#include "server/base/json.h"
#include "server/crm/drivers/processes.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace om {

// A launcher whose app is a flag file: start, stop, status, each told in a journal.
inline constexpr char kScript[] = R"(#!/bin/sh
flag="$0.$OPENSVC_RID.up"
echo "$1 $OPENSVC_RID" >> "$0.journal"
case $1 in
start) [ -e "$0.fail.$OPENSVC_RID" ] && { echo "cannot start" >&2; exit 7; }
       [ -e "$0.gate" ] && { : > "$0.waiting"; read line < "$0.gate"; }
       echo "starting"; env > "$0.env"; : > "$flag" ;;
stop) [ -e "$0.stuck" ] && exit 0
      [ -e "$0.stopfail" ] && exit 3
      rm -f "$flag" ;;
status) [ -e "$0.sick" ] && exit 4
        [ -e "$flag" ] ;;
esac
)";

class OmcrmTest : public ::testing::Test {
 protected:
  OmcrmTest() {
    script_ = root_.Write("app.sh", kScript);
    chmod(script_.c_str(), 0755);
    root_.Write("etc/cluster.conf", "[cluster]\nname = test\nnodes = n1 n2\nid = c\n");
  }
  ~OmcrmTest() override {
    const auto left = FindProcesses("", {absl::StrCat("OM_ROOT=", root_.path())});
    for (const pid_t pid : *left) kill(pid, SIGKILL);
  }

  // Starts omcrm; `extra` is put over the environment.
  pid_t Spawn(std::vector<std::string> words, const std::vector<std::string>& extra = {}) {
    words.insert(words.begin(), std::string(OM_BIN_DIR) + "/omcrm");
    std::vector<std::string> environment = {
        "PATH=/usr/bin:/bin", absl::StrCat("OM_ROOT=", root_.path()), "OMD_NODENAME=n1",
        "OSVC_ACTION_ORIGIN=daemon", "ASAN_OPTIONS=detect_container_overflow=0"};
    for (const std::string& variable : extra) {
      const std::string name = variable.substr(0, variable.find('=') + 1);
      for (std::string& existing : environment) {
        if (absl::StartsWith(existing, name)) existing = "X=";
      }
      environment.push_back(variable);
    }
    const auto pointers = [](std::vector<std::string>* texts) {
      std::vector<char*> out;
      for (std::string& text : *texts) out.push_back(text.data());
      out.push_back(nullptr);
      return out;
    };
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    const std::string output = root_.File("omcrm.out");
    posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                     0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    posix_spawn_file_actions_addopen(&actions, 0, input_.empty() ? "/dev/null" : input_.c_str(),
                                     O_RDONLY, 0);
    pid_t pid = -1;
    EXPECT_EQ(posix_spawn(&pid, words[0].c_str(), &actions, nullptr, pointers(&words).data(),
                          pointers(&environment).data()),
              0);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
  }
  static int Wait(pid_t pid) {
    int status = 0;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }
  int Run(std::vector<std::string> words, const std::vector<std::string>& extra = {}) {
    return Wait(Spawn(std::move(words), extra));
  }
  int Do(const std::string& action) { return Run({"-s", "svc1", action, "--local"}); }

  void Configure(const std::string& text, const std::string& name = "svc1") {
    root_.Write(absl::StrCat("etc/", name, ".conf"),
                absl::StrReplaceAll(text, {{"@SCRIPT@", script_}}));
  }
  void ConfigureForking(const std::string& more = "") {
    Configure(absl::StrCat("[DEFAULT]\nid = id1\nnodes = n1 n2\n", more,
                           "\n[app#1]\nscript = @SCRIPT@\nstart = 1\nstop = 1\ncheck = 1\n"));
  }
  Json Status(const std::string& name = "svc1") {
    const auto json = ParseJson(root_.Read(absl::StrCat("var/svc/", name, "/status.json")));
    EXPECT_THAT(json, IsOk());
    return json.ok() ? *json : Json::object();
  }
  bool IsUp(const std::string& rid) {
    return access(absl::StrCat(script_, ".", rid, ".up").c_str(), F_OK) == 0;
  }
  void Flag(const std::string& name) { root_.Write(absl::StrCat("app.sh.", name), ""); }
  // What the script was asked, checks left out.
  std::vector<std::string> Journal() {
    std::vector<std::string> lines;
    const std::string journal = root_.Read("app.sh.journal");
    for (const absl::string_view line : absl::StrSplit(journal, '\n', absl::SkipEmpty())) {
      if (!absl::StartsWith(line, "status")) lines.emplace_back(line);
    }
    return lines;
  }
  static void Await(const std::function<bool()>& condition) {
    while (!condition()) std::this_thread::yield();  // The test's own time limit ends it.
  }

  TempDir root_;
  std::string script_;
  std::string input_;  // What omcrm reads as its standard input; empty: nothing.
};

// One request as the daemon's socket gets it.
class FakeDaemon {
 public:
  explicit FakeDaemon(const std::string& path) {
    EXPECT_THAT(MakeDirectories(path.substr(0, path.rfind('/'))), IsOk());
    fd_.Reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(fd_.get(), 16), 0);
  }
  Json Next() {
    const UniqueFd connection(accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    std::string text;
    char c = 0;
    while (read(connection.get(), &c, 1) == 1 && c != '\0') text.push_back(c);
    EXPECT_EQ(c, '\0');
    const char answer[] = "{\"status\": 0}";
    [[maybe_unused]] const ssize_t sent =
        send(connection.get(), answer, sizeof answer, MSG_NOSIGNAL);
    const auto json = ParseJson(text);
    EXPECT_THAT(json, IsOk());
    return json.ok() ? *json : Json();
  }

 private:
  UniqueFd fd_;
};

}  // namespace om

#endif  // OM_TESTS_SERVER_CRM_OMCRM_FIXTURE_H_
