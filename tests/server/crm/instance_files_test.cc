#include "server/crm/instance_files.h"

#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/file.h"
#include "server/base/json.h"
#include "tests/support/fake_loop.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

using ::testing::HasSubstr;

// An executor that takes nothing.
class FullExecutor final : public Executor {
 public:
  bool Post(std::function<void()>) override { return false; }
};

class InstanceFilesTest : public ::testing::Test {
 protected:
  // Writes status.json with that time.
  void WriteStatus(const std::string& text, absl::Time mtime) {
    WriteOptions options;
    options.mtime = mtime;
    ASSERT_THAT(WriteFileAtomically(root_.File("var/svc/svc1/status.json"), text, options), IsOk());
  }
  LoadedInstance Load(std::optional<absl::Time> known = std::nullopt) {
    std::optional<absl::StatusOr<LoadedInstance>> result;
    loader_.Load(path_, known,
                 [&](absl::StatusOr<LoadedInstance> loaded) { result = std::move(loaded); });
    EXPECT_TRUE(result.has_value());
    EXPECT_THAT(*result, IsOk());
    return **std::move(result);
  }

  TempDir root_;
  Roots roots_ = Roots::Under(root_.path());
  ObjectPath path_ = *ObjectPath::Parse("svc1");
  InlineExecutor executor_;
  InstanceStatusLoader loader_{&executor_, roots_};
  FrozenFlags flags_{&executor_, roots_};
  const absl::Time time_ = absl::FromUnixSeconds(1'795'364'472);
};

TEST_F(InstanceFilesTest, EveryRecordedDocumentIsLoaded) {
  const auto file = ReadFile(
      std::string(OM_SOURCE_DIR) + "/tests/golden/compat/behaviour-instance-status.json", 1 << 20);
  ASSERT_THAT(file, IsOk());
  const Json recorded = *ParseJson(file->text);
  int loaded_count = 0;
  for (const auto& [name, entry] : recorded["files"].items()) {
    if (!entry.contains("mtime")) continue;
    WriteStatus(DumpJson(entry["content"]), time_);
    const LoadedInstance loaded = Load();
    EXPECT_THAT(loaded.status_error, IsOk()) << name;
    ASSERT_NE(loaded.status, nullptr) << name;
    EXPECT_EQ(loaded.status->csum, entry["content"]["csum"]) << name;
    ++loaded_count;
  }
  EXPECT_EQ(loaded_count, 20);
}

TEST_F(InstanceFilesTest, AMissingFileIsAnErrorAndNoAnswerAboutTheInstance) {
  const LoadedInstance loaded = Load();
  EXPECT_EQ(loaded.status, nullptr);
  EXPECT_FALSE(loaded.unchanged);
  EXPECT_THAT(loaded.status_error, StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(InstanceFilesTest, EveryTornPrefixIsAnError) {
  const std::string text = R"({"updated": 1795364472.5, "kind": "svc", "avail": "up"})";
  for (size_t length = 0; length < text.size(); ++length) {
    WriteStatus(text.substr(0, length), time_);
    const LoadedInstance loaded = Load();
    EXPECT_EQ(loaded.status, nullptr) << length;
    EXPECT_FALSE(loaded.status_error.ok()) << length;
  }
  WriteStatus(text, time_);
  EXPECT_NE(Load().status, nullptr);
}

TEST_F(InstanceFilesTest, WrongTypesAndTooLongFilesAreErrors) {
  WriteStatus(R"({"updated": 1.5, "kind": "svc", "avail": 7})", time_);
  EXPECT_THAT(Load().status_error,
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("avail")));
  WriteStatus(std::string(InstanceStatusLoader::kMaxFileBytes + 1, ' '), time_);
  EXPECT_THAT(Load().status_error, StatusIs(absl::StatusCode::kResourceExhausted));
  WriteStatus(std::string(100'000, '['), time_);
  EXPECT_FALSE(Load().status_error.ok());
}

TEST_F(InstanceFilesTest, WhatIsNotNewerIsNotReadAgain) {
  WriteStatus("not json", time_);
  EXPECT_TRUE(Load(time_).unchanged);
  EXPECT_TRUE(Load(time_ - absl::Microseconds(99)).unchanged);
  EXPECT_FALSE(Load(time_ - absl::Microseconds(101)).unchanged);
}

TEST_F(InstanceFilesTest, FlagsKeepTheTimeSinceWhen) {
  std::optional<absl::Time> since;
  const auto keep = [&since](absl::StatusOr<std::optional<absl::Time>> result) {
    ASSERT_THAT(result, IsOk());
    since = *result;
  };
  flags_.SetFrozen(path_, true, keep);
  ASSERT_TRUE(since.has_value());
  const absl::Time first = *since;
  EXPECT_EQ(Load().frozen_since, first);
  flags_.SetFrozen(path_, true, keep);
  EXPECT_EQ(since, first);
  flags_.SetFrozen(path_, false, keep);
  EXPECT_EQ(since, std::nullopt);
  flags_.SetFrozen(path_, false, keep);
  EXPECT_EQ(Load().frozen_since, std::nullopt);
  flags_.SetFrozen(std::nullopt, true, keep);
  EXPECT_THAT(ModificationTime(root_.File("var/node/frozen")), IsOk());
}

TEST_F(InstanceFilesTest, AFullExecutorIsAnAnswer) {
  FullExecutor full;
  InstanceStatusLoader loader(&full, roots_);
  absl::Status status;
  loader.Load(path_, std::nullopt,
              [&](absl::StatusOr<LoadedInstance> loaded) { status = loaded.status(); });
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(InstanceFilesTest, AStampOfATaskIsItsTextOrTheFilesTime) {
  absl::TimeZone zone;
  ASSERT_TRUE(absl::LoadTimeZone("Europe/Paris", &zone));
  const auto last = [&] { return TaskStamps::LastRunNow(roots_, path_, "task#1", zone); };
  EXPECT_EQ(last(), std::nullopt);
  WriteOptions options;
  options.mtime = time_;
  const std::string file = root_.File("var/svc/svc1/scheduler/last_task#1");
  ASSERT_THAT(WriteFileAtomically(file, "2026-11-22 16:00:00.5\n", options), IsOk());
  EXPECT_EQ(last(), absl::FromCivil(absl::CivilSecond(2026, 11, 22, 16, 0, 0), zone) +
                        absl::Milliseconds(500));
  ASSERT_THAT(WriteFileAtomically(file, "yesterday", options), IsOk());
  EXPECT_EQ(last(), time_);
}

}  // namespace
}  // namespace om
