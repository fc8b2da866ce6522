#include "server/logs/log_tailer.h"

#include <stdio.h>

#include <chrono>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_loop.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

using absl::StatusCode;
using std::chrono::milliseconds;

class LogTailerTest : public ::testing::Test {
 protected:
  std::string path() const { return directory_.File("svc1.log"); }
  void Append(const std::string& text) {
    std::ofstream stream(path(), std::ios::app);
    stream << text;
  }
  LogTailRequest Whole(bool follow) const {
    LogTailRequest request;
    request.path = path();
    request.start = LogTailRequest::Start::kWholeFile;
    request.follow = follow;
    return request;
  }
  std::shared_ptr<LogTail> Open(const LogTailRequest& request) {
    absl::StatusOr<std::shared_ptr<LogTail>> tail = tailer_.Open(request);
    EXPECT_THAT(tail, IsOk());
    loop_.RunReady();
    return *tail;
  }
  // What is there for it now, or the error.
  static std::string Take(LogTail* tail, bool* caught_up = nullptr) {
    std::string text;
    while (true) {
      absl::StatusOr<std::optional<LogTailItem>> item = tail->Next();
      if (!item.ok()) return absl::StrCat(text, "error: ", ReasonOf(item.status()));
      if (!item->has_value()) return text;
      text += (*item)->text;
      if (caught_up != nullptr) *caught_up = *caught_up || (*item)->caught_up;
    }
  }
  void Tick() { loop_.AdvanceBy(milliseconds(100)); }

  TempDir directory_;
  FakeClock clock_;
  FakeLoop loop_{&clock_};
  Counters counters_;
  LogTailer tailer_{
      &loop_, &clock_, &counters_, {.chunk_bytes = 10, .max_waiting_bytes = 30, .max_readers = 2}};
};

TEST_F(LogTailerTest, WithoutFollowingItIsOverAtTheEnd) {
  Append("one\ntwo\nthree");
  const auto tail = Open(Whole(false));
  EXPECT_FALSE(tail->over());
  EXPECT_EQ(Take(tail.get()), "one\ntwo\nthree\n");
  EXPECT_TRUE(tail->over());
}

TEST_F(LogTailerTest, AFollowerIsWokenByWhatIsWritten) {
  Append("one\n");
  const auto tail = Open(Whole(true));
  bool caught_up = false;
  EXPECT_EQ(Take(tail.get(), &caught_up), "one\n");
  EXPECT_TRUE(caught_up);
  int wakes = 0;
  tail->SetWake([&wakes] { ++wakes; });
  Tick();
  EXPECT_EQ(wakes, 0);
  Append("two\n");
  Tick();
  EXPECT_GE(wakes, 1);
  EXPECT_EQ(Take(tail.get()), "two\n");
  EXPECT_FALSE(tail->over());
}

TEST_F(LogTailerTest, AReaderThatTakesNothingIsNotReadForAndLosesNothing) {
  std::string all;
  for (int i = 10; i < 60; ++i) absl::StrAppend(&all, "line ", i, "\n");
  Append(all);
  const auto slow = Open(Whole(false));
  const auto fast = Open(Whole(false));
  std::string got;
  // As much as waits for it, no more.
  while (true) {
    const absl::StatusOr<std::optional<LogTailItem>> item = slow->Next();
    ASSERT_THAT(item, IsOk());
    if (!item->has_value()) break;
    got += (*item)->text;
  }
  EXPECT_LE(got.size(), 40u);
  while (!slow->over()) {
    loop_.RunReady();
    got += Take(slow.get());
  }
  EXPECT_EQ(got, all);
  std::string other;
  while (!fast->over()) {
    loop_.RunReady();
    other += Take(fast.get());
  }
  EXPECT_EQ(other, all);
}

TEST_F(LogTailerTest, ARotatedFileIsReadOnWhileTheNewOneIsQuiet) {
  Append("one\n");
  const auto tail = Open(Whole(true));
  EXPECT_EQ(Take(tail.get()), "one\n");
  ASSERT_EQ(rename(path().c_str(), (path() + ".1").c_str()), 0);
  Append("two\n");
  Tick();
  EXPECT_EQ(Take(tail.get()), "two\n");
  std::ofstream(path() + ".1", std::ios::app) << "late\n";
  Tick();
  EXPECT_EQ(Take(tail.get()), "late\n");
}

TEST_F(LogTailerTest, WhatIsNotThereIsToldOrWaitedFor) {
  EXPECT_EQ(Take(Open(Whole(false)).get()), "error: LOG_NOT_FOUND");
  const auto tail = Open(Whole(true));
  EXPECT_EQ(Take(tail.get()), "");
  Append("one\n");
  Tick();
  EXPECT_EQ(Take(tail.get()), "one\n");
}

TEST_F(LogTailerTest, ReadersAreCountedRefusedAndForgotten) {
  Append("one\n");
  auto first = Open(Whole(true));
  const auto second = Open(Whole(true));
  EXPECT_EQ(counters_.Get("logs.readers")->value(), 2);
  EXPECT_THAT(tailer_.Open(Whole(true)).status(), StatusIs(StatusCode::kResourceExhausted));
  EXPECT_EQ(counters_.Get("logs.readers_refused")->value(), 1);
  first.reset();
  loop_.RunReady();
  EXPECT_EQ(counters_.Get("logs.readers")->value(), 1);
  EXPECT_THAT(tailer_.Open(Whole(false)), IsOk());
}

TEST_F(LogTailerTest, ATakerThatPausesIsWokenOnTheLoop) {
  Append("one\n");
  const auto tail = Open(Whole(true));
  int wakes = 0;
  tail->SetWake([&wakes] { ++wakes; });
  tail->WakeLater();
  EXPECT_EQ(wakes, 0);
  loop_.RunReady();
  EXPECT_EQ(wakes, 1);
}

TEST_F(LogTailerTest, AReaderGoesOnFromTheCursorOfAnItem) {
  Append("one\ntwo\n");
  const auto tail = Open(Whole(true));
  absl::StatusOr<std::optional<LogTailItem>> item = tail->Next();
  ASSERT_THAT(item, IsOk());
  ASSERT_TRUE(item->has_value());
  Append("three\n");
  LogTailRequest request = Whole(false);
  request.start = LogTailRequest::Start::kCursor;
  request.cursor = (*item)->cursor;
  EXPECT_EQ((*item)->text + Take(Open(request).get()), "one\ntwo\nthree\n");
}

}  // namespace
}  // namespace om
