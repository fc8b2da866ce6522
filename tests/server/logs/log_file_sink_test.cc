#include "server/logs/log_file_sink.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/logs/log_line.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::SizeIs;

constexpr char kLine[] =
    "[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2},[0-9]{3} - node1\\.osvcd(\\.[a-z]+)? - "
    "(INFO|WARNING|ERROR) - .*";
constexpr std::chrono::seconds kDeadline{120};

class LogFileSinkTest : public ::testing::Test {
 protected:
  LogFileSinkTest() {
    options_.path = dir_.File("node.log");
    options_.node_name = "node1";
    options_.check_interval = std::chrono::milliseconds(0);
    options_.retry_interval = std::chrono::milliseconds(1);
  }
  absl::Status Start() {
    sink_ = std::make_unique<LogFileSink>(options_, &mask_, &clock_, &counters_);
    return sink_->Start();
  }
  std::vector<std::string> Lines(absl::string_view name = "node.log") {
    return absl::StrSplit(dir_.Read(name), '\n', absl::SkipEmpty());
  }
  bool Eventually(const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + kDeadline;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::yield();
    }
    return true;
  }
  int64_t Count(const char* name) { return counters_.Get(name)->value(); }

  const TempDir dir_;
  LogFileSink::Options options_;
  SecretMask mask_;
  SystemClock clock_;
  Counters counters_;
  std::unique_ptr<LogFileSink> sink_;
};

TEST_F(LogFileSinkTest, MessagesBecomeLinesOfTheLegacyForm) {
  ASSERT_THAT(Start(), IsOk());
  LOG(INFO) << "daemon started";
  {
    const LogComponent component("listener");
    LOG(WARNING) << "two\nlines";
  }
  LOG(ERROR) << "bad";
  ASSERT_TRUE(sink_->Flush(kDeadline));
  const std::vector<std::string> lines = Lines();
  EXPECT_THAT(lines, ElementsAre(EndsWith(" - node1.osvcd - INFO - daemon started"),
                                 EndsWith(" - node1.osvcd.listener - WARNING - two"),
                                 EndsWith(" - node1.osvcd.listener - WARNING -     lines"),
                                 EndsWith(" - node1.osvcd - ERROR - bad")));
  EXPECT_THAT(lines, Each(MatchesRegex(kLine)));
  EXPECT_EQ(Count("log.lines"), 4);
  struct stat status;
  ASSERT_EQ(stat(options_.path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777 & ~0640u, 0u);
}

TEST_F(LogFileSinkTest, TheTimeIsThatOfTheMessageInTheGivenZone) {
  options_.time_zone = absl::FixedTimeZone(5 * 3600);
  ASSERT_THAT(Start(), IsOk());
  const absl::Time before = absl::Now();
  LOG(INFO) << "now";
  const absl::Time after = absl::Now();
  ASSERT_TRUE(sink_->Flush(kDeadline));
  ASSERT_THAT(Lines(), SizeIs(1));
  const std::string line = Lines()[0];
  absl::Time time;
  std::string error;
  ASSERT_TRUE(absl::ParseTime("%Y-%m-%d %H:%M:%E*S", line.substr(0, 19) + "." + line.substr(20, 3),
                              options_.time_zone, &time, &error))
      << error << ": " << line;
  EXPECT_GE(time, before - absl::Milliseconds(1));
  EXPECT_LE(time, after);
}

TEST_F(LogFileSinkTest, SecretsAreMaskedAlsoInWhatWasLoggedByMistake) {
  mask_.Add("0123456789abcdef");
  ASSERT_THAT(Start(), IsOk());
  LOG(INFO) << "secret=0123456789abcdef\nand 0123456789abcdef";
  ASSERT_TRUE(sink_->Flush(kDeadline));
  EXPECT_THAT(Lines(), ElementsAre(EndsWith("secret=***"), EndsWith("and ***")));
}

TEST_F(LogFileSinkTest, AFileThatWasRenamedOrRemovedIsMadeAnew) {
  ASSERT_THAT(Start(), IsOk());
  LOG(INFO) << "first";
  ASSERT_TRUE(sink_->Flush(kDeadline));
  ASSERT_EQ(rename(options_.path.c_str(), dir_.File("node.log.1").c_str()), 0);
  LOG(INFO) << "second";
  ASSERT_TRUE(sink_->Flush(kDeadline));
  EXPECT_THAT(Lines("node.log.1"), ElementsAre(EndsWith("first")));
  EXPECT_THAT(Lines(), ElementsAre(EndsWith("second")));
  ASSERT_EQ(unlink(options_.path.c_str()), 0);
  LOG(INFO) << "third";
  ASSERT_TRUE(sink_->Flush(kDeadline));
  EXPECT_THAT(Lines(), ElementsAre(EndsWith("third")));
}

TEST_F(LogFileSinkTest, ReopenDoesNotWaitForTheCheckNorForALine) {
  options_.check_interval = std::chrono::hours(1);
  ASSERT_THAT(Start(), IsOk());
  LOG(INFO) << "first";
  ASSERT_TRUE(sink_->Flush(kDeadline));
  ASSERT_EQ(rename(options_.path.c_str(), dir_.File("node.log.1").c_str()), 0);
  LOG(INFO) << "second";
  ASSERT_TRUE(sink_->Flush(kDeadline));
  EXPECT_NE(access(options_.path.c_str(), F_OK), 0);
  sink_->Reopen();
  ASSERT_TRUE(Eventually([&] { return access(options_.path.c_str(), F_OK) == 0; }));
  LOG(INFO) << "third";
  ASSERT_TRUE(sink_->Flush(kDeadline));
  EXPECT_THAT(Lines("node.log.1"), SizeIs(2));
  EXPECT_THAT(Lines(), ElementsAre(EndsWith("third")));
}

TEST_F(LogFileSinkTest, AFullDiskLosesNothingThatFitsTheQueueAndTellsOfTheRest) {
  ASSERT_EQ(symlink("/dev/full", options_.path.c_str()), 0);
  options_.max_messages = 4;
  ASSERT_THAT(Start(), IsOk());
  LOG(INFO) << "message 0";
  // The writer has it, and fails.
  ASSERT_TRUE(Eventually([&] { return Count("log.write_errors") > 1; }));
  for (int i = 1; i < 10; ++i) LOG(INFO) << "message " << i;
  EXPECT_EQ(Count("log.dropped"), 5);
  ASSERT_EQ(unlink(options_.path.c_str()), 0);
  ASSERT_TRUE(sink_->Flush(kDeadline));
  LOG(INFO) << "message 10";
  ASSERT_TRUE(sink_->Flush(kDeadline));
  const std::vector<std::string> lines = Lines();
  ASSERT_THAT(lines, SizeIs(7));
  EXPECT_THAT(lines, Each(MatchesRegex(kLine)));
  for (size_t i = 0; i < 5; ++i) EXPECT_THAT(lines[i], EndsWith(absl::StrCat("message ", i)));
  EXPECT_THAT(lines[5], HasSubstr("WARNING - log_gap: 5 messages lost here"));
  EXPECT_THAT(lines[6], EndsWith("message 10"));
}

TEST_F(LogFileSinkTest, TheQueueIsBoundedInBytesToo) {
  ASSERT_EQ(symlink("/dev/full", options_.path.c_str()), 0);
  options_.max_bytes = 2'500;
  options_.stop_timeout = std::chrono::milliseconds(10);
  ASSERT_THAT(Start(), IsOk());
  LOG(INFO) << "first";
  ASSERT_TRUE(Eventually([&] { return Count("log.write_errors") > 1; }));
  for (int i = 0; i < 10; ++i) LOG(INFO) << std::string(1'000, 'x');
  EXPECT_EQ(Count("log.dropped"), 8);
}

TEST_F(LogFileSinkTest, AMissingDirectoryIsMade) {
  options_.path = dir_.File("log/node.log");
  ASSERT_THAT(Start(), IsOk());
  LOG(INFO) << "kept";
  ASSERT_TRUE(sink_->Flush(kDeadline));
  EXPECT_THAT(Lines("log/node.log"), ElementsAre(EndsWith("kept")));
}

TEST_F(LogFileSinkTest, WhatIsInTheWayOfTheFileIsToldAtStartAndTriedAgain) {
  dir_.Write("log", "a file where the directory should be");
  options_.path = dir_.File("log/node.log");
  const absl::Status started = Start();
  EXPECT_FALSE(started.ok());
  EXPECT_THAT(std::string(started.message()), HasSubstr("log"));
  LOG(INFO) << "kept";
  ASSERT_TRUE(Eventually([&] { return Count("log.write_errors") > 0; }));
  ASSERT_EQ(unlink(dir_.File("log").c_str()), 0);
  ASSERT_TRUE(sink_->Flush(kDeadline));
  EXPECT_THAT(Lines("log/node.log"), ElementsAre(EndsWith("kept")));
}

TEST_F(LogFileSinkTest, ALimitOnFileSizesEndsNothingAndCutsNoLine) {
  ASSERT_THAT(Start(), IsOk());
  // Of this thread alone, whose copy of the messages may go to a file as well.
  sigset_t signals;
  sigset_t old_signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGXFSZ);
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &signals, &old_signals), 0);
  rlimit old_limit;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old_limit), 0);
  rlimit limit = old_limit;
  limit.rlim_cur = 32'000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  for (int i = 0; i < 60; ++i) LOG(INFO) << std::string(1'000, 'x') << i;
  EXPECT_TRUE(Eventually([&] { return Count("log.write_errors") > 0; }));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old_limit), 0);
  const timespec now = {};
  while (sigtimedwait(&signals, nullptr, &now) == SIGXFSZ) {
  }
  ASSERT_EQ(pthread_sigmask(SIG_SETMASK, &old_signals, nullptr), 0);
  ASSERT_TRUE(sink_->Flush(kDeadline));
  const std::vector<std::string> lines = Lines();
  ASSERT_THAT(lines, SizeIs(60));
  EXPECT_THAT(lines, Each(MatchesRegex(kLine)));
  for (size_t i = 0; i < 60; ++i) EXPECT_THAT(lines[i], EndsWith(absl::StrCat("x", i)));
}

TEST_F(LogFileSinkTest, StopWritesWhatIsQueuedAndNothingAfterwards) {
  ASSERT_THAT(Start(), IsOk());
  for (int i = 0; i < 100; ++i) LOG(INFO) << i;
  sink_->Stop();
  LOG(INFO) << "too late";
  sink_->Stop();
  EXPECT_THAT(Lines(), SizeIs(100));
}

TEST_F(LogFileSinkTest, StopEndsWithAFullDiskToo) {
  ASSERT_EQ(symlink("/dev/full", options_.path.c_str()), 0);
  options_.stop_timeout = std::chrono::milliseconds(10);
  ASSERT_THAT(Start(), IsOk());
  for (int i = 0; i < 100; ++i) LOG(INFO) << i;
  EXPECT_FALSE(sink_->Flush(std::chrono::milliseconds(0)));
  sink_->Stop();
  EXPECT_EQ(Count("log.dropped"), 100);
}

TEST_F(LogFileSinkTest, LinesOfManyThreadsAreWholeAndInTheOrderOfEach) {
  ASSERT_THAT(Start(), IsOk());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      const std::string name(1, static_cast<char>('a' + t));
      const LogComponent component(name);
      for (int i = 0; i < 200; ++i) LOG(INFO) << i;
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(sink_->Flush(kDeadline));
  std::vector<int> next(4);
  for (const std::string& line : Lines()) {
    ASSERT_THAT(line, MatchesRegex(kLine));
    const std::vector<std::string> parts = absl::StrSplit(line, " - ");
    const auto thread = static_cast<size_t>(parts[1].back() - 'a');
    EXPECT_EQ(parts[3], std::to_string(next.at(thread)++));
  }
  EXPECT_THAT(next, Each(200));
}

using LogFileSinkDeathTest = LogFileSinkTest;

TEST_F(LogFileSinkDeathTest, TheMessageThatEndsTheProcessIsInTheFile) {
  // The process waits for the line for a second, within which a busy machine may not write it.
  do {
    EXPECT_DEATH(
        {
          (void)Start();
          LOG(FATAL) << "the end";
        },
        "the end");
  } while (Lines().empty());
  EXPECT_THAT(Lines(), ElementsAre(EndsWith(" - node1.osvcd - ERROR - the end")));
}

}  // namespace
}  // namespace om
