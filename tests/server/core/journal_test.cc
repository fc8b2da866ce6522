#include "server/core/journal.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/status.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_loop.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class JournalTest : public ::testing::Test {
 protected:
  JournalTest() { options_.path = dir_.File("omd/journal"); }

  Journal::Opened Open() {
    absl::StatusOr<Journal::Opened> opened = Journal::Open(options_, executor_, &clock_);
    EXPECT_THAT(opened, IsOk());
    return *std::move(opened);
  }
  static absl::Status Append(Journal* journal, std::string record) {
    absl::Status result = absl::UnknownError("not answered");
    journal->Append(std::move(record), [&](absl::Status status) { result = std::move(status); });
    return result;
  }
  std::string Bytes() { return dir_.Read("omd/journal"); }
  void Write(const std::string& bytes) { dir_.Write("omd/journal", bytes); }

  TempDir dir_;
  FakeClock clock_;
  InlineExecutor inline_;
  Executor* executor_ = &inline_;
  Journal::Options options_;
};

TEST_F(JournalTest, Crc32cMatchesPublishedValues) {
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283U);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aaU);  // RFC 3720, B.4.
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43U);
}

TEST_F(JournalTest, RecordsComeBackInOrder) {
  {
    const Journal::Opened opened = Open();
    EXPECT_THAT(opened.records, IsEmpty());
    EXPECT_THAT(Append(opened.journal.get(), "one"), IsOk());
    EXPECT_THAT(Append(opened.journal.get(), std::string("t\0o", 3)), IsOk());
  }
  const Journal::Opened opened = Open();
  EXPECT_THAT(opened.records, ElementsAre("one", std::string("t\0o", 3)));
  EXPECT_EQ(opened.damage, "");
  EXPECT_EQ(opened.journal->size_bytes(), Bytes().size());
}

TEST_F(JournalTest, WhateverACrashCutsOffOnlyTheLastRecordIsLost) {
  {
    const Journal::Opened opened = Open();
    ASSERT_THAT(Append(opened.journal.get(), "first"), IsOk());
    ASSERT_THAT(Append(opened.journal.get(), "second"), IsOk());
  }
  const std::string whole = Bytes();
  const size_t after_first = whole.size() - 8 - 6;
  for (size_t length = 0; length < whole.size(); ++length) {
    Write(whole.substr(0, length));
    const Journal::Opened opened = Open();
    EXPECT_EQ(opened.damage, "") << length;
    if (length > after_first) {
      EXPECT_EQ(opened.cut_bytes, length - after_first);
    }
    if (length < after_first) {
      EXPECT_THAT(opened.records, IsEmpty()) << length;
    } else {
      EXPECT_THAT(opened.records, ElementsAre("first")) << length;
    }
    // It takes records again, and they come back.
    ASSERT_THAT(Append(opened.journal.get(), "again"), IsOk()) << length;
    EXPECT_EQ(Open().records.back(), "again") << length;
  }
}

TEST_F(JournalTest, AFlippedBitAnywhereKeepsTheOtherRecordsAndTheBadFile) {
  {
    const Journal::Opened opened = Open();
    for (const char* record : {"first", "second", "third"}) {
      ASSERT_THAT(Append(opened.journal.get(), record), IsOk());
    }
  }
  const std::string whole = Bytes();
  const size_t second = whole.size() - (8 + 5) - (8 + 6);
  for (size_t bit = second * 8; bit < (second + 8 + 6) * 8; ++bit) {
    std::string broken = whole;
    broken[bit / 8] = static_cast<char>(broken[bit / 8] ^ (1 << (bit % 8)));
    Write(broken);
    const Journal::Opened opened = Open();
    EXPECT_THAT(opened.records, ElementsAre("first", "third")) << bit;
    EXPECT_THAT(opened.damage, HasSubstr("is damaged from byte"));
    ASSERT_NE(opened.bad_file, "");
    EXPECT_EQ(dir_.Read("omd/" + std::filesystem::path(opened.bad_file).filename().string()),
              broken);
    const Journal::Opened again = Open();
    EXPECT_EQ(again.damage, "");
    EXPECT_THAT(again.records, ElementsAre("first", "third"));
  }
}

TEST_F(JournalTest, AFileThatIsNoJournalIsPutAside) {
  Write("something else entirely");
  const Journal::Opened opened = Open();
  EXPECT_THAT(opened.records, IsEmpty());
  EXPECT_NE(opened.damage, "");
  EXPECT_THAT(Append(opened.journal.get(), "x"), IsOk());
}

TEST_F(JournalTest, RewriteReplacesWhatWasBefore) {
  {
    const Journal::Opened opened = Open();
    ASSERT_THAT(Append(opened.journal.get(), std::string(1000, 'x')), IsOk());
    const size_t before = opened.journal->size_bytes();
    absl::Status result = absl::UnknownError("not answered");
    opened.journal->Rewrite({"live"}, [&](absl::Status status) { result = std::move(status); });
    ASSERT_THAT(result, IsOk());
    EXPECT_LT(opened.journal->size_bytes(), before);
    ASSERT_THAT(Append(opened.journal.get(), "later"), IsOk());
  }
  EXPECT_THAT(Open().records, ElementsAre("live", "later"));
}

TEST_F(JournalTest, AppendsThatWaitAreWrittenTogetherAndAnsweredInOrder) {
  FakeLoop loop(&clock_);
  executor_ = &loop;
  std::vector<int> answered;
  {
    const Journal::Opened opened = Open();
    for (int i = 0; i < 3; ++i) {
      opened.journal->Append("r", [&answered, i](const absl::Status& status) {
        EXPECT_THAT(status, IsOk());
        answered.push_back(i);
      });
    }
    EXPECT_THAT(answered, IsEmpty());
    EXPECT_EQ(loop.RunReady(), 1);
  }
  EXPECT_THAT(answered, ElementsAre(0, 1, 2));
}

TEST_F(JournalTest, TooLongARecordAndTooManyWaitingAreRefused) {
  FakeLoop loop(&clock_);
  executor_ = &loop;
  options_.max_record_bytes = 10;
  options_.max_queue_bytes = 30;
  const Journal::Opened opened = Open();
  EXPECT_THAT(Append(opened.journal.get(), std::string(11, 'x')),
              StatusIs(absl::StatusCode::kInvalidArgument));
  absl::Status first = absl::UnknownError("not answered");
  opened.journal->Append("0123456789", [&](absl::Status status) { first = std::move(status); });
  const absl::Status refused = Append(opened.journal.get(), "0123456789");
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(ReasonOf(refused), "JOURNAL_BUSY");
  loop.RunReady();
  EXPECT_THAT(first, IsOk());
}

// A limit on the size of files stands for a full disk: writes are cut short, then fail.
TEST_F(JournalTest, AFullDiskRefusesTheRecordAndLaterOnesWorkAgain) {
  const Journal::Opened opened = Open();
  ASSERT_THAT(Append(opened.journal.get(), "kept"), IsOk());
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old_limit{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old_limit), 0);
  rlimit limit = old_limit;
  limit.rlim_cur = opened.journal->size_bytes() + 20;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  const absl::Status refused = Append(opened.journal.get(), std::string(100, 'x'));
  EXPECT_FALSE(refused.ok());
  EXPECT_EQ(Bytes().size(), opened.journal->size_bytes());  // The part that was written is cut off.
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old_limit), 0);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_THAT(Append(opened.journal.get(), "after"), IsOk());
  EXPECT_THAT(Open().records, ElementsAre("kept", "after"));
}

TEST_F(JournalTest, AnExecutorThatTakesNothingIsAnErrorForEach) {
  class None final : public Executor {
   public:
    bool Post(std::function<void()>) override { return false; }
  } none;
  executor_ = &none;
  const Journal::Opened opened = Open();
  EXPECT_THAT(Append(opened.journal.get(), "x"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(Append(opened.journal.get(), "y"), StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace om
