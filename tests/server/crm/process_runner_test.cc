#include "server/crm/process_runner.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <cerrno>
#include <future>
#include <memory>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/file.h"
#include "server/base/mutex.h"
#include "tests/support/fake_loop.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

size_t OpenDescriptors() {
  size_t count = 0;
  DIR* directory = opendir("/proc/self/fd");
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count;
}

class ProcessRunnerTest : public ::testing::Test {
 protected:
  ProcessRunnerTest() : work_(asio::make_work_guard(io_)), thread_([this] { io_.run(); }) {
    runner_ =
        std::make_unique<ProcessRunner>(&io_, &executor_, &counters_, ProcessRunner::Options{});
  }
  ~ProcessRunnerTest() override {
    work_.reset();
    io_.stop();
    thread_.join();
    runner_.reset();
  }

  ProcessSpec Shell(const std::string& script) {
    ProcessSpec spec;
    spec.argv = {"/bin/sh", "-c", script};
    spec.output = ProcessSpec::Output::kCapture;
    return spec;
  }
  std::future<ProcessResult> Start(ProcessSpec spec, ProcessId* id = nullptr) {
    auto promise = std::make_shared<std::promise<ProcessResult>>();
    std::future<ProcessResult> future = promise->get_future();
    const ProcessId started = runner_->Run(std::move(spec), [promise](ProcessResult result) {
      promise->set_value(std::move(result));
    });
    if (id != nullptr) *id = started;
    return future;
  }
  ProcessResult Run(ProcessSpec spec) { return Start(std::move(spec)).get(); }

  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  InlineExecutor executor_;  // Results arrive on the io thread.
  Counters counters_;
  std::unique_ptr<ProcessRunner> runner_;
  std::thread thread_;
};

TEST_F(ProcessRunnerTest, ReportsExitCodeAndBothOutputs) {
  const ProcessResult result = Run(Shell("echo out; echo err >&2; exit 3"));
  EXPECT_THAT(result.status, IsOk());
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_EQ(result.standard_output, "out\n");
  EXPECT_EQ(result.standard_error, "err\n");
  EXPECT_FALSE(result.Succeeded());
}

TEST_F(ProcessRunnerTest, ReportsTheSignalThatEndedTheProgram) {
  const ProcessResult result = Run(Shell("kill -USR1 $$"));
  EXPECT_EQ(result.signal, SIGUSR1);
  EXPECT_FALSE(result.Succeeded());
}

TEST_F(ProcessRunnerTest, AMissingProgramIsNotFoundAndNamed) {
  ProcessSpec spec;
  spec.argv = {"no-such-program-here"};
  EXPECT_THAT(Run(spec).status,
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no-such-program-here")));
  spec.argv = {"/no/such/program"};
  EXPECT_THAT(Run(spec).status,
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/such/program")));
  EXPECT_EQ(counters_.Get("process.failed_to_start")->value(), 2);
}

TEST_F(ProcessRunnerTest, AnEmptyCommandIsRefused) {
  EXPECT_THAT(Run(ProcessSpec{}).status, StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ProcessRunnerTest, LooksInTheSearchDirectoriesBeforePath) {
  TempDir dir;
  const std::string program = dir.Write("echo", "#!/bin/sh\nprintf mine\n");
  ASSERT_EQ(chmod(program.c_str(), 0755), 0);
  OM_ASSERT_OK_AND_ASSIGN(std::string found, FindProgram("echo", {dir.path()}, "/bin"));
  EXPECT_EQ(found, program);
  OM_ASSERT_OK_AND_ASSIGN(found, FindProgram("echo", {}, "/nowhere:/bin"));
  EXPECT_EQ(found, "/bin/echo");
}

TEST_F(ProcessRunnerTest, TheEnvironmentIsTheOneGivenWithTheExtraOverIt) {
  ProcessSpec spec = Shell("env");
  spec.environment = {"PATH=/usr/bin:/bin", "A=1", "B=2"};
  spec.extra_environment = {"B=3", "C=4"};
  const std::string output = Run(spec).standard_output;
  EXPECT_THAT(output, HasSubstr("A=1\n"));
  EXPECT_THAT(output, HasSubstr("B=3\n"));
  EXPECT_THAT(output, HasSubstr("C=4\n"));
  EXPECT_EQ(output.find("B=2"), std::string::npos);
}

TEST_F(ProcessRunnerTest, TheProgramGetsItsInputOrNothing) {
  ProcessSpec spec = Shell("cat");
  EXPECT_EQ(Run(spec).standard_output, "");
  spec.input = std::string("hello");
  EXPECT_EQ(Run(spec).standard_output, "hello");
  spec.input = std::string(1 << 20, 'x');
  EXPECT_THAT(Run(spec).status, StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ProcessRunnerTest, OutputIsBoundedAndTheProgramStillEnds) {
  ProcessSpec spec = Shell("head -c 10000000 /dev/zero; echo done >&2");
  spec.output_limit_bytes = 1000;
  const ProcessResult result = Run(spec);
  EXPECT_TRUE(result.Succeeded());
  EXPECT_EQ(result.standard_output.size(), 1000u);
  EXPECT_EQ(result.standard_error, "done\n");
  EXPECT_TRUE(result.output_truncated);
}

TEST_F(ProcessRunnerTest, OutputIsGivenInChunksAsItComes) {
  std::string streamed;
  ProcessSpec spec = Shell("echo one; echo two >&2");
  spec.on_output = [&streamed](int stream, const std::string& chunk) {
    streamed += absl::StrCat(stream, ":", chunk);
  };
  ASSERT_TRUE(Run(spec).Succeeded());
  EXPECT_THAT(streamed, HasSubstr("1:one\n"));
  EXPECT_THAT(streamed, HasSubstr("2:two\n"));
}

// Takes a stream, stops the reading after each chunk, and goes on when it is told to.
struct SlowReader {
  void Listen(ProcessSpec* spec) {
    spec->output = ProcessSpec::Output::kStream;
    spec->on_chunk = [this](int stream, absl::string_view chunk) {
      MutexLock lock(&mutex);
      taken[stream - 1].append(chunk.data(), chunk.size());
      ++chunks;
      changed.NotifyAll();
      return false;
    };
  }
  // Reads on until all has been said.
  void ReadOn(ProcessRunner* runner, ProcessId id, size_t bytes) {
    MutexLock lock(&mutex);
    while (taken[0].size() + taken[1].size() < bytes) {
      const int seen = chunks;
      mutex.Unlock();
      runner->Resume(id);
      mutex.Lock();
      while (chunks == seen) changed.Wait(&mutex);
    }
  }
  void AwaitChunk() {
    MutexLock lock(&mutex);
    while (chunks == 0) changed.Wait(&mutex);
  }
  Mutex mutex;
  CondVar changed;
  std::string taken[2];
  int chunks = 0;
};

TEST_F(ProcessRunnerTest, AStreamIsReadOnlyAsFastAsItsReaderTakesIt) {
  // The program says on the fifo when it has written everything: it cannot while nobody reads.
  TempDir dir;
  const std::string fifo = dir.File("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const int reader = open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  SlowReader slow;
  ProcessSpec spec = Shell(absl::StrCat("head -c 1000000 /dev/zero; echo x >", fifo));
  slow.Listen(&spec);
  ProcessId id{};
  std::future<ProcessResult> result = Start(spec, &id);
  slow.AwaitChunk();
  {
    MutexLock lock(&slow.mutex);
    EXPECT_EQ(slow.chunks, 1);
    EXPECT_LE(slow.taken[0].size(), 65536u);
  }
  // What was taken and what two pipes hold is less than it has to write.
  slow.ReadOn(runner_.get(), id, 500000);
  pollfd waited = {reader, POLLIN, 0};
  EXPECT_EQ(poll(&waited, 1, 0), 0);
  slow.ReadOn(runner_.get(), id, 1000000);
  EXPECT_EQ(poll(&waited, 1, -1), 1);
  runner_->Resume(id);
  EXPECT_TRUE(result.get().Succeeded());
  EXPECT_EQ(slow.taken[0], std::string(1000000, '\0'));
  close(reader);
}

TEST_F(ProcessRunnerTest, APausedReaderGetsWhatTheProgramWroteBeforeItsEnd) {
  SlowReader slow;
  // The rest fits into the pipes, so the program ends while nobody reads; what it leaves behind
  // holds them open.
  ProcessSpec spec = Shell(
      "printf first; read line; head -c 30000 /dev/zero; head -c 20000 /dev/zero >&2; "
      "sleep 1000 & echo $! > \"$PID_FILE\"");
  TempDir dir;
  spec.extra_environment = {absl::StrCat("PID_FILE=", dir.File("pid"))};
  spec.input = "go\n";
  slow.Listen(&spec);
  int pid = 0;
  spec.on_start = [&pid](pid_t started) { pid = started; };
  ProcessId id{};
  std::future<ProcessResult> result = Start(spec, &id);
  slow.AwaitChunk();
  while (counters_.Get("process.finished")->value() == 0) std::this_thread::yield();
  EXPECT_GT(pid, 0);
  EXPECT_NE(result.wait_for(milliseconds(150)),
            std::future_status::ready);  // Past the drain limit.
  slow.ReadOn(runner_.get(), id, 50005);
  runner_->Resume(id);
  EXPECT_TRUE(result.get().Succeeded());
  EXPECT_EQ(slow.taken[0].size(), 30005u);
  EXPECT_EQ(slow.taken[1].size(), 20000u);
  OM_ASSERT_OK_AND_ASSIGN(const FileContent left, ReadFile(dir.File("pid"), 100));
  kill(std::stoi(left.text), SIGKILL);
}

TEST_F(ProcessRunnerTest, TerminateEndsTheGroupEvenWhatIgnoresSigterm) {
  TempDir dir;
  const std::string fifo = dir.File("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const int reader = open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  for (const char* leader : {"exec sleep 1000", "trap '' TERM; while :; do sleep 1000; done"}) {
    // The child alone holds the fifo open for writing: its end is seen as a hang-up.
    std::promise<void> ready;
    ProcessSpec spec = Shell(
        absl::StrCat("(trap '' TERM; exec 3>", fifo, "; echo ready; exec sleep 1000) & ", leader));
    spec.output = ProcessSpec::Output::kCapture;
    spec.on_output = [&ready](int, const std::string&) { ready.set_value(); };
    spec.kill_grace = milliseconds(50);
    ProcessId id{};
    std::future<ProcessResult> result = Start(spec, &id);
    ready.get_future().wait();
    runner_->Terminate(id);
    const ProcessResult ended = result.get();
    EXPECT_THAT(ended.signal, ::testing::AnyOf(SIGTERM, SIGKILL));
    EXPECT_FALSE(ended.timed_out);
    pollfd waited = {reader, 0, 0};
    EXPECT_EQ(poll(&waited, 1, -1), 1);
    EXPECT_NE(waited.revents & POLLHUP, 0);
  }
  close(reader);
}

TEST_F(ProcessRunnerTest, ATimeLimitKillsTheWholeGroupEvenWhatIgnoresSigterm) {
  const std::string script =
      "trap '' TERM; (trap '' TERM; echo child; exec sleep 1000) & echo parent; "
      "while :; do sleep 1000; done";
  ProcessSpec spec = Shell(script);
  spec.kill_grace = milliseconds(50);
  // The limit is that of a program which has come to ignore the signal, whatever time that takes.
  ProcessResult result;
  int runs = 0;
  for (milliseconds limit(50); result.standard_output.size() < sizeof("childparent"); limit *= 2) {
    spec.time_limit = limit;
    result = Run(spec);
    ++runs;
    ASSERT_TRUE(result.timed_out);
  }
  EXPECT_EQ(result.signal, SIGKILL);
  EXPECT_EQ(counters_.Get("process.timed_out")->value(), runs);
}

TEST_F(ProcessRunnerTest, WhatIsLeftOfAGroupAtItsTimeLimitIsKilledWithIt) {
  // The leader ends on SIGTERM, its child ignores it: only the kill of the group ends that one. Its
  // end is seen as the hang-up of the fifo that it alone holds open for writing.
  TempDir dir;
  const std::string fifo = dir.File("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const int reader = open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  ProcessSpec spec =
      Shell(absl::StrCat("(trap '' TERM; echo x; exec sleep 1000) >", fifo, " & exec sleep 1000"));
  // The limit must not come before the child has come to ignore the signal, and has said so.
  char said[16];
  milliseconds limit(200);
  do {
    spec.time_limit = limit;
    limit *= 2;
    ASSERT_TRUE(Run(spec).timed_out);
  } while (read(reader, said, sizeof(said)) <= 0);
  pollfd waited = {reader, 0, 0};
  EXPECT_EQ(poll(&waited, 1, -1), 1);
  EXPECT_NE(waited.revents & POLLHUP, 0);
  close(reader);
}

TEST_F(ProcessRunnerTest, AGrandchildThatHoldsTheOutputOpenDoesNotHoldTheResult) {
  ProcessSpec spec = Shell("sleep 1000 & echo $!");
  const ProcessResult result = Run(spec);
  EXPECT_TRUE(result.Succeeded());
  const int grandchild = std::stoi(result.standard_output);
  EXPECT_EQ(kill(grandchild, 0), 0);  // Left running: it is not ours to end.
  kill(grandchild, SIGKILL);
}

TEST_F(ProcessRunnerTest, KillReachesTheGroup) {
  ProcessId id{};
  std::promise<void> started;
  ProcessSpec spec = Shell("echo ready; sleep 1000 & wait");
  spec.on_output = [&started](int, const std::string&) { started.set_value(); };
  std::future<ProcessResult> result = Start(spec, &id);
  started.get_future().wait();
  runner_->Kill(id, SIGTERM);
  EXPECT_EQ(result.get().signal, SIGTERM);
  runner_->Kill(id, SIGTERM);  // One that has ended is ignored.
}

TEST_F(ProcessRunnerTest, ProgramsLeadTheirOwnGroupOrSession) {
  ProcessSpec spec = Shell("set -- $(cat /proc/$$/stat); echo $1 $5 $6");
  std::string output = Run(spec).standard_output;
  int pid = 0, group = 0, session = 0;
  ASSERT_EQ(sscanf(output.c_str(), "%d %d %d", &pid, &group, &session), 3) << output;
  EXPECT_EQ(pid, group);
  EXPECT_NE(pid, session);
  spec.new_session = true;
  output = Run(spec).standard_output;
  ASSERT_EQ(sscanf(output.c_str(), "%d %d %d", &pid, &group, &session), 3) << output;
  EXPECT_EQ(pid, group);
  EXPECT_EQ(pid, session);
}

TEST_F(ProcessRunnerTest, ProgramsInheritNoDescriptorAndNoSignalHandling) {
  const auto old_handler = signal(SIGPIPE, SIG_IGN);
  const int leaky = open("/dev/null", O_RDONLY);  // Not close-on-exec, as some library may do it.
  const ProcessResult result =
      Run(Shell("ls /proc/self/fd | tr '\\n' ' '; grep -E 'SigIgn|SigBlk' /proc/self/status"));
  signal(SIGPIPE, old_handler);
  close(leaky);
  // The fourth one is of ls itself, reading the directory.
  EXPECT_THAT(result.standard_output, HasSubstr("0 1 2 3 SigBlk:\t0000000000000000\n"));
  // The C library keeps signals 32 and 33 to itself.
  uint64_t ignored = 0;
  const size_t at = result.standard_output.find("SigIgn:");
  ASSERT_EQ(sscanf(result.standard_output.c_str() + at, "SigIgn: %lx", &ignored), 1);
  EXPECT_EQ(ignored & 0x7fffffff, 0u);
}

TEST_F(ProcessRunnerTest, MoreThanTheLimitAreRefused) {
  ProcessRunner::Options options;
  options.max_running = 1;
  ProcessRunner small(&io_, &executor_, &counters_, options);
  std::promise<ProcessResult> first, second;
  const ProcessId id = small.Run(
      Shell("sleep 1000"), [&first](ProcessResult result) { first.set_value(std::move(result)); });
  small.Run(Shell("true"),
            [&second](ProcessResult result) { second.set_value(std::move(result)); });
  EXPECT_THAT(second.get_future().get().status, StatusIs(absl::StatusCode::kResourceExhausted));
  small.Kill(id, SIGKILL);
  // Killed before or after its start was posted; both orders run on one strand.
  EXPECT_EQ(first.get_future().get().signal, SIGKILL);
}

TEST_F(ProcessRunnerTest, ThousandsOfProgramsLeaveNoDescriptorAndNoZombie) {
  ASSERT_TRUE(Run(Shell("true")).Succeeded());
  const size_t before = OpenDescriptors();
  ProcessSpec spec;
  spec.argv = {"/bin/true"};
  spec.output = ProcessSpec::Output::kCapture;
  for (int round = 0; round < 100; ++round) {
    std::vector<std::future<ProcessResult>> results;
    results.reserve(20);
    for (int i = 0; i < 20; ++i) results.push_back(Start(spec));
    for (auto& result : results) ASSERT_TRUE(result.get().Succeeded());
  }
  EXPECT_EQ(OpenDescriptors(), before);
  // A sanitizer may have a child of its own, which runs.
  siginfo_t info = {};
  (void)waitid(P_ALL, 0, &info, WEXITED | WNOHANG);
  EXPECT_EQ(info.si_pid, 0) << "a program was not reaped";
  EXPECT_EQ(runner_->running(), 0u);
  EXPECT_EQ(counters_.Get("process.finished")->value(), 2001);
}

TEST_F(ProcessRunnerTest, NoCallbackComesOnceTheRunnerIsGoneAndTheProgramStays) {
  std::atomic<bool> called{false};
  std::promise<int> pid_promise;
  int pid = 0;
  {
    ProcessRunner gone(&io_, &executor_, &counters_, ProcessRunner::Options{});
    ProcessSpec spec = Shell("echo $$; exec sleep 1000");
    spec.on_output = [&pid_promise](int, const std::string& text) {
      pid_promise.set_value(std::stoi(text));
    };
    gone.Run(std::move(spec), [&called](const ProcessResult&) { called = true; });
    pid = pid_promise.get_future().get();
  }
  siginfo_t info = {};
  EXPECT_EQ(waitid(P_ALL, 0, &info, WEXITED | WNOHANG), 0);  // There is a child, and it runs.
  EXPECT_EQ(info.si_pid, 0);
  // Its end is ours to learn of now; a later program's result shows that no callback was queued.
  kill(pid, SIGKILL);
  EXPECT_EQ(waitpid(pid, nullptr, 0), pid);
  ASSERT_TRUE(Run(Shell("true")).Succeeded());
  EXPECT_FALSE(called);
}

}  // namespace
}  // namespace om
